"""Statistics of data sets: printed, and counted in the clip indices of the cards behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import pandas as pd
from pydantic import field_validator, model_validator

from fsar_core.bounds import Counted
from fsar_core.config import SPLITS, Model
from fsar_core.data.index import read_index
from fsar_core.papers.kinds import TableInputs, TableKind
from fsar_core.papers.needs import TableNeeds
from fsar_core.rendering.tables import Block
from fsar_core.specs import Component

COUNTS = [(what, split) for what in ("classes", "videos") for split in SPLITS]


class DatasetRow(Model):
    """A data set and its splits as printed."""

    dataset: str  # as config.yaml names it
    name: str
    reference: str  # of the split
    modality: str
    classes: dict[Literal["train", "val", "test"], Counted]
    videos: dict[Literal["train", "val", "test"], Counted]

    @field_validator("classes", "videos")
    @classmethod
    def _all_splits(cls, value: dict[str, int]) -> dict[str, int]:
        if set(value) != set(SPLITS):
            raise ValueError("expected a number for each of train, val, test")
        return value


class DatasetsTable(TableKind):
    """Kind datasets: printed statistics, and those of the clip indices."""

    kind: Literal["datasets"]
    rows: list[DatasetRow]

    @model_validator(mode="after")
    def _each_once(self) -> DatasetsTable:
        for dataset in self.measured_on():
            if self.measured_on().count(dataset) > 1:
                raise ValueError(f"two rows are of the data set '{dataset}'")
        return self

    def measured_on(self) -> list[str]:
        return [row.dataset for row in self.rows]

    def components(self) -> list[tuple[str, str, Component]]:
        return []

    def needs(self) -> TableNeeds:
        return TableNeeds(indices=tuple(self.measured_on()))

    def unmeasured_rows(self) -> tuple[str, list[str]]:
        return ("rows", [row.name for row in self.rows])

    def make(self, inputs: TableInputs):
        behind = {name: inputs.behind[name] for name in self.measured_on()}  # in the printed order
        counted = {
            card: count(read_index(inputs.indices[card]), inputs.modalities[card])
            for card in dict.fromkeys(behind.values())
        }
        return frame(self, behind, counted), _blocks(self, behind, counted)


class IndexCounts(NamedTuple):
    """A clip index in numbers.

    Attributes:
        modality: of the card.
        classes, videos: split -> number, of clips that can be used.
        unusable: listed clips that are missing, broken or too short.
    """

    modality: str
    classes: dict[str, int]
    videos: dict[str, int]
    unusable: int


def count(index: pd.DataFrame, modality: str) -> IndexCounts:
    """Count a clip index as `fsar index` writes it."""
    usable = index[index["problem"] == ""].groupby("split")["class"]
    classes, videos = usable.nunique(), usable.size()
    return IndexCounts(
        modality=modality,
        classes={split: int(classes.get(split, 0)) for split in SPLITS},
        videos={split: int(videos.get(split, 0)) for split in SPLITS},
        unusable=int((index["problem"] != "").sum()),
    )


def frame(
    table: DatasetsTable, behind: Mapping[str, str], counted: Mapping[str, IndexCounts]
) -> pd.DataFrame:
    """Return the CSV: one row for each data set of the paper, then cards under other names.

    Columns: dataset, name and reference (as printed), modality, behind (of which data sets of the
    paper the row is counted in place), `<split>_classes`, `<split>_videos` and unusable (counted),
    `<split>_classes_published`, ... (printed).
    """
    printed = {row.dataset: row for row in table.rows}
    records = []
    for name in dict.fromkeys([*printed, *behind.values()]):
        row, counts = printed.get(name), counted.get(name)
        record: dict[str, Any] = {
            "dataset": name,
            "name": row and row.name,
            "reference": row and row.reference,
            "modality": row.modality if row else counts.modality,
            "behind": " ".join(paper for paper, card in behind.items() if card == name),
        }
        for what, split in COUNTS:
            record[f"{split}_{what}"] = counts and getattr(counts, what)[split]
        record["unusable"] = counts and counts.unusable
        for what, split in COUNTS:
            record[f"{split}_{what}_published"] = row and getattr(row, what)[split]
        records.append(record)
    result = pd.DataFrame(records)
    numbers = [column for column in result if column == "unusable" or column.startswith(SPLITS)]
    return result.astype(dict.fromkeys(numbers, "Int64"))


def _blocks(
    table: DatasetsTable, behind: Mapping[str, str], counted: Mapping[str, IndexCounts]
) -> list[Block]:
    """Return the counted table, with printed numbers of the same data set, and the printed one."""
    printed = {row.dataset: row for row in table.rows}
    splits = [f"{what.capitalize()} {split}" for what, split in COUNTS]
    body = []
    for card, counts in counted.items():
        names = ", ".join(printed[paper].name for paper in behind if behind[paper] == card)
        line = [card, names, counts.modality]
        for what, split in COUNTS:
            number = str(getattr(counts, what)[split])
            if card in printed:
                number += f" (printed {getattr(printed[card], what)[split]})"
            line.append(number)
        body.append([*line, str(counts.unusable)])
    counted_block = Block(
        "Counted here, in the clip indices: clips that can be used; unusable are those that the "
        "split list names and that are missing, broken or too short.",
        ["Data set", "Stands behind", "Modality", *splits, "Unusable"],
        body,
    )
    printed_body = [
        [
            row.name,
            row.reference,
            row.modality,
            *(str(getattr(row, what)[split]) for what, split in COUNTS),
        ]
        for row in table.rows
    ]
    header = ["Data set", "Split reference", "Modality", *splits]
    return [counted_block, Block(f"Printed in {table.where}.", header, printed_body)]
