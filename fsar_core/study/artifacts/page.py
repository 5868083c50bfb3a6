"""A page of a paper's report about how its tables came about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from fsar_core.papers import kinds
from fsar_core.papers.naming import of_paper, papers
from fsar_core.papers.registry import page_kinds
from fsar_core.storage.places import Place
from fsar_core.storage.provenance import canonical_json
from fsar_core.study.artifacts.base import Artifact, by_key
from fsar_core.study.artifacts.graph import Graph


class PageName(NamedTuple):
    """A paper, and a kind of page."""

    paper: str
    page: str


class Page(Artifact):
    """A page of a paper's report; it is made after all runs of the paper's tables."""

    spec: PageName
    wildcards = ("paper", "kind")
    rule = "page"

    @classmethod
    def wanted(cls, graph: Graph) -> Iterable[Artifact]:
        names = [
            PageName(paper, page)
            for paper in papers(graph.study.table_names)
            for page in page_kinds()
        ]
        return [graph.get("page", name) for name in names]

    @property
    def key(self) -> str:
        return "/".join(self.spec)

    @property
    def page(self) -> type[kinds.Page]:
        """The kind of page."""
        return page_kinds()[self.spec.page]

    @property
    def title(self) -> str:
        """What the report calls the page."""
        return self.page.title

    @property
    def paper(self) -> str:
        """The paper that the page is of."""
        return self.spec.paper

    @property
    def path(self) -> Path:
        folder = self.study.config.roots.results / "report"
        return folder / self.spec.paper / f"{self.spec.page}.html"

    @property
    def places(self) -> Sequence[Place]:
        # Only its log tells a page from a file of the user's.
        log = self.study.config.roots.results / "logs" / "page"
        return (self.path, log / f"{self.spec.paper}.{self.spec.page}.log")

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        study, graph = self.study, self.graph
        tables = of_paper(study.table_names, self.spec.paper)
        cells = [cell for name in tables for cell in study.experiments.cells(name)]
        runs = by_key(graph.of(cell.run) for cell in cells)
        named = [study.table(name).paper_datasets() for name in tables]
        cards = {study.behind(dataset) for datasets in named for dataset in datasets}
        return {
            "summaries": runs,
            "trained": by_key(run.model for run in runs),
            "indices": [graph.get("clip_index", card) for card in sorted(cards)],
        }

    @property
    def params(self) -> Mapping[str, Any]:
        tables = of_paper(self.study.table_names, self.spec.paper)
        page = self.page.gather(self.study, tables)
        return {"spec": canonical_json(page.model_dump(mode="json")), "caption": self.page.caption}

    @property
    def modules(self) -> Sequence[str]:
        return (self.page.__module__,)
