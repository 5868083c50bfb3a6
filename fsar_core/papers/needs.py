"""What tables and figures are made from: as a kind declares it, and as specs.

A kind declares its needs (`TableNeeds`, `FigureNeeds`) in terms of the paper: its data sets,
methods and shots. A study resolves each of them under one configuration:

    CellNeed        -> Cell         the run behind one number of a table
    PointNeed       -> Point        the run behind one point of a figure
    InspectionNeed  -> Inspection   what is taken out of one trained run
    ActionnessNeed  -> Actionness   the saliency store of one data set

Declarations need neither a configuration nor torch, so that jobs can compare them to the files that
they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from fsar_core.papers.models import Curve, Subject
from fsar_core.specs import Component, EpisodeSpec, RunSpec, SaliencySpec


@dataclass(frozen=True)
class Experiment:
    """A head and a metric that are trained and tested.

    Attributes:
        place: where the file names it, for errors: "row 'TRX'".
        dataset: of the paper, to test on.
        setup: of the preset; None: the preset's own backbone.
        frames: of a clip; None: the preset's.
        trained_on: data set of the paper, where it is not the one that is tested on.
        test: `way` or `max_seconds` of the test episodes, where they are not the preset's.
    """

    place: str
    dataset: str
    head: Component
    matching: Component
    shot: int
    setup: str | None = None
    frames: int | None = None
    trained_on: str | None = None
    test: Mapping[str, int | float] = field(default_factory=dict)

    @classmethod
    def of_curve(cls, curve: Curve, dataset: str, shot: int) -> Experiment:
        """Return the experiment of a method whose results are drawn."""
        place = f"'{curve.method}'"
        return cls(place, dataset, curve.head, curve.matching, shot, curve.setup)

    @classmethod
    def of_subject(cls, subject: Subject, dataset: str) -> Experiment:
        """Return the experiment of a method that is inspected."""
        place = f"'{subject.method}'"
        return cls(place, dataset, subject.head, subject.matching, subject.shot, subject.setup)


class EpisodeShape(NamedTuple):
    """Size of test episodes, and how many there are."""

    way: int
    shot: int
    query: int
    count: int


class Column(NamedTuple):
    """What a column of a table of accuracies is measured at.

    Attributes:
        way: where it is not the usual one.
        seconds: the longest duration of a test clip, where it is limited.
        key: of the printed numbers.
    """

    shot: int
    way: int | None = None
    seconds: float | None = None
    key: int | str = ""

    @property
    def name(self) -> str:
        """In the CSV, after the data set: 1shot, 6way_1shot, 3s_1shot."""
        parts = [f"{self.way}way"] if self.way else []
        parts += [f"{self.seconds:g}s"] if self.seconds else []
        return "_".join([*parts, f"{self.shot}shot"])

    @property
    def label(self) -> str:
        """For people, after the data set."""
        parts = [f"clips of at most {self.seconds:g} s,"] if self.seconds else []
        parts += [f"{self.way}-way"] if self.way else []
        return " ".join([*parts, f"{self.shot}-shot"])


class MeasuredRow(Protocol):
    """The row of a table that a measured number is in."""

    method: str
    head: Component | None
    matching: Component | None
    compare_to: str | None


@dataclass(frozen=True)
class CellNeed:
    """The run behind one number of a table."""

    row: MeasuredRow
    column: Column
    experiment: Experiment


@dataclass(frozen=True)
class PointNeed:
    """The run behind one point of a figure.

    Attributes:
        panel: its number.
        value: on the axis that is varied.
    """

    panel: int
    method: str
    value: int
    experiment: Experiment

    @property
    def key(self) -> tuple[int, str, int, int]:
        """(panel, method, shot, value)."""
        return (self.panel, self.method, self.experiment.shot, self.value)


@dataclass(frozen=True)
class InspectionNeed:
    """A trained run that something is taken out of, by the figure kind's `inspection`.

    Attributes:
        episodes: from the number of clips of the smallest test class to the episodes that are
            inspected; None: the run's own test episodes.
        reads_masks: whether the run's masks store is read, too.
    """

    subject: Subject
    experiment: Experiment
    episodes: Callable[[int], EpisodeShape] | None = None
    reads_masks: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """(data set of the paper, method)."""
        return (self.experiment.dataset, self.subject.method)


@dataclass(frozen=True)
class ActionnessNeed:
    """The actionness of a data set's clips.

    Attributes:
        dataset: of the paper.
        setup: whose features are scored; None: the preset's own.
        examples: test clips whose frames are shown.
    """

    dataset: str
    setup: str | None = None
    examples: int = 0


@dataclass(frozen=True)
class TableNeeds:
    """Everything that a table is made from.

    Attributes:
        indices: data sets of the paper whose clip indices are read.
        complexity: what `fsar complexity` is to count or measure (see `jobs.ComplexityJob`).
    """

    cells: tuple[CellNeed, ...] = ()
    indices: tuple[str, ...] = ()
    complexity: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class FigureNeeds:
    """Everything that a figure is made from."""

    points: tuple[PointNeed, ...] = ()
    inspections: tuple[InspectionNeed, ...] = ()
    actionness: tuple[ActionnessNeed, ...] = ()

    @property
    def experiments(self) -> list[Experiment]:
        """Those whose results are drawn, then those that are inspected."""
        return [need.experiment for need in (*self.points, *self.inspections)]


@dataclass(frozen=True)
class Cell:
    """One measured number: a row of a table on one data set at one column."""

    row: MeasuredRow
    paper_dataset: str
    column: Column
    setup: str | None
    run: RunSpec


@dataclass(frozen=True)
class Point:
    """One result that a figure draws."""

    panel: int
    method: str
    shot: int
    value: int
    setup: str | None
    run: RunSpec


@dataclass(frozen=True)
class Inspection:
    """What a figure takes out of one trained run.

    Attributes:
        dataset: of the paper.
        wanted: what `fsar inspect` is told, the same for all data sets of the paper that share the
            run.
    """

    dataset: str
    subject: Subject
    setup: str | None
    run: RunSpec
    episodes: EpisodeSpec
    wanted: Mapping[str, Any]
    reads_masks: bool = False


@dataclass(frozen=True)
class Actionness:
    """A data set of the paper whose actionness a figure shows, and the store that holds it."""

    dataset: str
    setup: str | None
    saliency: SaliencySpec
    examples: int = 0
