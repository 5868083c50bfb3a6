"""A paper: the tables that it prints, and its figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from fsar_core.report.contents import figures_of, papers
from fsar_core.study.artifacts.base import Artifact, Target
from fsar_core.study.artifacts.graph import Graph


class Paper(Target):
    """Every numbered table and every figure of a paper. `spec` is its name."""

    @classmethod
    def wanted(cls, graph: Graph) -> Iterable[Artifact]:
        return [graph.get("paper", name) for name in papers(graph.study)]

    @property
    def key(self) -> str:
        return self.spec

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        tables = [name for name in self.study.table_names if name.startswith(f"{self.spec}_table")]
        figures = figures_of(self.study, self.spec)
        return {
            "tables": [self.graph.get("table", name) for name in tables],
            "figures": [self.graph.get("figure", name) for name in figures],
        }
