"""The text of a table of accuracies: what was measured, what rows cost, and what is printed."""

from __future__ import annotations

from fsar_core.papers.kinds import TableInputs
from fsar_core.papers.needs import Column
from fsar_core.rendering.tables import Block
from fsar_core.tables.accuracy import costs
from fsar_core.tables.accuracy.measured import Cells, Measured
from fsar_core.tables.accuracy.model import AccuracyModel, Row

NOTHING = "-"  # in a cell


def blocks(table: AccuracyModel, inputs: TableInputs, measured: Cells) -> list[Block]:
    """Return the blocks that there are: measured numbers, costs, printed numbers.

    The printed number of the same data set stands beside a measured one.
    """
    parts = []
    if inputs.runs:
        parts.append(_measured_block(table, inputs, measured))
    if inputs.complexity is not None:
        parts.append(costs.block(table, inputs.complexity))
    if any(row.published for row in table.rows):
        parts.append(_printed_block(table))
    return parts


def _measured_block(table: AccuracyModel, inputs: TableInputs, measured: Cells) -> Block:
    used = list(dict.fromkeys(dataset for _, dataset, _ in inputs.runs))
    columns = [(dataset, column) for dataset in used for column in table.columns]
    header = ["Method", "Backbone"]
    for dataset, column in columns:
        header.append(f"{dataset} {column.label}")
        if dataset in table.datasets:
            header.append(f"{dataset} {column.label}, printed")
    body = []
    for row in table.rows:
        cells = [measured.get((row.method, dataset, column.name)) for dataset, column in columns]
        backbones = [cell.backbone for cell in cells if cell is not None]
        if not backbones:
            continue
        line = [row.method, backbones[0]]
        for (dataset, column), cell in zip(columns, cells):
            line.append(_cell(cell))
            if dataset in table.datasets:
                line.append(_printed(row, dataset, column))
        body.append(line)
    return Block(_measured_caption(table, inputs, measured, used), header, body)


def _measured_caption(
    table: AccuracyModel, inputs: TableInputs, measured: Cells, used: list[str]
) -> str:
    episodes = sorted({cell.accuracy.episodes for cell in measured.values()})
    trained = " or ".join(sorted({cell.trained for cell in measured.values()}))
    way = "N-way" if table.ways else f"{inputs.way}-way"
    source = f" of {inputs.behind[table.train_on]}" if table.train_on else ""
    caption = (
        f"Measured here: {way} accuracy in percent on {', '.join(used)}, {trained}{source}, mean ± "
        f"95 % interval over {' or '.join(f'{count:,}' for count in episodes)} episodes shared by "
        f"all methods"
    )
    if any(row.compare_to for row in table.rows):
        caption += (
            "; in parentheses the paired gain over the row that it is compared to (the plain "
            "metric, unless a note says otherwise) on the same episodes"
        )
    return f"{caption}."


def _printed_block(table: AccuracyModel) -> Block:
    columns = [(dataset, column) for dataset in table.datasets for column in table.columns]
    # Only what differs between the rows has a column of its own.
    extra = {
        "Reference": [row.reference for row in table.rows],
        "Backbone": [row.backbone or table.backbone for row in table.rows],
    }
    extra = {name: values for name, values in extra.items() if len(set(values)) > 1}
    body = []
    for number, row in enumerate(table.rows):
        printed = [_printed(row, dataset, column) for dataset, column in columns]
        body.append([row.method, *(values[number] for values in extra.values()), *printed])
    caption = f"Printed in {table.where} (percent"
    if any("*" in cell for line in body for cell in line):
        caption += "; * as marked there: the authors' own run of another's method"
    header = ["Method", *extra, *(f"{dataset} {column.label}" for dataset, column in columns)]
    return Block(f"{caption}).", header, body)


def _cell(cell: Measured | None) -> str:
    if cell is None:
        return NOTHING
    text = f"{cell.accuracy.mean:.1f} ± {cell.accuracy.ci95:.1f}"
    if cell.gain is not None:
        text += f" ({cell.gain.mean:+.1f} ± {cell.gain.ci95:.1f})"
    return text


def _printed(row: Row, dataset: str, column: Column) -> str:
    value = row.published.get(dataset, {}).get(column.key)
    return NOTHING if value is None else str(value)
