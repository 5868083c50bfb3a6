"""A table of a paper: measured numbers beside printed ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from fsar_core.storage.provenance import canonical_json
from fsar_core.study.artifacts.base import Artifact, by_key
from fsar_core.study.artifacts.graph import Graph

ENDINGS = ("csv", "md", "tex", "html", "left_out.csv")


class Table(Artifact):
    """A table in all formats, and the clips that could not be used. `spec` is its name."""

    wildcards = ("table",)
    rule = "table"

    @classmethod
    def wanted(cls, graph: Graph) -> Iterable[Artifact]:
        return [graph.get("table", name) for name in graph.study.table_names]

    @property
    def key(self) -> str:
        return self.spec

    @property
    def title(self) -> str:
        """The title of the table."""
        return self.study.table(self.spec).title

    @property
    def paper(self) -> str:
        """The paper that the table is of."""
        return self.spec.split("_")[0]

    @property
    def path(self) -> Path:
        return self.files[0]

    @cached_property
    def files(self) -> Sequence[Path]:
        folder = self.study.config.roots.results / "tables"
        return [folder / f"{self.spec}.{ending}" for ending in ENDINGS]

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        graph = self.graph
        cells = self.study.experiments.cells(self.spec)
        measured = self.study.table(self.spec).complexity() is not None
        return {
            "summaries": by_key(graph.of(cell.run) for cell in cells),
            "indices": [graph.get("clip_index", card) for card in self.cards_counted],
            "complexity": [graph.get("complexity", self.spec)] if measured else [],
            "frames": [frames for stores in self._frames.values() for frames in stores],
        }

    @cached_property
    def cards_counted(self) -> list[str]:
        """The cards whose clip indices the table counts."""
        table = self.study.table(self.spec)
        names = table.datasets if table.kind == "datasets" else []
        return list(dict.fromkeys(self.study.behind(name) for name in names))

    @cached_property
    def _frames(self) -> dict[str, list[Artifact]]:
        """The frame stores behind the table's numbers, by data set."""
        stores: dict[str, dict[str, Artifact]] = {}
        for cell in self.study.experiments.cells(self.spec):
            for frames in (cell.run.features.frames, cell.run.tested_on.frames):
                artifact = self.graph.of(frames)
                stores.setdefault(frames.dataset, {})[artifact.key] = artifact
        return {
            dataset: [artifacts[key] for key in sorted(artifacts)]
            for dataset, artifacts in sorted(stores.items())
        }

    @property
    def params(self) -> Mapping[str, Any]:
        return {"spec": canonical_json(self._job())}

    def _job(self) -> dict[str, Any]:
        """Return what `fsar table` is given: the table, and where each of its numbers is."""
        study = self.study
        table = study.table(self.spec)
        cells = {
            (
                cell.row.method,
                cell.run.tested_on.dataset,
                cell.column.name,
                self.graph.of(cell.run).key,
            )
            for cell in study.experiments.cells(self.spec)
        }
        cards = {name: study.dataset(name).card for name in {*self._frames, *self.cards_counted}}
        complexity = self.input_files("complexity")
        return {
            "table": table.model_dump(mode="json"),
            "behind": {name: study.behind(name) for name in study.experiments.named_in(table)},
            "cells": sorted(cells),
            "way": study.preset.episodes.way,
            "indices": {card: str(study.paths.index(card)) for card in self.cards_counted},
            "modalities": {card: cards[card].modality for card in self.cards_counted},
            "complexity": str(complexity[0]) if complexity else None,
            "frames": {
                dataset: [str(store.argument) for store in stores]
                for dataset, stores in self._frames.items()
            },
            "max_failures": {name: cards[name].max_failures for name in sorted(cards)},
        }
