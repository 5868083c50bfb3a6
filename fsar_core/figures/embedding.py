"""t-SNE of the features that the metric gets of an episode's clips, a panel for every method.

How well classes are separated is measured over several episodes.

Source: DMGAL, Fig. 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from fsar_core.bounds import Episodes, Shot, Way
from fsar_core.config import Model
from fsar_core.errors import FsarError
from fsar_core.evaluation.arrays import load
from fsar_core.evaluation.statistics import half_width
from fsar_core.papers.kinds import FigureInputs, FigureKind, InspectionFile
from fsar_core.papers.models import Subject
from fsar_core.papers.needs import EpisodeShape, Experiment, FigureNeeds, InspectionNeed
from fsar_core.rendering.drawing import drawing

SEED = 0
LEAST_QUERIES = 2  # of a class; one alone has no silhouette


class EmbeddingEpisode(Model):
    """Episodes of test classes: the first is drawn, all are measured.

    Where a class has fewer clips than shot + query, both shrink in proportion.
    """

    way: Way
    shot: Shot
    query: int = Field(ge=LEAST_QUERIES, le=1000)  # a class
    count: Episodes

    def fitted(self, smallest_class: int) -> EpisodeShape:
        """Return the episodes for classes of at least so many clips."""
        wanted = self.shot + self.query
        query, shot = self.query, self.shot
        if smallest_class < wanted:
            query = max(LEAST_QUERIES, smallest_class * self.query // wanted)
            shot = max(1, smallest_class - query)
        return EpisodeShape(way=self.way, shot=shot, query=query, count=self.count)


class EmbeddingFigure(FigureKind):
    """Kind embedding: t-SNE of what the metric is given, a panel for every method."""

    caption: ClassVar[str] = (
        "Clips of one episode as the metric is given them, laid out in two dimensions so that "
        "neighbours stay neighbours (t-SNE): a dot is a clip, a colour a class; distances between "
        "far groups mean nothing. How well classes are apart is measured over many episodes by the "
        "silhouette, from -1 (mixed) to 1 (apart)."
    )
    inspection: ClassVar[str] = "fsar_core.evaluation.embeddings:inspect"

    kind: Literal["embedding"]
    dataset: str
    episode: EmbeddingEpisode
    perplexity: float = Field(default=15.0, gt=0, le=1000)
    panels: list[Subject] = Field(min_length=1)

    def measured_on(self) -> list[str]:
        return [self.dataset]

    def needs(self) -> FigureNeeds:
        inspections = [
            InspectionNeed(
                subject,
                Experiment.of_subject(subject, self.dataset),
                episodes=self.episode.fitted,
            )
            for subject in self.panels
        ]
        return FigureNeeds(inspections=tuple(inspections))

    def wanted(self, datasets: Sequence[str]) -> dict[str, Any]:
        return {"embedding": True}

    def draw(self, inputs: FigureInputs):
        return draw_embedding(self, inputs.inspections)


def silhouette(rows: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean silhouette of labelled rows, from -1 to 1.

    1 for tight classes far from each other, 0 where classes mix.

    Source: Rousseeuw 1987.
    """
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(rows, labels))


def tsne_positions(support: np.ndarray, query: np.ndarray, perplexity: float) -> np.ndarray:
    """Lay out support and query rows together, starting from their principal components.

    Source: van der Maaten and Hinton 2008 (t-SNE).

    Returns:
        [rows 2].

    Raises:
        FsarError: there are too few rows for the perplexity.
    """
    from sklearn.manifold import TSNE

    rows = np.concatenate([support, query])
    if perplexity >= len(rows):
        raise FsarError(
            f"a perplexity of {perplexity:g} needs more than the {len(rows)} clips of an episode; "
            f"lower it"
        )
    return TSNE(perplexity=perplexity, init="pca", random_state=SEED).fit_transform(rows)


def draw_embedding(figure: EmbeddingFigure, inspections: Sequence[InspectionFile]):
    """Draw a panel for each method: the clips of the first episode, the supports hollow.

    Returns:
        The matplotlib figure, and the points: method, silhouette and ci95 (queries, mean over the
        episodes), difference and difference_ci95 (to the first method, paired on the episodes),
        side, class, x, y.
    """
    taken = [load(path) for _, _, path in inspections]
    separation = [
        np.array([silhouette(*pair) for pair in zip(one["query"], one["query_labels"])])
        for one in taken
    ]
    tables = []
    with drawing(**{"xtick.labelbottom": False, "ytick.labelleft": False}) as pyplot:
        canvas, axes = pyplot.subplots(
            1,
            len(taken),
            figsize=(4.6 * len(taken) + 1.2, 4.4),
            squeeze=False,
            layout="constrained",
        )
        for number, (axis, one, subject) in enumerate(zip(axes[0], taken, figure.panels)):
            points = _draw_panel(axis, one, figure.perplexity)
            mean, ci95 = _mean(separation[number])
            title = f"{subject.method}\nsilhouette of the queries {mean:.3f} ± {ci95:.3f}"
            front = {"method": subject.method, "silhouette": mean, "ci95": ci95}
            if number:
                difference, difference_ci95 = _mean(separation[number] - separation[0])
                title += f" ({difference:+.3f} ± {difference_ci95:.3f})"
                front |= {"difference": difference, "difference_ci95": difference_ci95}
            axis.set_title(title, fontsize=8)
            tables.append(pd.DataFrame(front, index=points.index).join(points))
        handles, labels = axes[0, 0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside right center", title="class", fontsize=7)
        canvas.suptitle(_title(figure, taken[0], len(separation[0])), fontsize=9)
    return canvas, pd.concat(tables, ignore_index=True)


def _draw_panel(axis, one: dict[str, np.ndarray], perplexity: float) -> pd.DataFrame:
    """Draw the first episode of a method; return the points: side, x, y, class."""
    places = tsne_positions(one["support"][0], one["query"][0], perplexity)
    labels = np.concatenate([one["support_labels"][0], one["query_labels"][0]])
    is_support = np.arange(len(labels)) < len(one["support"][0])
    for color, label in enumerate(dict.fromkeys(labels)):
        name = str(one["class_names"][label])
        supports = places[(labels == label) & is_support]
        queries = places[(labels == label) & ~is_support]
        edge = dict(s=18, edgecolors=f"C{color}")
        axis.scatter(*supports.T, facecolors="none", **edge)
        axis.scatter(*queries.T, facecolors=f"C{color}", label=name, **edge)
    axis.set_xlabel("t-SNE 1 (no unit)")
    axis.set_ylabel("t-SNE 2 (no unit)")
    return pd.DataFrame(
        {
            "side": np.where(is_support, "support", "query"),
            "x": places[:, 0],
            "y": places[:, 1],
            "class": [str(one["class_names"][label]) for label in labels],
        }
    )


def _title(figure: EmbeddingFigure, one: dict[str, np.ndarray], episodes: int) -> str:
    way, shot = figure.episode.way, int(one["shot"])
    queries = one["query"].shape[1] // way
    shrunk = ""
    if shot != figure.episode.shot:
        shrunk = f" ({figure.episode.shot} asked for, more than the classes have)"
    return (
        f"{figure.title}\n{way}-way {shot}-shot{shrunk} on {one['dataset']}, {queries} queries a "
        f"class: hollow supports, filled queries of one episode;\nsilhouette: mean ± 95 % interval "
        f"over {episodes} episodes, in parentheses the paired difference to the first"
    )


def _mean(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), half_width(values)
