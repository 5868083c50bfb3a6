"""A figure in the report: the picture, how to read it, and the numbers that are drawn."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fsar_core.papers.kinds import FigureKind
from fsar_core.rendering import html

SHOWN = 200  # rows of numbers; all are in the CSV


def page(name: str, figure: FigureKind, picture: Path, table: pd.DataFrame) -> str:
    """Return the page.

    Args:
        name: of the figure and its files.
        picture: its PNG file.
        table: what is drawn, as in its CSV file.
    """
    reading = f"{html.paragraph(figure.caption)}{html.items(figure.notes)}"
    parts = [
        f"<figure>{html.image(Path(picture).read_bytes(), figure.title)}",
        f"<figcaption>{reading}</figcaption></figure>",
        html.paragraph(
            f"In the paper: {figure.where}. Everything here was measured in this run; nothing "
            f"printed is drawn. The numbers are in {name}.csv, the picture for print is {name}.pdf."
        ),
    ]
    if len(table):
        shown = table.head(SHOWN).itertuples(index=False)
        rows = [[_cell(value) for value in row] for row in shown]
        extent = f"{len(table):,} rows"
        if len(table) > SHOWN:
            extent = f"the first {SHOWN} of {len(table):,} rows"
        numbers = html.table(list(table.columns), rows)
        parts.append(html.folded(f"The numbers that are drawn ({extent})", numbers))
    return html.page(figure.title, *parts)


def write_page(name: str, figure: FigureKind, table: pd.DataFrame, prefix: Path) -> None:
    """Write `<prefix>.html`, once `<prefix>.png` exists."""
    picture = prefix.with_suffix(".png")
    html.write(prefix.with_suffix(".html"), page(name, figure, picture, table))


def _cell(value: object) -> str:
    """Return as many digits of a number as are meaningful; an empty cell for a missing one."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    return str(value)
