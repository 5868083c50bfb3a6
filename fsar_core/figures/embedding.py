"""t-SNE of what a metric is given of an episode's clips, and how well the classes lie apart, measured over several episodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fsar_core.errors import FsarError
from fsar_core.evaluation.arrays import load
from fsar_core.evaluation.statistics import half_width
from fsar_core.figures.curves import drawing
from fsar_core.paper import EmbeddingFigure

SEED = 0


def apart(rows: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette (Rousseeuw 1987) of labelled rows, -1 to 1: 1 for tight classes far from each other, 0 for none."""
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(rows, labels))


def positions(support: np.ndarray, query: np.ndarray, perplexity: float) -> np.ndarray:
    """t-SNE (van der Maaten and Hinton 2008) of support and query rows together, from their principal components: [rows 2]."""
    from sklearn.manifold import TSNE

    rows = np.concatenate([support, query])
    if perplexity >= len(rows):
        raise FsarError(f"a perplexity of {perplexity:g} needs more than the {len(rows)} clips of an episode; lower it")
    return TSNE(perplexity=perplexity, init="pca", random_state=SEED).fit_transform(rows)


def embedding(figure: EmbeddingFigure, looks: list[tuple[str, str, Path]]):
    """A panel a method: the clips of the first episode, the supports hollow.

    Returns:
        The matplotlib figure, and the points: method, silhouette and ci95 (queries, mean over the episodes), difference and
        difference_ci95 (to the first method, paired on the episodes), side, class, x, y.
    """
    found = [load(path) for _, _, path in looks]
    shares = [np.array([apart(*pair) for pair in zip(one["query"], one["query_labels"])]) for one in found]
    tables = []
    with drawing(**{"xtick.labelbottom": False, "ytick.labelleft": False}) as pyplot:
        canvas, axes = pyplot.subplots(
            1, len(found), figsize=(4.6 * len(found) + 1.2, 4.4), squeeze=False, layout="constrained"
        )
        for number, (axis, one, subject) in enumerate(zip(axes[0], found, figure.panels)):
            places = positions(one["support"][0], one["query"][0], figure.perplexity)
            labels = np.concatenate([one["support_labels"][0], one["query_labels"][0]])
            supports = np.arange(len(labels)) < len(one["support"][0])
            for colour, label in enumerate(dict.fromkeys(labels)):
                name = str(one["class_names"][label])
                for side, hollow in ((supports, True), (~supports, False)):
                    chosen = places[(labels == label) & side]
                    face = "none" if hollow else f"C{colour}"
                    axis.scatter(
                        *chosen.T, s=18, facecolors=face, edgecolors=f"C{colour}", label=None if hollow else name
                    )
            mean, ci95 = _mean(shares[number])
            text = f"{subject.method}\nsilhouette of the queries {mean:.3f} ± {ci95:.3f}"
            table = pd.DataFrame({"method": subject.method, "silhouette": mean, "ci95": ci95}, index=range(len(labels)))
            if number:
                difference, difference_ci95 = _mean(shares[number] - shares[0])
                text += f" ({difference:+.3f} ± {difference_ci95:.3f})"
                table = table.assign(difference=difference, difference_ci95=difference_ci95)
            axis.set_title(text, fontsize=8)
            axis.set_xlabel("t-SNE 1 (no unit)")
            axis.set_ylabel("t-SNE 2 (no unit)")
            names = [str(one["class_names"][label]) for label in labels]
            table = table.assign(side=np.where(supports, "support", "query"), x=places[:, 0], y=places[:, 1])
            tables.append(table.assign(**{"class": names}))
        canvas.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", title="class", fontsize=7)
        episodes, way = len(shares[0]), figure.episode.way
        shot, queries = int(found[0]["shot"]), found[0]["query"].shape[1] // way
        asked = "" if shot == figure.episode.shot else f" ({figure.episode.shot} asked for, more than the classes have)"
        canvas.suptitle(
            f"{figure.title}\n{way}-way {shot}-shot{asked} on {found[0]['dataset']}, {queries} queries a class: hollow supports, "
            f"filled queries of one episode;\nsilhouette: mean ± 95 % interval over {episodes} episodes, in parentheses the "
            f"paired difference to the first",
            fontsize=9,
        )
    return canvas, pd.concat(tables, ignore_index=True)


def _mean(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), half_width(values)
