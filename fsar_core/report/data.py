"""What was run on which data, and which clips could not be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from fsar_core.config import SPLITS, Model
from fsar_core.data.index import index_identity, read_index
from fsar_core.evaluation.results import read_summary
from fsar_core.papers.kinds import Page
from fsar_core.rendering import html
from fsar_core.report._runs import runs_of
from fsar_core.storage.bindings import check_store_index
from fsar_core.storage.places import place
from fsar_core.stores import left_out
from fsar_core.stores.manifest import read_manifest

if TYPE_CHECKING:
    from fsar_core.study import Study

SHOWN = 200  # clips that are listed; all are in the tables' left_out.csv


class CardOfPage(Model):
    """A card, its clip index, and the frame stores that were made from it."""

    title: str
    source: str
    licence: str
    max_failures: float
    index: str
    frames: list[str]


class DataPage(Page):
    """Data sets, clips that could not be used, settings and versions, frame stores.

    Attributes:
        behind: data set of the paper -> card.
        datasets: card -> what it says.
        runs: their ids.
        runs_folder: of all runs.
    """

    title: ClassVar[str] = "Data: what was run on which videos, and what could not be used"
    caption: ClassVar[str] = (
        "Which videos stand behind the numbers: the data set of the paper and what it was measured "
        "on, classes and clips by split, clips that could not be used and why, settings and "
        "versions of software."
    )

    preset: str
    seed: int
    behind: dict[str, str]
    datasets: dict[str, CardOfPage]
    runs: list[str]
    runs_folder: Path

    @classmethod
    def gather(cls, study: Study, tables: Sequence[str]) -> DataPage:
        named = [name for table in tables for name in study.table(table).paper_datasets()]
        behind = {name: study.behind(name) for name in dict.fromkeys(named)}
        return cls(
            preset=study.config.preset,
            seed=study.config.seed,
            behind=behind,
            datasets=_cards(study, tables, list(dict.fromkeys(behind.values()))),
            runs=[about.run for about in runs_of(study, tables)],
            runs_folder=study.config.roots.results / "runs",
        )

    def render(self, paper: str) -> str:
        counts, lost = [], {}
        for name, card in self.datasets.items():
            index = read_index(place(card.index))
            _check_stores(card, index)
            splits = [_split_text(index, split) for split in SPLITS]
            counts.append((name, *splits, card.licence, card.source))
            lost[name] = _lost(card)
        pairs = [
            (dataset, card, self.datasets[card].title)
            for dataset, card in self.behind.items()
            if card in self.datasets
        ]
        stores = [
            (store, _size(read_manifest(place(store))["bytes"]))
            for card in self.datasets.values()
            for store in card.frames
        ]
        return html.page(
            f"{paper.upper()}: what was run on which data",
            *self._stand_ins(),
            html.heading("Data sets"),
            html.table(["Data set of the paper", "measured on", "that is"], pairs),
            html.table(["Measured on", *SPLITS, "licence", "source"], counts),
            html.heading("Clips that could not be used"),
            *_failures(lost),
            html.heading("Settings and versions"),
            html.table(["setting", "value"], self._settings()),
            html.heading("Frame stores"),
            html.table(["store", "size"], stores),
        )

    def _stand_ins(self) -> list[str]:
        """Return a warning where other videos are used in place of the paper's."""
        replaced = sorted(dataset for dataset, card in self.behind.items() if dataset != card)
        if not replaced:
            return []
        return [
            html.paragraph(
                f"Other videos stand behind {', '.join(replaced)} here, so that measured and "
                f"printed numbers are not of the same data: what they can be compared in is the "
                f"order of methods and the sign of gains."
            )
        ]

    def _settings(self) -> list[tuple[str, str]]:
        """Return preset, seed and environments of the runs; several values where they differ."""
        values: dict[str, set[str]] = {}
        for run in self.runs:
            summary = read_summary(self.runs_folder / run)
            for key, value in summary["environment"].items():
                values.setdefault(key, set()).add(str(value))
        settings = [
            ("preset of config.yaml", self.preset),
            ("seed", str(self.seed)),
            ("runs", f"{len(self.runs):,}"),
        ]
        for key, different in sorted(values.items()):
            settings.append((key, ", ".join(sorted(different - {""})) or "-"))
        return settings


def _cards(study: Study, tables: Sequence[str], names: Sequence[str]) -> dict[str, CardOfPage]:
    """Return the cards with these names, and the frame stores behind the tables."""
    stores: dict[str, dict[str, str]] = {name: {} for name in names}
    for table in tables:
        for cell in study.experiments.cells(table):
            for spec in (cell.run.features.frames, cell.run.tested_on.frames):
                stores[spec.dataset][spec.key] = str(study.paths.store(spec))
    cards = {}
    for name in names:
        card = study.dataset(name).card
        cards[name] = CardOfPage(
            title=card.title,
            source=card.source,
            licence=card.licence,
            max_failures=card.max_failures,
            index=str(study.paths.index(name)),
            frames=list(stores[name].values()),
        )
    return cards


def _check_stores(card: CardOfPage, index: pd.DataFrame) -> None:
    """Check that the frame stores number the clips as the clip index does."""
    for store in map(place, card.frames):
        inputs = read_manifest(store).get("inputs", {})
        if "index" in inputs:
            check_store_index(place(card.index), index_identity(index), store, inputs)


def _lost(card: CardOfPage) -> left_out.Lost:
    """Return what a card has lost; a data set that is only counted has no frame store."""
    if card.frames:
        return left_out.of_stores(map(place, card.frames), card.max_failures)
    return left_out.of_index(place(card.index), card.max_failures)


def _split_text(index: pd.DataFrame, split: str) -> str:
    own = index[(index.split == split) & (index.problem == "")]
    return f"{own['class'].nunique()} classes, {len(own):,} clips"


def _failures(lost: Mapping[str, left_out.Lost]) -> list[str]:
    """Return a count for every data set, and the clips with their reasons."""
    counts = [
        (
            name,
            f"{len(own.failures):,} of {own.clips:,}",
            f"{len(own.failures) / max(own.clips, 1):.1%}",
            f"{own.allowed:.1%}",
        )
        for name, own in lost.items()
    ]
    parts = [html.table(["Measured on", "left out", "share", "its card allows"], counts)]
    clips = []
    for name, own in lost.items():
        clips += [(name, *own.failures[row]) for row in sorted(own.failures)]
    if clips:
        listed = html.table(["Measured on", "clip", "problem"], clips[:SHOWN])
        more = f", of which {SHOWN} are shown" if len(clips) > SHOWN else ""
        title = f"{len(clips):,} clips and what is wrong with them{more}"
        parts.append(html.folded(title, listed))
    return parts


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
