"""What the kinds of figures of attention share: their YAML, what they need, and how maps are read.

A map shows how much attention a patch receives: the mean of its weights over all patches that
attend, times the number of patches, so that 1 is what every patch gets if attention is uniform.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from fsar_core.bounds import Episodes, Side
from fsar_core.components.registry import Entry
from fsar_core.errors import FsarError
from fsar_core.evaluation.arrays import load
from fsar_core.figures._examples import ShownExample, check_examples, positions, quoted_heads
from fsar_core.papers.kinds import FigureKind, InspectionFile
from fsar_core.papers.models import Example, Subject
from fsar_core.papers.needs import (
    Actionness,
    Experiment,
    FigureNeeds,
    Inspection,
    InspectionNeed,
)


class AttentionFigure(FigureKind):
    """The attention of one method on a few examples."""

    inspection: ClassVar[str] = "fsar_core.evaluation.attention:inspect"
    frames_shown: ClassVar[int] = 1
    """Consecutive frames that are shown of an example."""

    kind: str
    subject: Subject
    examples: list[Example] = Field(min_length=1)
    grid: Side = 3  # side of the grid of patches, of an association
    episodes: Episodes = 100  # to measure the share of the right class in the cross attention

    def measured_on(self) -> list[str]:
        return [example.dataset for example in self.examples]

    def needs(self) -> FigureNeeds:
        datasets = dict.fromkeys(self.measured_on())
        inspections = [
            InspectionNeed(self.subject, Experiment.of_subject(self.subject, dataset))
            for dataset in datasets
        ]
        return FigureNeeds(inspections=tuple(inspections))

    def wanted(self, datasets: Sequence[str]) -> dict[str, Any]:
        return {
            "attention": positions(self.examples, datasets),
            "grid": self.grid,
            "episodes": self.episodes,
        }

    def unsuitable(self, head: Entry) -> str | None:
        if head.attributes["has_attention"]:
            return None
        return f"has no attention to show; choose {quoted_heads('has_attention')}"

    def check(
        self, preset: str, inspections: Sequence[Inspection], actionness: Sequence[Actionness]
    ) -> None:
        check_examples(self.examples, inspections, self.frames_shown)

    def measured_text(self, shown: Sequence[ShownExample]) -> str:
        """Return in words what was measured on which data."""
        names = ", ".join(dict.fromkeys(one.dataset for one in shown))
        return f"{self.subject.method}, {self.subject.shot}-shot, on test clips of {names}"


def read_examples(
    figure: AttentionFigure, inspections: Sequence[InspectionFile]
) -> tuple[list[ShownExample], dict[str, np.ndarray]]:
    """Read what was taken out of the runs.

    Returns:
        The examples in the figure's order, and data set really used -> shares of attention on the
        right class.
    """
    files = {dataset: load(path) for dataset, _, path in inspections}
    shown = [ShownExample.read(example, files[example.dataset]) for example in figure.examples]
    right = {str(arrays["dataset"]): arrays["right_class"] for arrays in files.values()}
    return shown, right


def received(weights: np.ndarray) -> np.ndarray:
    """Return the attention that every key receives, 1 for its share of a uniform one.

    Args:
        weights: [... patches keys].

    Returns:
        [... keys].
    """
    return weights.mean(-2) * weights.shape[-1]


def square(values: np.ndarray) -> np.ndarray:
    """Arrange [... patches] as [... side side].

    Raises:
        FsarError: the patches form no square.
    """
    side = round(values.shape[-1] ** 0.5)
    if side * side != values.shape[-1]:
        raise FsarError(f"{values.shape[-1]} patches form no square; use square crops")
    return values.reshape(*values.shape[:-1], side, side)


def columns(one: ShownExample) -> dict[str, Any]:
    """Return the columns that every row of an example has in the CSV."""
    return {
        "dataset": one.dataset,
        "episode": one.example.episode,
        "query": one.example.query,
        "query_class": one.query_class,
        "predicted_class": one.predicted_class,
    }
