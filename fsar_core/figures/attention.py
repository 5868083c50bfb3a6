"""Figures of attention, from what `fsar inspect` took out of trained runs: maps over frames, and matrices between patches.

A map shows how much attention a patch receives: the mean of its weights over all patches that attend, times the number of
patches, so that 1 is what it would have if all were attended to alike.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fsar_core.errors import FsarError
from fsar_core.evaluation.arrays import load
from fsar_core.evaluation.statistics import estimate
from fsar_core.figures.curves import drawing
from fsar_core.paper import AttentionFigure, Example

MAPS = "inferno"
QUIET = {
    "axes.grid": False,
    "xtick.bottom": False,
    "ytick.left": False,
    "xtick.labelbottom": False,
    "ytick.labelleft": False,
}


@dataclass(frozen=True)
class Shown:
    """An example with what was taken out of the run: arrays as `inspection.attention` names them."""

    example: Example
    dataset: str  # really used
    arrays: dict[str, np.ndarray]

    @classmethod
    def of(cls, example: Example, found: dict[str, np.ndarray]) -> Shown:
        """An example's part of a file of `fsar inspect`."""
        prefix = f"{example.episode}.{example.query}."
        arrays = {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}
        return cls(example, str(found["dataset"]), arrays)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            raise FsarError(f"the head of this run has no '{name}'; name one in the figure that has it")
        return self.arrays[name]

    @property
    def caption(self) -> str:
        query, taken = (str(self.arrays[name]) for name in ("query_class", "predicted_class"))
        return f"{self.dataset}, episode {self.example.episode}: {query}" + (
            "" if query == taken else f" (taken for: {taken})"
        )

    def frame(self, number: int) -> np.ndarray:
        """Frame `number`, counted from 1, of the query: [height width 3]."""
        return np.moveaxis(self["query_frames"][number - 1], 0, -1)


def read(figure: AttentionFigure, looks: list[tuple[str, str, Path]]) -> tuple[list[Shown], dict[str, np.ndarray]]:
    """The examples in the figure's order, and data set really used -> shares of attention on the right class.

    Args:
        looks: (data set of the paper, method, file of `fsar inspect`).
    """
    files = {dataset: load(path) for dataset, _, path in looks}
    shown = []
    for example in figure.examples:
        shown.append(Shown.of(example, files[example.dataset]))
    return shown, {str(found["dataset"]): found["right_class"] for found in files.values()}


def received(weights: np.ndarray) -> np.ndarray:
    """[... patches keys] -> [... keys]: attention that every key receives, 1 for its share of a uniform one."""
    return weights.mean(-2) * weights.shape[-1]


def square(values: np.ndarray) -> np.ndarray:
    """[... patches] -> [... side side]. FsarError where the patches form no square."""
    side = round(values.shape[-1] ** 0.5)
    if side * side != values.shape[-1]:
        raise FsarError(f"{values.shape[-1]} patches form no square; use square crops")
    return values.reshape(*values.shape[:-1], side, side)


