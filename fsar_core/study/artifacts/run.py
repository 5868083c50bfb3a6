"""A run: a trained model, tested on frozen episodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from fsar_core import inputs as head_inputs
from fsar_core.specs import RunSpec
from fsar_core.storage.places import Place
from fsar_core.study.artifacts.base import CLIP_FRAMES, Artifact, Work
from fsar_core.study.artifacts.graph import Graph
from fsar_core.study.artifacts.model import OTHERS, component_modules, stage


class Run(Artifact):
    """A tested model, with the result of every query."""

    spec: RunSpec
    spec_type = RunSpec
    wildcards = ("run",)
    location = ("results", "runs/*/summary.json")
    is_folder = True
    rule = "evaluate_head"
    uses_gpu = True

    @classmethod
    def wanted(cls, graph: Graph) -> Iterable[Artifact]:
        return [graph.of(run) for run in graph.study.experiments.runs.values()]

    @cached_property
    def key(self) -> str:
        return self.spec.run_id

    @cached_property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.study.config.roots.results / "runs" / self.key

    @property
    def path(self) -> Path:
        return self.folder / "summary.json"

    @property
    def places(self) -> Sequence[Place]:
        return (self.folder,)

    @cached_property
    def model(self) -> Artifact:
        """The model that is tested."""
        return self.graph.of(self.spec.model)

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        features = self.spec.tested_on
        return {
            "features": [self.graph.of(features)],
            "trained": self.graph.weights_of(features),
            "episodes": [self.graph.of(self.spec.test)],
            "checkpoint": [self.model],
            OTHERS: list(self._head_inputs.values()),
        }

    @cached_property
    def _head_inputs(self) -> dict[str, Artifact]:
        """The artifacts of inputs that the head receives in tests, by the input's key."""
        specs = {each.key: each.test_spec_of(self.spec) for each in head_inputs.of_test(self.spec)}
        return {key: self.graph.of(spec) for key, spec in specs.items() if spec is not None}

    @property
    def params(self) -> Mapping[str, Any]:
        weights = self.study.specs.weights_option(self.spec.tested_on)
        others = [f"--input={key}={one.argument}" for key, one in self._head_inputs.items()]
        return {"spec": self.spec.json_text, "weights": weights, OTHERS: others}

    @property
    def modules(self) -> Sequence[str]:
        of_inputs = [each.module for each in head_inputs.of_test(self.spec)]
        return [*component_modules(self.spec), *of_inputs]

    @property
    def work(self) -> Work:
        test = self.spec.test
        clips = test.count * test.way * (test.shot + test.query)
        frames = self.spec.tested_on.frames.count
        return Work(stage(self.rule, self.spec), clips * frames / CLIP_FRAMES)

    def check(self) -> None:
        self.study.checks.check_run(self.spec)
