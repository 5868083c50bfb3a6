"""Contracts of table kinds, figure kinds and report pages.

A kind is a pydantic model of its YAML file (of its job's spec, for a page) that also says what it
needs and how it is made. To add one, add a module to `fsar_core.tables`, `fsar_core.figures` or
`fsar_core.report` that defines exactly one subclass of the base class here:

    class ClassGainFigure(FigureKind):
        kind: Literal["class_gain"]  # the name of the module
        caption: ClassVar[str] = "How many points one method gains over the other ..."

        dataset: str  # keys of the YAML file
        ...

        def needs(self) -> FigureNeeds: ...
        def draw(self, inputs: FigureInputs) -> tuple[Figure, pd.DataFrame]: ...

Modules of kinds are imported to plan the workflow: import torch and matplotlib inside functions.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from fsar_core.components.registry import Entry
from fsar_core.config import Model
from fsar_core.papers.needs import Actionness, FigureNeeds, Inspection, TableNeeds
from fsar_core.specs import Component

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from fsar_core.rendering.tables import Block
    from fsar_core.storage.places import Place
    from fsar_core.study import Study


class Kind(Model):
    """What all kinds have in common."""

    @property
    def module(self) -> str:
        """Where the kind is defined: its code belongs to the jobs that use it."""
        return type(self).__module__


# -- figures ---------------------------------------------------------------------------------------


class Result(NamedTuple):
    """The results of one run, for one point of a figure; see `needs.PointNeed`."""

    panel: int
    method: str
    shot: int
    value: int
    run: Path


class InspectionFile(NamedTuple):
    """What `fsar inspect` took out of a run: data set of the paper, method, .npz file."""

    dataset: str
    method: str
    path: Path


class ActionnessFile(NamedTuple):
    """What `fsar inspect-saliency` took out of a store: data set of the paper, .npz file."""

    dataset: str
    path: Path


@dataclass(frozen=True)
class FigureInputs:
    """The files that a figure is drawn from, one for each of its needs.

    Attributes:
        way: of the preset's test episodes.
    """

    way: int
    results: Sequence[Result] = ()
    inspections: Sequence[InspectionFile] = ()
    actionness: Sequence[ActionnessFile] = ()


class FigureKind(Kind):
    """A file workflow/figures/<paper>_<figure>.yaml, what it needs, and how it is drawn.

    A subclass adds the keys of its files as fields, `kind: Literal["<name of the module>"]` among
    them, and overrides `caption`, `measured_on`, `needs` and `draw`. One that takes arrays out of
    trained runs also overrides `inspection` and `wanted`.
    """

    caption: ClassVar[str] = ""
    """How to read the figure; stands below it in the report."""

    inspection: ClassVar[str] = ""
    """What `fsar inspect` calls, as "module:function"; empty for a kind that needs no inspections.

    The function gets an `evaluation.opened_run.OpenedRun` and what `wanted` returned, and returns
    arrays by name. It may stand in the kind's own module. In a module of its own, a change of the
    drawing does not repeat inspections.
    """

    title: str
    where: str
    notes: list[str] = []

    @abstractmethod
    def measured_on(self) -> list[str]:
        """Return the data sets of the paper that the figure is about."""

    @abstractmethod
    def needs(self) -> FigureNeeds:
        """Return what the figure is made from."""

    def wanted(self, datasets: Sequence[str]) -> dict[str, Any]:
        """Return what to take out of a run, as plain data for `inspection`.

        A kind without `inspection` wants nothing.

        Args:
            datasets: of the paper; several where one card is used in place of all of them.
        """
        return {}

    def unsuitable(self, head: Entry) -> str | None:
        """Return why a head cannot be shown ("has no attention to show"), or None if it can."""
        return None

    def check(
        self, preset: str, inspections: Sequence[Inspection], actionness: Sequence[Actionness]
    ) -> None:
        """Check what only the specs of the needs tell; called for figures that are made.

        Args:
            preset: its name, for errors.
        Raises:
            FsarError: for example an episode that does not exist is to be shown.
        """

    @abstractmethod
    def draw(self, inputs: FigureInputs) -> tuple[Figure, pd.DataFrame]:
        """Return the matplotlib figure and the numbers that it shows, as they go into the CSV."""


# -- tables ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TableInputs:
    """What a table is made from, one for each of its needs.

    Attributes:
        name: of the table.
        way: of the preset's test episodes.
        behind: data set of the paper -> card that is used in its place.
        runs: (method, card, name of the column) -> folder of the run.
        indices: card -> path of its clip index.
        modalities: card -> its modality.
        complexity: what `fsar complexity` wrote.
    """

    name: str
    way: int
    behind: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[tuple[str, str, str], Path] = field(default_factory=dict)
    indices: Mapping[str, Place] = field(default_factory=dict)
    modalities: Mapping[str, str] = field(default_factory=dict)
    complexity: Mapping[str, Any] | None = None


class TableKind(Kind):
    """A file workflow/tables/<paper>_<table>.yaml, what it needs, and how it is made.

    A subclass adds the keys of its files as fields, `kind: Literal["<name of the module>"]` among
    them, and overrides `measured_on`, `components`, `needs` and `make`.
    """

    title: str
    where: str
    notes: list[str] = []

    @abstractmethod
    def measured_on(self) -> list[str]:
        """Return the data sets of the paper that the table has numbers of."""

    def paper_datasets(self) -> list[str]:
        """Return every data set of the paper that the table names, also those to train on."""
        return self.measured_on()

    @abstractmethod
    def components(self) -> list[tuple[str, str, Component]]:
        """Return (place in the file, kind, component) of everything that is built for the table."""

    @abstractmethod
    def needs(self) -> TableNeeds:
        """Return what the table is made from."""

    def unmeasured_rows(self) -> tuple[str, list[str]]:
        """Return what rows without runs are called in `fsar show`, and their names."""
        return ("rows", [])

    @abstractmethod
    def make(self, inputs: TableInputs) -> tuple[pd.DataFrame, list[Block]]:
        """Return the CSV, and the blocks of Markdown, LaTeX and HTML."""


# -- pages of the report ---------------------------------------------------------------------------


class Page(Kind):
    """A page of a paper's report about how its tables came about.

    The model is the spec of the page's job: plain data, gathered from a study, that fits into a
    shell command (128 KiB). Pages are made after all runs of the paper's tables.

    A subclass adds fields and overrides `title`, `caption`, `gather` and `render`. The kind of the
    page is the name of its module.
    """

    title: ClassVar[str] = ""
    """What the report's list calls it."""

    caption: ClassVar[str] = ""
    """What the report says about it beside the list."""

    @classmethod
    @abstractmethod
    def gather(cls, study: Study, tables: Sequence[str]) -> Self:
        """Return the page of the tables with these names."""

    @abstractmethod
    def render(self, paper: str) -> str:
        """Return the page as HTML."""