def association(figure: AttentionFigure, shown: list[Shown]):
    """A row an example: a frame, the next one, and how much each patch of the first goes with each of the next."""
    rows = []
    with drawing(**QUIET) as pyplot:
        canvas = pyplot.figure(figsize=(7.6, 2.7 * len(shown) + 0.6), layout="constrained")
        for part, one in zip(np.atleast_1d(canvas.subfigures(len(shown), 1)), shown):
            first = one.example.frame
            weights, side = one["association_query"][first - 1], figure.grid
            part.suptitle(one.caption, fontsize=8)
            *pictures, matrix = part.subplots(1, 3)
            for axis, number in zip(pictures, (first, first + 1)):
                picture = one.frame(number)
                axis.imshow(picture)
                for step in range(1, side):
                    axis.axhline(step * picture.shape[0] / side - 0.5, color="white", linewidth=0.6)
                    axis.axvline(step * picture.shape[1] / side - 0.5, color="white", linewidth=0.6)
                axis.set_xlabel(f"frame {number}", fontsize=8)
            part.colorbar(matrix.imshow(weights, cmap=MAPS, vmin=0), ax=matrix, label="weight (a row sums to 1)")
            matrix.set_xlabel(f"patch of frame {first + 1}", fontsize=8)
            matrix.set_ylabel(f"patch of frame {first}", fontsize=8)
            ticks = range(side * side)
            matrix.set_xticks(ticks, [str(n + 1) for n in ticks], fontsize=6)
            matrix.set_yticks(ticks, [str(n + 1) for n in ticks], fontsize=6)
            matrix.tick_params(labelbottom=True, labelleft=True)
            rows += [
                {**_place(one), "frame": first, "patch": i + 1, "next_patch": j + 1, "weight": value}
                for (i, j), value in np.ndenumerate(weights)
            ]
        patches = f"{figure.grid} x {figure.grid} patches, counted row by row; uniform: {1 / figure.grid**2:.2f}"
        canvas.suptitle(f"{figure.title}\n{_measured(figure, shown)}\n{patches}", fontsize=9)
    return canvas, pd.DataFrame(rows)


def self_attention(figure: AttentionFigure, shown: list[Shown]):
    """Two rows an example: its frames, and over them how much S-MGA attends to each patch of the same frame."""
    rows, most = [], max(len(one["query_frames"]) for one in shown)
    with drawing(**QUIET) as pyplot:
        canvas = pyplot.figure(figsize=(1.2 * most + 1.2, 3.1 * len(shown) + 0.6), layout="constrained")
        for part, one in zip(np.atleast_1d(canvas.subfigures(len(shown), 1)), shown):
            maps = square(received(one["self_query"]))
            part.suptitle(f"{one.caption}; λ = {float(one['lambda_self']):.2f}", fontsize=8)
            pictures, overlays = part.subplots(2, len(maps), squeeze=False)
            for i, values in enumerate(maps):
                pictures[i].imshow(one.frame(i + 1))
                pictures[i].set_title(f"frame {i + 1}", fontsize=7)
                pictures[i].set_axis_off()
                drawn = overlay(overlays[i], one.frame(i + 1), values, maps)
                rows += [
                    {**_place(one), "frame": i + 1, "row": y + 1, "column": x + 1, "received": value}
                    for (y, x), value in np.ndenumerate(values)
                ]
            part.colorbar(drawn, ax=[*pictures, *overlays], label="attention received\n(uniform: 1)", shrink=0.8)
        over = "upper rows: frames; lower rows: the attention that each patch receives from those of its frame"
        canvas.suptitle(f"{figure.title}\n{_measured(figure, shown)}\n{over}", fontsize=9)
    return canvas, pd.DataFrame(rows)


def task_attention(figure: AttentionFigure, shown: list[Shown], right: dict[str, np.ndarray]):
    """Two rows an example: a frame of the query under S-MGA's attention and the same frame of every class's support under
    C-MGA's; below them the matrices of weights."""
    way = max(len(one["support_classes"]) for one in shown)
    rows = []
    with drawing(**QUIET) as pyplot:
        canvas = pyplot.figure(figsize=(1.45 * (way + 2), 4.3 * len(shown) + 0.6), layout="constrained")
        for part, one in zip(np.atleast_1d(canvas.subfigures(len(shown), 1)), shown):
            rows += _task(part, one, way)
        told = [
            f"{dataset}: {e.mean:.1f} ± {e.ci95:.1f} % of the cross attention is on the query's own class ({e.episodes} episodes)"
            for dataset, shares in right.items()
            if len(shares)
            for e in [estimate(shares)]
        ]
        canvas.suptitle(
            "\n".join([figure.title, _measured(figure, shown), *told, f"(uniform attention: {100 / way:.0f} %)"]),
            fontsize=9,
        )
    return canvas, pd.DataFrame(rows)


