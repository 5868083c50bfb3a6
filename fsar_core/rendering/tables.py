"""Blocks of text cells as Markdown, as LaTeX and as a page, and the four files of a table."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tabulate import tabulate

from fsar_core.rendering import html
from fsar_core.storage.provenance import atomic_write

TEX = {sign: "\\" + sign for sign in "&%#_${}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "²": r"\textsuperscript{2}",
    "λ": r"$\lambda$",
}


class Block(NamedTuple):
    """One of the tables of a report."""

    caption: str
    header: list[str]
    body: list[list[str]]


def markdown(title: str, blocks: list[Block], notes: list[str]) -> str:
    """Title, blocks, notes."""
    parts = [f"# {title}\n"]
    for caption, header, body in blocks:
        parts.append(
            f"{caption}\n\n{tabulate(body, header, tablefmt='github', disable_numparse=True)}\n"
        )
    if notes:
        parts.append("Notes\n\n" + "\n".join(f"- {note}" for note in notes) + "\n")
    return "\n".join(parts)


def latex(blocks: list[Block]) -> str:
    """booktabs tables, one a block."""
    parts = []
    for caption, header, body in blocks:
        grid = tabulate(
            [[_tex(cell) for cell in line] for line in body],
            [_tex(cell) for cell in header],
            tablefmt="latex_raw",
            disable_numparse=True,
        )
        rules = iter((r"\toprule", r"\midrule", r"\bottomrule"))
        lines = [next(rules) if line == r"\hline" else line for line in grid.splitlines()]
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    rf"\caption{{{_tex(caption)}}}",
                    r"\centering",
                    *lines,
                    r"\end{table}",
                    "",
                ]
            )
        )
    return "\n".join(["% needs \\usepackage{booktabs}", *parts])


def page(title: str, blocks: list[Block], notes: list[str]) -> str:
    """The same for the report: what was measured and what is printed are marked as such."""
    parts = []
    for caption, header, body in blocks:
        kind = "printed" if caption.startswith("Printed") else "measured"
        # What the paper prints of the same thing stands beside what was measured.
        quoted = [number for number, title in enumerate(header) if "printed" in title.lower()]
        parts.append(
            f'<div class="{kind}">{html.paragraph(caption)}{html.table(header, body, quoted)}</div>'
        )
    return html.page(title, *parts, *([html.heading("Notes"), html.items(notes)] if notes else []))


def write(
    prefix: Path, frame: pd.DataFrame, title: str, blocks: list[Block], notes: list[str]
) -> None:
    """`<prefix>.csv`, `.md`, `.tex` and `.html`, each atomically."""
    with atomic_write(prefix.with_suffix(".csv")) as stream:
        frame.to_csv(stream, index=False, lineterminator="\n")
    texts = {
        ".md": markdown(title, blocks, notes),
        ".tex": latex(blocks),
        ".html": page(title, blocks, notes),
    }
    for ending, text in texts.items():
        with atomic_write(prefix.with_suffix(ending)) as stream:
            stream.write(text)


def _tex(text: str) -> str:
    return "".join(TEX.get(sign, sign) for sign in text)
