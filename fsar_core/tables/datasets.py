"""A table of kind datasets: printed statistics of data sets, and those of the clip indices of the cards behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from fsar_core.config import SPLITS
from fsar_core.data.index import read_index
from fsar_core.paper import DatasetsTable
from fsar_core.rendering import tables as render
from fsar_core.rendering.tables import Block
from fsar_core.storage.places import Place

COUNTS = [(what, split) for what in ("classes", "videos") for split in SPLITS]


class Counted(NamedTuple):
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


def count(index: pd.DataFrame, modality: str) -> Counted:
    """From a clip index as `fsar index` writes it."""
    usable = index[index["problem"] == ""].groupby("split")["class"]
    classes, videos = usable.nunique(), usable.size()
    return Counted(
        modality,
        {split: int(classes.get(split, 0)) for split in SPLITS},
        {split: int(videos.get(split, 0)) for split in SPLITS},
        int((index["problem"] != "").sum()),
    )


def frame(table: DatasetsTable, behind: dict[str, str], counted: dict[str, Counted]) -> pd.DataFrame:
    """The CSV: one row a data set, those of the paper first, then cards that stand behind them under other names.

    Columns: dataset, name and reference (as printed), modality, behind (of which data sets of the paper the row is counted
    in place), `<split>_classes`, `<split>_videos` and unusable (counted), `<split>_classes_published`, ... (printed).
    """
    printed, records = {row.dataset: row for row in table.rows}, []
    for name in dict.fromkeys([*printed, *behind.values()]):
        row, found = printed.get(name), counted.get(name)
        record: dict[str, Any] = {"dataset": name, "name": row and row.name, "reference": row and row.reference}
        record["modality"] = row.modality if row else found.modality
        record["behind"] = " ".join(paper for paper, card in behind.items() if card == name)
        for what, split in COUNTS:
            record[f"{split}_{what}"] = found and getattr(found, what)[split]
        record["unusable"] = found and found.unusable
        for what, split in COUNTS:
            record[f"{split}_{what}_published"] = row and getattr(row, what)[split]
        records.append(record)
    found = pd.DataFrame(records)
    numbers = [column for column in found if column == "unusable" or column.startswith(SPLITS)]
    return found.astype(dict.fromkeys(numbers, "Int64"))


def write(
    table: DatasetsTable, behind: dict[str, str], modalities: dict[str, str], indices: dict[str, Place], prefix: Path
) -> None:
    """Write `<prefix>.csv`, `.md` and `.tex`, each atomically.

    Args:
        behind: data set of the paper -> card.
        modalities, indices: card -> its modality, the path of its clip index.
    """
    behind = {row.dataset: behind[row.dataset] for row in table.rows}  # in the printed order
    counted = {card: count(read_index(indices[card]), modalities[card]) for card in dict.fromkeys(behind.values())}
    blocks = _blocks(table, behind, counted)
    render.write(prefix, frame(table, behind, counted), table.title, blocks, table.notes)


def _blocks(table: DatasetsTable, behind: dict[str, str], counted: dict[str, Counted]) -> list[Block]:
    """The counted table, with printed numbers beside those of the same data set, then the printed one."""
    printed = {row.dataset: row for row in table.rows}
    heads = [f"{what.capitalize()} {split}" for what, split in COUNTS]
    body = []
    for card, found in counted.items():
        line = [card, ", ".join(printed[paper].name for paper in behind if behind[paper] == card), found.modality]
        for what, split in COUNTS:
            number = str(getattr(found, what)[split])
            if card in printed:
                number += f" (printed {getattr(printed[card], what)[split]})"
            line.append(number)
        body.append([*line, str(found.unusable)])
    blocks = [
        Block(
            "Counted here, in the clip indices: clips that can be used; unusable are those that the split list names and that "
            "are missing, broken or too short.",
            ["Data set", "Stands behind", "Modality", *heads, "Unusable"],
            body,
        )
    ]
    body = [
        [row.name, row.reference, row.modality, *(str(getattr(row, what)[split]) for what, split in COUNTS)]
        for row in table.rows
    ]
    return [*blocks, Block(f"Printed in {table.where}.", ["Data set", "Split reference", "Modality", *heads], body)]