def _task(part, one: Shown, way: int) -> list[dict[str, Any]]:
    """One example of `task_attention`; the rows of its CSV."""
    number, names = one.example.frame, [str(name) for name in one["support_classes"]]
    part.suptitle(f"{one.caption}, frame {number}", fontsize=8)
    grid = part.add_gridspec(2, way + 2, height_ratios=(1, 1.2))
    own = one["self_query"][number - 1]
    # Of several key frames (frame-all) and shots: the sum, so that what falls on a class is whole.
    cross = one["cross"][number - 1].sum(1)  # [patches way shot key_patches]
    maps, of_class = square(received(cross.sum(2).reshape(len(cross), -1)).reshape(way, -1)), cross.sum((2, 3)).mean(0)
    axis = part.add_subplot(grid[0, 0])
    axis.imshow(one.frame(number))
    axis.set_title("query", fontsize=7)
    axis = part.add_subplot(grid[0, 1])
    overlay(axis, one.frame(number), square(received(own)), square(received(own)))
    axis.set_title(f"S-MGA\nλ = {float(one['lambda_self']):.2f}", fontsize=7)
    for label, name in enumerate(names):
        axis = part.add_subplot(grid[0, label + 2])
        overlay(axis, np.moveaxis(one["support_frames"][label, 0, number - 1], 0, -1), maps[label], maps)
        right = name == str(one["query_class"])
        told = f"{textwrap.fill(name, 20)}\n{100 * of_class[label]:.1f} %"
        axis.set_title(told, fontsize=6, fontweight="bold" if right else "normal")
    axis = part.add_subplot(grid[1, :2])
    part.colorbar(axis.imshow(own, cmap=MAPS, vmin=0), ax=axis, label="weight")
    axis.set_xlabel("patch attended to", fontsize=7)
    axis.set_ylabel("patch of the query", fontsize=7)
    axis.set_title("S-MGA, weights", fontsize=7)
    axis = part.add_subplot(grid[1, 2:])
    flat = cross.sum(2).reshape(len(cross), -1)
    part.colorbar(axis.imshow(flat, cmap=MAPS, vmin=0, aspect="auto"), ax=axis, label="weight")
    for label in range(1, way):
        axis.axvline(label * cross.shape[-1] - 0.5, color="white", linewidth=0.8)
    axis.set_xlabel("patches of the supports, class by class", fontsize=7)
    axis.set_title(f"C-MGA, weights; λ1 = {float(one['lambda_cross']):.2f}", fontsize=7)
    return [
        {
            **_place(one),
            "frame": number,
            "support_class": names[label],
            "share": of_class[label],
            "row": y + 1,
            "column": x + 1,
        }
        | {"received": value}
        for (label, y, x), value in np.ndenumerate(maps)
    ]


def overlay(axis, picture: np.ndarray, values: np.ndarray, scale: np.ndarray):
    """A map over a grey picture; `scale` holds all values that share its colours. Returns what a colour bar is made of."""
    height, width = picture.shape[:2]
    axis.imshow(np.repeat(picture.mean(-1, keepdims=True), 3, -1).astype(np.uint8))
    drawn = axis.imshow(
        values,
        cmap=MAPS,
        alpha=0.6,
        vmin=float(scale.min()),
        vmax=float(scale.max()),
        interpolation="bicubic",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )
    axis.set_axis_off()
    return drawn


def _place(one: Shown) -> dict[str, Any]:
    return {
        "dataset": one.dataset,
        "episode": one.example.episode,
        "query": one.example.query,
        "query_class": str(one["query_class"]),
        "predicted_class": str(one["predicted_class"]),
    }


def _measured(figure: AttentionFigure, shown: list[Shown]) -> str:
    names = ", ".join(dict.fromkeys(one.dataset for one in shown))
    return f"{figure.subject.method}, {figure.subject.shot}-shot, on test clips of {names}"
