"""The report of a paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from fsar_core.report.contents import PAGES, figures_of, papers, tables_of
from fsar_core.study.artifacts.base import Artifact, Target
from fsar_core.study.artifacts.graph import Graph
from fsar_core.study.artifacts.page import PageName


class Report(Target):
    """A paper's tables and figures, and the pages about how they came about."""

    @classmethod
    def wanted(cls, graph: Graph) -> Iterable[Artifact]:
        return [graph.get("report", name) for name in papers(graph.study)]

    @property
    def key(self) -> str:
        return self.spec

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        graph = self.graph
        pages = [PageName(self.spec, page) for page in PAGES]
        return {
            "tables": [graph.get("table", name) for name in tables_of(self.study, self.spec)],
            "figures": [graph.get("figure", name) for name in figures_of(self.study, self.spec)],
            "pages": [graph.get("page", page) for page in pages],
        }
