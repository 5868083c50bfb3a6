"""Parameters of heads: printed, and counted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd
from pydantic import field_validator, model_validator

from fsar_core.bounds import Channels, Clip
from fsar_core.config import Model
from fsar_core.errors import FsarError
from fsar_core.papers.kinds import TableInputs, TableKind
from fsar_core.papers.needs import TableNeeds
from fsar_core.rendering.tables import Block
from fsar_core.specs import Component


class ParametersRow(Model):
    """A head, and how many parameters are printed for it."""

    method: str
    published: str  # 22.06M
    head: Component

    @field_validator("published")
    @classmethod
    def _millions(cls, value: str) -> str:
        if not re.fullmatch(r"\d+(\.\d+)?M", value):
            raise ValueError(
                f"'{value}' is no printed number of parameters; expected one like 22.06M"
            )
        return value


class ParametersTable(TableKind):
    """Kind parameters: printed counts, and those of heads for features of `dim` channels."""

    kind: Literal["parameters"]
    dim: Channels
    frames: Clip
    rows: list[ParametersRow]

    @model_validator(mode="after")
    def _each_once(self) -> ParametersTable:
        methods = [row.method for row in self.rows]
        for method in methods:
            if methods.count(method) > 1:
                raise ValueError(f"two rows are called '{method}'")
        return self

    def measured_on(self) -> list[str]:
        return []

    def components(self) -> list[tuple[str, str, Component]]:
        return [(f"row '{row.method}'", "heads", row.head) for row in self.rows]

    def complexity(self) -> dict[str, Any]:
        """Return what `fsar complexity` is to count."""
        rows = [(row.method, row.head.model_dump(), None) for row in self.rows]
        return {"rows": rows, "dim": self.dim, "frames": self.frames}

    def needs(self) -> TableNeeds:
        return TableNeeds(complexity=self.complexity())

    def unmeasured_rows(self) -> tuple[str, list[str]]:
        return ("rows", [row.method for row in self.rows])

    def make(self, inputs: TableInputs):
        if inputs.complexity is None:
            raise FsarError(
                f"{inputs.name}: nothing was counted; run snakemake to count parameters"
            )
        return frame(self, inputs.complexity), [_block(self, inputs.complexity)]


def frame(table: ParametersTable, complexity: Mapping[str, Any]) -> pd.DataFrame:
    """Return the CSV: method, parameters (counted), millions_published, agrees (as printed)."""
    records = []
    for row in table.rows:
        count = complexity["rows"][row.method]["parameters"]
        records.append(
            {
                "method": row.method,
                "parameters": count,
                "millions_published": float(row.published.rstrip("M")),
                "agrees": _rounded(count, row.published) == row.published,
            }
        )
    return pd.DataFrame(records)


def _block(table: ParametersTable, complexity: Mapping[str, Any]) -> Block:
    """Return, for reading: counted, rounded as printed, printed."""
    body = []
    for row in table.rows:
        count = complexity["rows"][row.method]["parameters"]
        rounded = _rounded(count, row.published)
        equal = "yes" if rounded == row.published else "no"
        body.append([row.method, f"{count:,}", rounded, row.published, equal])
    caption = (
        f"Parameters counted here, of the head built for features of {table.dim} channels and "
        f"{table.frames} frames, and printed in {table.where}."
    )
    return Block(caption, ["Method", "Counted", "In millions", "Printed", "Equal"], body)


def _rounded(count: int, printed: str) -> str:
    """Return a count in millions with as many decimals as the printed one."""
    decimals = len(printed.rstrip("M").partition(".")[2])
    return f"{count / 1e6:.{decimals}f}M"
