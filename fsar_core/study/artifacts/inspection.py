"""What a figure takes out of a trained run: attention, evidence, embeddings, predicted masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from fsar_core.storage.provenance import canonical_json
from fsar_core.study.artifacts.base import Artifact
from fsar_core.study.artifacts.model import component_modules
from fsar_core.study.checks.figures import check_figure
from fsar_core.study.experiments import Look


class Inspected(NamedTuple):
    """A figure, and the id of a run that it takes something out of."""

    figure: str
    run: str


class Inspection(Artifact):
    """Arrays that one figure takes out of one run."""

    spec: Inspected
    wildcards = ("figure", "run")
    location = ("results", "inspections/*/*.npz")
    rule = "inspect_run"
    uses_gpu = True

    @classmethod
    def unknown(cls, kind: str, key: str) -> str:
        figure, _, run = key.partition("/")
        return f"the figure '{figure}' looks into no run '{run}'"

    @property
    def key(self) -> str:
        return "/".join(self.spec)

    @property
    def path(self) -> Path:
        folder = self.study.config.roots.results / "inspections"
        return folder / self.spec.figure / f"{self.spec.run}.npz"

    @cached_property
    def look(self) -> Look:
        """What is taken out, on which episodes."""
        return self._looks[0]

    @cached_property
    def _looks(self) -> list[Look]:
        looks = self.study.experiments.looks(self.spec.figure)
        return [look for look in looks if self.graph.of(look.run).key == self.spec.run]

    @cached_property
    def wanted_arrays(self) -> dict[str, Any]:
        """What `fsar inspect` is to take out.

        Two data sets of a paper for which one card is used share the run: the examples of both are
        wanted of it.
        """
        wanted = dict(self.look.wanted)
        for key in {"attention", "cam"} & set(wanted):
            wanted[key] = [example for look in self._looks for example in look.wanted[key]]
        return wanted

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        run = self.look.run
        tested_on = run.tested_on
        masks = [self.graph.of(run.masks)] if self._reads_masks else []
        return {
            "features": [self.graph.of(tested_on)],
            "frames": [self.graph.of(tested_on.frames)],
            "trained": self.graph.weights_of(tested_on),
            "episodes": [self.graph.of(self.look.episodes)],
            "checkpoint": [self.graph.of(run).model],
            "index": [self.graph.get("clip_index", tested_on.dataset)],
            "masks": masks,
        }

    @property
    def _reads_masks(self) -> bool:
        return "masks" in self.wanted_arrays and self.look.run.masks is not None

    @property
    def params(self) -> Mapping[str, Any]:
        run = self.look.run
        masks = run.masks
        return {
            "spec": run.json_text,
            "weights": self.study.specs.weights_option(run.tested_on),
            "episode_spec": self.look.episodes.json_text,
            "wanted": canonical_json(self.wanted_arrays),
            "masks": "" if masks is None else str(self.graph.of(masks).argument),
        }

    @property
    def modules(self) -> Sequence[str]:
        return component_modules(self.look.run)

    def check(self) -> None:
        self.study.checks.check_run(self.look.run)
        check_figure(self.study, self.spec.figure)
