"""What a frame of a query attends to: inside itself, and in the supports of every class.

Source: DMGAL, Fig. 8.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from fsar_core.evaluation.statistics import estimate
from fsar_core.figures._attention import AttentionFigure, columns, read_examples, received, square
from fsar_core.figures._examples import ShownExample
from fsar_core.papers.kinds import FigureInputs
from fsar_core.rendering.drawing import COLOR_MAP, PLAIN, draw_map_over, drawing

LABEL_WIDTH = 20  # letters of a class name before it continues on the next line


class TaskAttentionFigure(AttentionFigure):
    """Kind task_attention: what a query's frame attends to in itself and in the supports."""

    caption: ClassVar[str] = (
        "What a query's frame attends to: first inside itself, then in the support clips of all "
        "classes of the episode; the warmer, the more. How much of it falls on the right class is "
        "measured over many episodes and told in the title; an even spread would give each class "
        "the same."
    )

    kind: Literal["task_attention"]

    def draw(self, inputs: FigureInputs):
        shown, right = read_examples(self, inputs.inspections)
        return draw_task_attention(self, shown, right)


def draw_task_attention(
    figure: TaskAttentionFigure,
    shown: Sequence[ShownExample],
    right: Mapping[str, np.ndarray],
):
    """Draw two rows for each example: maps over frames, and the matrices of weights.

    The maps are S-MGA's attention over a frame of the query, and C-MGA's over the same frame of
    every class's support.

    Args:
        right: data set really used -> share of the right class in each episode.
    """
    way = max(len(one["support_classes"]) for one in shown)
    rows = []
    with drawing(**PLAIN) as pyplot:
        canvas = pyplot.figure(
            figsize=(1.45 * (way + 2), 4.3 * len(shown) + 0.6), layout="constrained"
        )
        for part, one in zip(np.atleast_1d(canvas.subfigures(len(shown), 1)), shown):
            rows += _draw_example(part, one, way)
        lines = [figure.title, figure.measured_text(shown)]
        lines += [_share(dataset, shares) for dataset, shares in right.items() if len(shares)]
        lines.append(f"(uniform attention: {100 / way:.0f} %)")
        canvas.suptitle("\n".join(lines), fontsize=9)
    return canvas, pd.DataFrame(rows)


def _share(dataset: str, shares: np.ndarray) -> str:
    measured = estimate(shares)
    return (
        f"{dataset}: {measured.mean:.1f} ± {measured.ci95:.1f} % of the cross attention is on the "
        f"query's own class ({measured.episodes} episodes)"
    )


def _draw_example(part, one: ShownExample, way: int) -> list[dict[str, Any]]:
    """Draw one example, and return its rows of the CSV."""
    number = one.example.frame
    names = [str(name) for name in one["support_classes"]]
    part.suptitle(f"{one.label}, frame {number}", fontsize=8)
    grid = part.add_gridspec(2, way + 2, height_ratios=(1, 1.2))
    own = one["self_query"][number - 1]
    # Of several key frames (frame-all) and shots: the sum, so that the share of a class is whole.
    cross = one["cross"][number - 1].sum(1)  # [patches way shot key_patches]
    maps = square(received(cross.sum(2).reshape(len(cross), -1)).reshape(way, -1))
    of_class = cross.sum((2, 3)).mean(0)
    axes = part.add_subplot(grid[0, 0])
    axes.imshow(one.frame(number))
    axes.set_title("query", fontsize=7)
    axes = part.add_subplot(grid[0, 1])
    own_map = square(received(own))
    draw_map_over(axes, one.frame(number), own_map, own_map)
    axes.set_title(f"S-MGA\nλ = {float(one['lambda_self']):.2f}", fontsize=7)
    for label, name in enumerate(names):
        axes = part.add_subplot(grid[0, label + 2])
        frame = np.moveaxis(one["support_frames"][label, 0, number - 1], 0, -1)
        draw_map_over(axes, frame, maps[label], maps)
        weight = "bold" if name == one.query_class else "normal"
        title = f"{textwrap.fill(name, LABEL_WIDTH)}\n{100 * of_class[label]:.1f} %"
        axes.set_title(title, fontsize=6, fontweight=weight)
    _draw_own_weights(part, part.add_subplot(grid[1, :2]), own)
    _draw_cross_weights(part, part.add_subplot(grid[1, 2:]), cross, float(one["lambda_cross"]))
    return [
        {
            **columns(one),
            "frame": number,
            "support_class": names[label],
            "share": of_class[label],
            "row": y + 1,
            "column": x + 1,
            "received": value,
        }
        for (label, y, x), value in np.ndenumerate(maps)
    ]


def _draw_own_weights(part, axes, own: np.ndarray) -> None:
    part.colorbar(axes.imshow(own, cmap=COLOR_MAP, vmin=0), ax=axes, label="weight")
    axes.set_xlabel("patch attended to", fontsize=7)
    axes.set_ylabel("patch of the query", fontsize=7)
    axes.set_title("S-MGA, weights", fontsize=7)


def _draw_cross_weights(part, axes, cross: np.ndarray, lambda_cross: float) -> None:
    """Draw weights [patches way shot key_patches], the classes side by side."""
    flat = cross.sum(2).reshape(len(cross), -1)
    drawn = axes.imshow(flat, cmap=COLOR_MAP, vmin=0, aspect="auto")
    part.colorbar(drawn, ax=axes, label="weight")
    for label in range(1, cross.shape[1]):
        axes.axvline(label * cross.shape[-1] - 0.5, color="white", linewidth=0.8)
    axes.set_xlabel("patches of the supports, class by class", fontsize=7)
    axes.set_title(f"C-MGA, weights; λ1 = {lambda_cross:.2f}", fontsize=7)
