"""A figure in the report: the picture, below it what it shows and how to read it, and the numbers that are drawn."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fsar_core.paper import AnyFigure
from fsar_core.rendering import web

SHOWN = 200  # rows of numbers; all are in the CSV
CAPTIONS = {
    "curves": "Each curve is one method: its accuracy on the frozen test episodes over what is varied along the horizontal "
    "axis. Where two bands, the 95 % intervals over episodes, do not overlap, the methods differ; dotted is what guessing "
    "would give.",
    "class_gain": "Of every test class, how many points one method gains over the other on the same queries. Bars to the "
    "right are gains; whiskers are 95 % intervals, and pale bars hold 0: of these classes no difference is shown.",
    "class_accuracy": "Left, the accuracy of every test class by method; right, the first method's gain over each of the "
    "others on the same queries. Whiskers are 95 % intervals; pale bars hold 0: of these classes no difference is shown.",
    "association": "Which patches of a frame go with which of the next by their motion alone. Left, the two frames under a "
    "grid of patches, counted row by row; right, a row for every patch of the first frame and a column for every patch of "
    "the next: the brighter, the more the head lets this pair exchange. A row sums to 1; all alike would be an even spread.",
    "self_attention": "How much attention every patch of a frame receives from the patches of its own frame: 1 is its even "
    "share, the warmer, the more. Each clip has a scale of its own beside it. A head that follows the motion is warm where "
    "something moves, and cool on what stands still.",
    "task_attention": "What a query's frame attends to: first inside itself, then in the support clips of all classes of "
    "the episode; the warmer, the more. How much of it falls on the right class is measured over many episodes and told in "
    "the title; an even spread would give each class the same.",
    "cam": "Evidence for the right class over the frames of a query (Grad-CAM), a row for every method on the same frames: "
    "the warmer a place, the more it speaks for the class. All maps of a method and a clip are scaled to their largest "
    "value, so that colours say where in the clip the evidence lies, not how much of it there is.",
    "masks": "Masks that the network predicts beside the true ones, on training clips whose masks it was never shown. How "
    "much they overlap (IoU: the common area over the area of both) is measured over many clips, and beside it how much the "
    "mean mask of the other clips does, which knows nothing of a frame.",
    "embedding": "Clips of one episode as the metric is given them, laid out in two dimensions so that neighbours stay "
    "neighbours (t-SNE): a dot is a clip, a colour a class; distances between far groups mean nothing. How well classes are "
    "apart is measured over many episodes by the silhouette, from -1 (mixed) to 1 (apart).",
    "actionness": "How much every frame looks like an action, by a classifier of frames that was trained on the training "
    "classes: the higher the line, the more. Boxed are the frames with the highest and the lowest values, by which training "
    "hides frames.",
}


def page(name: str, figure: AnyFigure, picture: Path, table: pd.DataFrame) -> str:
    """The page.

    Args:
        name: the figure's, as its files are called.
        picture: its PNG file.
        table: what is drawn, as in its CSV file.
    """
    parts = [
        f"<figure>{web.image(Path(picture).read_bytes(), figure.title)}",
        f"<figcaption>{web.paragraph(CAPTIONS[figure.kind])}{web.items(figure.notes)}</figcaption></figure>",
        web.paragraph(
            f"In the paper: {figure.where}. Everything here was measured in this run; nothing printed is drawn. The "
            f"numbers are in {name}.csv, the picture for print is {name}.pdf."
        ),
    ]
    if len(table):
        rows = [[_shown(value) for value in row] for row in table.head(SHOWN).itertuples(index=False)]
        of = f"the first {SHOWN} of {len(table):,} rows" if len(table) > SHOWN else f"{len(table):,} rows"
        parts.append(web.folded(f"The numbers that are drawn ({of})", web.table(list(table.columns), rows)))
    return web.page(figure.title, *parts)


def write_page(name: str, figure: AnyFigure, table: pd.DataFrame, prefix: Path) -> None:
    """`<prefix>.html`, once `<prefix>.png` is there."""
    web.write(prefix.with_suffix(".html"), page(name, figure, prefix.with_suffix(".png"), table))


def _shown(value: object) -> str:
    """Of a measured number as many digits as say something; an empty cell for a missing one."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    return str(value)
