"""A figure of a paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from fsar_core.papers.naming import paper_of
from fsar_core.papers.needs import Actionness, Inspection
from fsar_core.storage.provenance import canonical_json
from fsar_core.study.artifacts.actionness import Watched
from fsar_core.study.artifacts.base import Artifact, by_key
from fsar_core.study.artifacts.graph import Graph
from fsar_core.study.artifacts.inspection import Inspected
from fsar_core.study.checks.figures import check_figure

ENDINGS = ("png", "pdf", "csv", "html")  # the page is written last


class Figure(Artifact):
    """A figure, the numbers in it, and its page of the report. `spec` is its name."""

    wildcards = ("figure",)
    rule = "figure"

    @classmethod
    def wanted(cls, graph: Graph) -> Iterable[Artifact]:
        return [graph.get("figure", name) for name in graph.study.figure_names]

    @property
    def key(self) -> str:
        return self.spec

    @property
    def title(self) -> str:
        """The title of the figure."""
        return self.study.figure(self.spec).title

    @property
    def paper(self) -> str:
        """The paper that the figure is of."""
        return paper_of(self.spec)

    @property
    def path(self) -> Path:
        return self.files[-1]

    @cached_property
    def files(self) -> Sequence[Path]:
        folder = self.study.config.roots.results / "figures"
        return [folder / f"{self.spec}.{ending}" for ending in ENDINGS]

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        experiments = self.study.experiments
        points = experiments.points(self.spec)
        looks = experiments.looks(self.spec)
        watches = experiments.watches(self.spec)
        return {
            "summaries": by_key(self.graph.of(point.run) for point in points),
            "inspections": list(dict.fromkeys(map(self._inspection, looks))),
            "watched": list(dict.fromkeys(map(self._actionness, watches))),
        }

    def _inspection(self, look: Inspection) -> Artifact:
        return self.graph.get("inspection", Inspected(self.spec, self.graph.of(look.run).key))

    def _actionness(self, watch: Actionness) -> Artifact:
        return self.graph.get("actionness", Watched(self.spec, watch.saliency))

    @property
    def params(self) -> Mapping[str, Any]:
        return {"spec": canonical_json(self._job())}

    @property
    def modules(self) -> Sequence[str]:
        return (self.study.figure(self.spec).module,)

    def _job(self) -> dict[str, Any]:
        """Return what `fsar figure` is given: the figure, and where its content is read from."""
        experiments = self.study.experiments
        points = [
            (point.panel, point.method, point.shot, point.value, self.graph.of(point.run).key)
            for point in experiments.points(self.spec)
        ]
        looks = [
            (look.dataset, look.subject.method, str(self._inspection(look).path))
            for look in experiments.looks(self.spec)
        ]
        watches = [
            (watch.dataset, str(self._actionness(watch).path))
            for watch in experiments.watches(self.spec)
        ]
        return {
            "figure": self.study.figure(self.spec).model_dump(mode="json"),
            "way": self.study.preset.episodes.way,
            "points": points,
            "looks": looks,
            "watches": watches,
        }

    def check(self) -> None:
        check_figure(self.study, self.spec)
