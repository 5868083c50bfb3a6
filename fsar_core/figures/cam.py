"""Figure of class activations: of every method, where in the frames of a query the evidence for its right class lies; and, where
their actionness is told, on which frames."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd

from fsar_core.evaluation.actionness import GROUPS, groups, shares
from fsar_core.evaluation.arrays import load
from fsar_core.evaluation.statistics import half_width
from fsar_core.figures.actionness import COLOURS, boxed
from fsar_core.figures.attention import QUIET, Shown, overlay
from fsar_core.figures.curves import drawing
from fsar_core.paper import CamFigure

WRAP = 20  # letters beside a row of maps before they go on in the next line


def cam(figure: CamFigure, looks: list[tuple[str, str, Path]], watches: list[tuple[str, Path]] = ()):
    """A row of frames an example, and below it a row of maps for every method, each over its own greatest value.

    Args:
        looks: (data set of the paper, method, file of `fsar inspect`).
        watches: (data set of the paper, file of `fsar inspect-saliency`), for a figure that boxes frames by their actionness.

    Returns:
        The matplotlib figure, and the maps: dataset, episode, query, query_class, method, predicted_class, frame, row, column,
        relative (to the greatest value of the method on this query; 0 everywhere where nothing speaks for the right class); with
        boxes also group (salient, ambiguous or non-salient) of the frame.
    """
    files = {(dataset, method): load(path) for dataset, method, path in looks}
    watched = {dataset: load(path) for dataset, path in watches}
    rows, names = [], []
    shown = [
        [Shown.of(example, files[example.dataset, subject.method]) for subject in figure.panels]
        for example in figure.examples
    ]
    most = max(len(methods[0]["query_frames"]) for methods in shown)
    with drawing(**QUIET) as pyplot:
        height = 1.15 * (len(figure.panels) + 1) + 0.4
        canvas = pyplot.figure(figsize=(1.15 * most + 1.6, height * len(shown) + 0.7), layout="constrained")
        for part, methods in zip(np.atleast_1d(canvas.subfigures(len(shown), 1)), shown):
            first = methods[0]
            place = {
                "dataset": first.dataset,
                "episode": first.example.episode,
                "query": first.example.query,
                "query_class": str(first["query_class"]),
            }
            names.append(first.dataset)
            part.suptitle(f"{first.dataset}, episode {first.example.episode}: {place['query_class']}", fontsize=8)
            pictures, *below = part.subplots(len(methods) + 1, len(first["query_frames"]), squeeze=False)
            boxes = _boxes(watched, first, figure.salient)
            for i, axis in enumerate(pictures):
                axis.imshow(first.frame(i + 1))
                axis.set_title(f"frame {i + 1}", fontsize=7)
                axis.set_axis_off()
                if boxes:
                    boxed(axis, boxes[i])
            for subject, one, axes in zip(figure.panels, methods, below):
                maps = one["cam"] / (float(one["cam"].max()) or 1.0)
                taken = str(one["predicted_class"])
                right = taken == place["query_class"]
                for i, values in enumerate(maps):
                    drawn = overlay(axes[i], one.frame(i + 1), values, np.array([0.0, 1.0]))
                    rows += [
                        {
                            **place,
                            "method": subject.method,
                            "predicted_class": taken,
                            "frame": i + 1,
                            "row": y + 1,
                            "column": x + 1,
                        }
                        | {"relative": value}
                        | ({"group": boxes[i]} if boxes else {})
                        for (y, x), value in np.ndenumerate(values)
                    ]
                told = textwrap.fill("right" if right else f"taken for: {taken}", WRAP)
                label = f"{subject.method}\n{told}"
                axes[0].text(-0.08, 0.5, label, transform=axes[0].transAxes, ha="right", va="center", fontsize=6)
            part.colorbar(drawn, ax=[*pictures, *np.concatenate(below)], label="relative evidence", shrink=0.6)
        shot, over = figure.panels[0].shot, ", ".join(dict.fromkeys(names))
        canvas.suptitle(
            f"{figure.title}\n{shot}-shot, on test clips of {over}\nGrad-CAM of the right class's logit, over the greatest value "
            f"of each method on this clip" + _told(figure, files, watched),
            fontsize=9,
        )
    return canvas, pd.DataFrame(rows)


def _boxes(watched: dict[str, dict], shown: Shown, salient: int | None) -> list[str]:
    """The group of each of the query's frames; nothing without a store of actionness."""
    if not watched:
        return []
    scores = _scores(watched[shown.example.dataset], np.array([shown["query_row"]]))
    return [GROUPS[number] for number in groups(scores[0], salient)]


def _scores(found: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Actionness [rows frames] of clips."""
    return found["actionness"][np.searchsorted(found["rows"], rows)]


def _told(figure: CamFigure, files: dict[tuple[str, str], dict], watched: dict[str, dict]) -> str:
    """How the evidence is shared out among the frames, by data set and method, and what the last method has more on the ambiguous
    ones than the first."""
    if not watched:
        return ""
    lines = ["boxes: " + ", ".join(f"{COLOURS[group].removeprefix('tab:')} {group}" for group in GROUPS)]
    # Data sets that are one in truth are told once.
    once = {str(found["dataset"]): dataset for dataset, found in watched.items()}
    for name, dataset in once.items():
        taken = [files[dataset, subject.method] for subject in figure.panels]
        rows = [found["evidence_rows"] for found in taken]
        parts = [shares(f["evidence"], _scores(watched[dataset], r), figure.salient) for f, r in zip(taken, rows)]
        whole = ~np.isnan(np.stack(parts)).any((0, 2))
        lines.append(f"{name}: share (%) of the evidence on {', '.join(GROUPS)} frames, {int(whole.sum())} queries")
        for subject, part in zip(figure.panels, parts):
            lines.append(f"{subject.method}: " + ", ".join(_percent(values) for values in part[whole].T))
        if len(parts) > 1:
            more = (parts[-1] - parts[0])[whole, 1]
            lines[-1] += f"; ambiguous ones {_percent(more, '+')} to {figure.panels[0].method}, paired"
    return "\n" + "\n".join(lines)


def _percent(values: np.ndarray, sign: str = "") -> str:
    return f"{100 * values.mean():{sign}.1f} ± {100 * half_width(values):.1f}"
