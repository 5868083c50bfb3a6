"""Tables of accuracies as the job `table` makes them, without a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from fsar_core.papers.kinds import TableInputs
from fsar_core.rendering import tables
from fsar_core.tables.accuracy import AccuracyTable
from fsar_core.tables.accuracy.measured import Measured, measure


@dataclass(frozen=True)
class Made:
    """A table, and what it is made from; see `TableInputs`."""

    name: str
    table: AccuracyTable
    behind: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[tuple[str, str, str], Path] = field(default_factory=dict)
    way: int = 5
    complexity: Mapping[str, Any] | None = None

    @property
    def inputs(self) -> TableInputs:
        return TableInputs(self.name, self.way, self.behind, self.runs, complexity=self.complexity)

    def measure(self) -> Mapping[tuple[str, str, str], Measured]:
        """Return the measured cells by method, data set and name of the column."""
        return measure(self.table, self.inputs)

    def frame(self) -> pd.DataFrame:
        """Return the CSV."""
        return self.table.make(self.inputs)[0]

    def markdown(self) -> str:
        """Return the text with its notes."""
        blocks = self.table.make(self.inputs)[1]
        return tables.markdown(self.table.title, blocks, self.table.notes)

    def latex(self) -> str:
        """Return the LaTeX tables."""
        return tables.latex(self.table.make(self.inputs)[1])

    def write(self, prefix: Path) -> None:
        """Write all files of the table."""
        frame, blocks = self.table.make(self.inputs)
        tables.write(prefix, frame, self.table.title, blocks, self.table.notes)
