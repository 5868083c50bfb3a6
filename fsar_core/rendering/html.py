"""Pages of the report: HTML that stands alone, without a script or anything from elsewhere, readable on a phone."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from fsar_core.storage.provenance import atomic_write

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; }
h1 { font-size: 1.35rem; line-height: 1.25; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p, li { max-width: 46rem; } img { max-width: 100%; height: auto; }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid #ddd; white-space: nowrap; }
thead th { border-bottom: 2px solid #555; vertical-align: bottom; white-space: normal; min-width: 5rem; }
thead th span { white-space: nowrap; } td.long { white-space: normal; min-width: 13rem; overflow-wrap: anywhere; }
figure { margin: 0; } figcaption { border-left: 4px solid #1f6fb2; padding-left: .8rem; }
td:first-child, th:first-child { position: sticky; left: 0; background: #fff; white-space: normal; min-width: 7rem; }
tbody tr:hover td { background: #f2f6fb; }
.printed { border-left: 4px solid #b8860b; padding-left: .8rem; }
th.quoted, td.quoted { background: #fbf4df; }
.measured { border-left: 4px solid #1f6fb2; padding-left: .8rem; }
.heat td { padding: .1rem .25rem; text-align: center; min-width: 1.4rem; } 
.heat td:first-child { text-align: left; min-width: 15rem; }
.heat thead th { font-weight: normal; min-width: 0; padding: .25rem .1rem; white-space: nowrap; }
.heat thead th:not(:first-child) { writing-mode: vertical-rl; transform: rotate(180deg); }
summary { cursor: pointer; padding: .3rem 0; }
@media (max-width: 40rem) {
  body { padding: 1.8rem .6rem .6rem; font-size: 14px; } td:first-child, th:first-child { max-width: 9rem; }
  .scroll > img { max-width: none; width: 46rem; }
  .heat td:first-child { min-width: 7.5rem; max-width: 9rem; } td.long { min-width: 12rem; } }
"""
LONG = 40  # letters
DARK = 0.8  # share from which on what stands on a cell is white


def page(title: str, *parts: str) -> str:
    """A whole page; its parts are HTML."""
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f'<meta charset="utf-8">{view}<title>{text(title)}</title>'
    body = "\n".join([f"<h1>{text(title)}</h1>", *parts])
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'


def text(plain: object) -> str:
    """Plain text, whatever signs it holds."""
    return html.escape(str(plain))


def paragraph(plain: str) -> str:
    return f"<p>{text(plain)}</p>"


def heading(plain: str) -> str:
    return f"<h2>{text(plain)}</h2>"


def items(lines: Iterable[str]) -> str:
    """A list; nothing of none."""
    inside = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<ul>{inside}</ul>" if inside else ""


def table(
    header: Sequence[str], body: Iterable[Sequence[object]], quoted: Collection[int] = ()
) -> str:
    """A table that scrolls sideways where it is wider than the window; its first column stays.

    Args:
        quoted: numbers of the columns that were not measured, to be marked.
    """
    marks = ["quoted" if number in quoted else "" for number in range(len(header))]
    head = "".join(f"<th{_class(mark)}>{_unbroken(cell)}</th>" for cell, mark in zip(header, marks))
    rows = "".join("<tr>" + "".join(map(_cell, line, marks)) + "</tr>\n" for line in body)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>'


def _unbroken(title: str) -> str:
    """Words of a title that break between one another only, not at a hyphen (`1-shot`)."""
    return " ".join(
        f"<span>{text(word)}</span>" if "-" in word else text(word)
        for word in str(title).split(" ")
    )


def _cell(content: object, mark: str) -> str:
    """A cell; sentences may break, numbers and names do not."""
    return f"<td{_class(mark or ('long' if len(str(content)) > LONG else ''))}>{text(content)}</td>"


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def heat(
    corner: str,
    columns: Sequence[str],
    rows: Iterable[tuple[str, Sequence[float | None], Sequence[object]]],
) -> str:
    """A table of cells that are the darker the larger their share.

    Args:
        rows: (name, shares in 0..1 (None: no cell), what stands in the cells).
    """
    head = "".join(f"<th>{text(name)}</th>" for name in (corner, *columns))
    body = []
    for name, shares, shown in rows:
        cells = "".join(_shaded(share, of) for share, of in zip(shares, shown))
        body.append(f"<tr><td>{text(name)}</td>{cells}</tr>\n")
    return f'<div class="scroll"><table class="heat"><thead><tr>{head}</tr></thead>\n<tbody>{"".join(body)}</tbody></table></div>'


def _shaded(share: float | None, shown: object) -> str:
    if share is None:
        return "<td></td>"
    colour = ";color:#fff" if share > DARK else ""
    return f'<td style="background:rgba(31,111,178,{share:.2f}){colour}">{text(shown)}</td>'


def folded(title: str, inside: str) -> str:
    """What is shown when its title is clicked."""
    return f"<details><summary>{text(title)}</summary>{inside}</details>"


def picture(canvas, alt: str) -> str:
    """A matplotlib figure inside the page, and closed."""
    from matplotlib import pyplot

    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", metadata={"Software": None})
    pyplot.close(canvas)
    return image(buffer.getvalue(), alt)


def image(png: bytes, alt: str) -> str:
    """A PNG inside the page; on a narrow window it scrolls sideways, so that its letters can be read."""
    data = base64.b64encode(png).decode()
    return f'<div class="scroll"><img alt="{text(alt)}" src="data:image/png;base64,{data}"></div>'


def write(path: Path, content: str) -> None:
    with atomic_write(path) as stream:
        stream.write(content)
