"""A table of kind parameters: printed counts, and those of the heads that stand behind its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from fsar_core.paper import ParametersTable
from fsar_core.rendering import tables as render
from fsar_core.rendering.tables import Block


def frame(table: ParametersTable, complexity: dict[str, Any]) -> pd.DataFrame:
    """The CSV: method, parameters (counted), millions_published (as printed), agrees (rounded as printed)."""
    return pd.DataFrame(
        [
            {
                "method": row.method,
                "parameters": (count := complexity["rows"][row.method]["parameters"]),
                "millions_published": float(row.published.rstrip("M")),
                "agrees": _rounded(count, row.published) == row.published,
            }
            for row in table.rows
        ]
    )


def write(table: ParametersTable, complexity: dict[str, Any], prefix: Path) -> None:
    """Write `<prefix>.csv`, `.md` and `.tex`, each atomically."""
    blocks = [block(table, complexity)]
    render.write(prefix, frame(table, complexity), table.title, blocks, table.notes)


def block(table: ParametersTable, complexity: dict[str, Any]) -> Block:
    """For reading: counted, rounded as printed, printed."""
    body = []
    for row in table.rows:
        count = complexity["rows"][row.method]["parameters"]
        rounded = _rounded(count, row.published)
        body.append([row.method, f"{count:,}", rounded, row.published, "yes" if rounded == row.published else "no"])
    caption = (
        f"Parameters counted here, of the head built for features of {table.dim} channels and {table.frames} frames, and printed "
        f"in {table.where}."
    )
    return Block(caption, ["Method", "Counted", "In millions", "Printed", "Equal"], body)


def _rounded(count: int, printed: str) -> str:
    """A count in millions with as many decimals as the printed one."""
    decimals = len(printed.rstrip("M").partition(".")[2])
    return f"{count / 1e6:.{decimals}f}M"
