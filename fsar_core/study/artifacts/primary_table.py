"""The tables of the paper that the configuration calls primary, under short names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from fsar_core.study.artifacts.base import Artifact
from fsar_core.study.artifacts.graph import Graph

ENDINGS = ("csv", "md", "tex")


class PrimaryTable(Artifact):
    """A copy of table n of the primary paper. `spec` is the number n."""

    wildcards = ("number",)
    rule = "primary_table"

    @classmethod
    def wanted(cls, graph: Graph) -> Iterable[Artifact]:
        start = f"{graph.study.config.paper}_table"
        names = [name for name in graph.study.table_names if name.startswith(start)]
        return [graph.get("primary_table", name.removeprefix(start)) for name in names]

    @property
    def key(self) -> str:
        return self.spec

    @property
    def path(self) -> Path:
        return self.files[0]

    @property
    def files(self) -> Sequence[Path]:
        folder = self.study.config.roots.results / "tables"
        return [folder / f"table{self.spec}.{ending}" for ending in ENDINGS]

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        name = f"{self.study.config.paper}_table{self.spec}"
        return {"table": [self.graph.get("table", name)]}
