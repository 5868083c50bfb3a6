"""Accuracies of methods on data sets: measured with intervals and paired gains, and printed.

Measured numbers stand under the name of the data set really used, with their 95 % intervals and,
where a row compares to another, the paired gain over it on the same episodes. Printed numbers stand
under the name of the paper's data set; the two share a column group only where they are of the same
data set. `model` is the YAML, `measured` the CSV, `blocks` the text, `costs` what rows cost.
"""

from __future__ import annotations

from fsar_core.papers.kinds import TableInputs
from fsar_core.papers.needs import CellNeed, Experiment, TableNeeds
from fsar_core.tables.accuracy.blocks import blocks
from fsar_core.tables.accuracy.measured import frame, measure
from fsar_core.tables.accuracy.model import AccuracyModel, Row


class AccuracyTable(AccuracyModel):
    """Kind accuracy: a method in every row, a data set and shot (way, duration) in every column."""

    def needs(self) -> TableNeeds:
        cells = [
            CellNeed(row, column, self._experiment(row, dataset, column))
            for row in self.rows
            if row.head is not None
            for dataset in self.datasets
            for column in self.columns
        ]
        return TableNeeds(cells=tuple(cells), complexity=self.complexity())

    def make(self, inputs: TableInputs):
        measured = measure(self, inputs)
        return frame(self, inputs, measured), blocks(self, inputs, measured)

    def _experiment(self, row: Row, dataset: str, column) -> Experiment:
        test = {"way": column.way, "max_seconds": column.seconds}
        return Experiment(
            place=f"row '{row.method}'",
            dataset=dataset,
            head=row.head,
            matching=row.matching,
            shot=column.shot,
            setup=row.setup or self.setup,
            frames=row.frames,
            trained_on=self.train_on,
            test={key: value for key, value in test.items() if value is not None},
        )
