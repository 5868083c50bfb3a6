"""Which patches of a frame go with which patches of the next frame, by the attention of a head.

Source: DMGAL, Fig. 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from fsar_core.figures._attention import AttentionFigure, columns, read_examples
from fsar_core.figures._examples import ShownExample
from fsar_core.papers.kinds import FigureInputs
from fsar_core.rendering.drawing import COLOR_MAP, PLAIN, drawing


class AssociationFigure(AttentionFigure):
    """Kind association: attention between the patches of a frame and those of the next."""

    caption: ClassVar[str] = (
        "Which patches of a frame go with which of the next by their motion alone. Left, the two "
        "frames under a grid of patches, counted row by row; right, a row for every patch of the "
        "first frame and a column for every patch of the next: the brighter, the more the head "
        "lets this pair exchange. A row sums to 1; all alike would be an even spread."
    )
    frames_shown: ClassVar[int] = 2

    kind: Literal["association"]

    def draw(self, inputs: FigureInputs):
        shown, _ = read_examples(self, inputs.inspections)
        return draw_association(self, shown)


def draw_association(figure: AssociationFigure, shown: Sequence[ShownExample]):
    """Draw a row for each example: a frame, the next one, and the weights between their patches."""
    rows = []
    with drawing(**PLAIN) as pyplot:
        canvas = pyplot.figure(figsize=(7.6, 2.7 * len(shown) + 0.6), layout="constrained")
        for part, one in zip(np.atleast_1d(canvas.subfigures(len(shown), 1)), shown):
            first = one.example.frame
            weights = one["association_query"][first - 1]
            part.suptitle(one.label, fontsize=8)
            *pictures, matrix = part.subplots(1, 3)
            for axes, number in zip(pictures, (first, first + 1)):
                _draw_frame(axes, one.frame(number), number, figure.grid)
            _draw_weights(part, matrix, weights, first, figure.grid)
            rows += [
                {
                    **columns(one),
                    "frame": first,
                    "patch": i + 1,
                    "next_patch": j + 1,
                    "weight": value,
                }
                for (i, j), value in np.ndenumerate(weights)
            ]
        grid, uniform = figure.grid, 1 / figure.grid**2
        patches = f"{grid} x {grid} patches, counted row by row; uniform: {uniform:.2f}"
        canvas.suptitle(f"{figure.title}\n{figure.measured_text(shown)}\n{patches}", fontsize=9)
    return canvas, pd.DataFrame(rows)


def _draw_frame(axes, picture: np.ndarray, number: int, side: int) -> None:
    """Draw a frame under the grid of its patches."""
    axes.imshow(picture)
    for step in range(1, side):
        axes.axhline(step * picture.shape[0] / side - 0.5, color="white", linewidth=0.6)
        axes.axvline(step * picture.shape[1] / side - 0.5, color="white", linewidth=0.6)
    axes.set_xlabel(f"frame {number}", fontsize=8)


def _draw_weights(part, axes, weights: np.ndarray, first: int, side: int) -> None:
    """Draw the matrix of weights, with a color bar."""
    drawn = axes.imshow(weights, cmap=COLOR_MAP, vmin=0)
    part.colorbar(drawn, ax=axes, label="weight (a row sums to 1)")
    axes.set_xlabel(f"patch of frame {first + 1}", fontsize=8)
    axes.set_ylabel(f"patch of frame {first}", fontsize=8)
    ticks = range(side * side)
    axes.set_xticks(ticks, [str(n + 1) for n in ticks], fontsize=6)
    axes.set_yticks(ticks, [str(n + 1) for n in ticks], fontsize=6)
    axes.tick_params(labelbottom=True, labelleft=True)
