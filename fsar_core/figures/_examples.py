"""Queries of test episodes that are shown, shared by kinds that draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fsar_core.components import registry
from fsar_core.errors import FsarError
from fsar_core.papers.models import Example
from fsar_core.papers.needs import Inspection


@dataclass(frozen=True)
class ShownExample:
    """An example with the arrays that were taken out of a run for it.

    Attributes:
        dataset: really used.
        arrays: by the names that the inspection gave them, without "<episode>.<query>.".
    """

    example: Example
    dataset: str
    arrays: dict[str, np.ndarray]

    @classmethod
    def read(cls, example: Example, inspected: dict[str, np.ndarray]) -> ShownExample:
        """Return the part of an inspection file that belongs to an example."""
        prefix = f"{example.episode}.{example.query}."
        arrays = {
            name.removeprefix(prefix): value
            for name, value in inspected.items()
            if name.startswith(prefix)
        }
        return cls(example, str(inspected["dataset"]), arrays)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            raise FsarError(
                f"the head of this run has no '{name}'; name one in the figure that has it"
            )
        return self.arrays[name]

    @property
    def query_class(self) -> str:
        """The right class of the query."""
        return str(self["query_class"])

    @property
    def predicted_class(self) -> str:
        """The class that the query was taken for."""
        return str(self["predicted_class"])

    @property
    def label(self) -> str:
        """Data set, episode and class, for people."""
        text = f"{self.dataset}, episode {self.example.episode}: {self.query_class}"
        if self.query_class != self.predicted_class:
            text += f" (taken for: {self.predicted_class})"
        return text

    def frame(self, number: int) -> np.ndarray:
        """Return frame `number` of the query, counted from 1: [height width 3]."""
        return np.moveaxis(self["query_frames"][number - 1], 0, -1)


def positions(examples: Sequence[Example], datasets: Sequence[str]) -> list[tuple[int, int]]:
    """Return (episode, query) of the examples of some data sets, data set by data set."""
    return [
        (example.episode, example.query)
        for dataset in datasets
        for example in examples
        if example.dataset == dataset
    ]


def check_examples(
    examples: Sequence[Example], inspections: Sequence[Inspection], frames_shown: int = 1
) -> None:
    """Check that examples are among the test episodes, and their frames among those of a clip.

    Args:
        frames_shown: consecutive frames that are shown of an example.
    Raises:
        FsarError: an episode, query or frame does not exist.
    """
    for inspection in inspections:
        test = inspection.episodes
        last = {
            "episode": test.count - 1,
            "query": test.way * test.query - 1,
            "frame": inspection.run.features.frames.count - (frames_shown - 1),
        }
        for example in examples:
            for key, limit in last.items():
                number = getattr(example, key)
                if number > limit:
                    raise FsarError(f"an example has {key} {number}; the last one is {limit}")


def quoted_heads(attribute: str) -> str:
    """Return the heads for which an attribute of their class is set, for errors."""
    return " or ".join(f"`{name}`" for name in registry.having("heads", attribute))
