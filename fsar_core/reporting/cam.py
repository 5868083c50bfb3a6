"""Figure of class activations: of every method, where in the frames of a query the evidence for its right class lies."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd

from fsar_core.paper import CamFigure
from fsar_core.reporting.attention import QUIET, Shown, load, overlay
from fsar_core.reporting.figures import drawing

WRAP = 20  # letters beside a row of maps before they go on in the next line


def cam(figure: CamFigure, looks: list[tuple[str, str, Path]]):
    """A row of frames an example, and below it a row of maps for every method, each over its own greatest value.

    Args:
        looks: (data set of the paper, method, file of `fsar inspect`).

    Returns:
        The matplotlib figure, and the maps: dataset, episode, query, query_class, method, predicted_class, frame, row, column,
        relative (to the greatest value of the method on this query; 0 everywhere where nothing speaks for the right class).
    """
    files = {(dataset, method): load(path) for dataset, method, path in looks}
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
            for i, axis in enumerate(pictures):
                axis.imshow(first.frame(i + 1))
                axis.set_title(f"frame {i + 1}", fontsize=7)
                axis.set_axis_off()
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
                        for (y, x), value in np.ndenumerate(values)
                    ]
                told = textwrap.fill("right" if right else f"taken for: {taken}", WRAP)
                label = f"{subject.method}\n{told}"
                axes[0].text(-0.08, 0.5, label, transform=axes[0].transAxes, ha="right", va="center", fontsize=6)
            part.colorbar(drawn, ax=[*pictures, *np.concatenate(below)], label="relative evidence", shrink=0.6)
        shot, over = figure.panels[0].shot, ", ".join(dict.fromkeys(names))
        canvas.suptitle(
            f"{figure.title}\n{shot}-shot, on test clips of {over}\nGrad-CAM of the right class's logit, over the greatest value "
            f"of each method on this clip",
            fontsize=9,
        )
    return canvas, pd.DataFrame(rows)
