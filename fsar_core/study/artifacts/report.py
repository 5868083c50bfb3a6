"""The report of a paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from fsar_core.papers.naming import of_paper, papers
from fsar_core.papers.registry import kinds
from fsar_core.study.artifacts.base import Artifact, Target
from fsar_core.study.artifacts.graph import Graph
from fsar_core.study.artifacts.page import PageName


class Report(Target):
    """A paper's tables and figures, and the pages about how they came about."""

    @classmethod
    def wanted(cls, graph: Graph) -> Iterable[Artifact]:
        return [graph.get("report", name) for name in papers(graph.study.table_names)]

    @property
    def key(self) -> str:
        return self.spec

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        graph, study = self.graph, self.study
        tables = of_paper(study.table_names, self.spec)
        figures = of_paper(study.figure_names, self.spec)
        pages = [PageName(self.spec, page) for page in kinds("report")]
        return {
            "tables": [graph.get("table", name) for name in tables],
            "figures": [graph.get("figure", name) for name in figures],
            "pages": [graph.get("page", page) for page in pages],
        }
