"""The runs behind tables and figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fsar_core.paper import AnyTable, Column, EmbeddingEpisode, Row, Subject, Table
from fsar_core.specs import Component, EpisodeSpec, ModelSpec, RunSpec, SaliencySpec
from fsar_core.study.caching import cached_method

if TYPE_CHECKING:
    from fsar_core.study.study import Study


@dataclass(frozen=True)
class Cell:
    """One measured number: a row of a table on one data set at one shot."""

    row: Row
    paper_dataset: str
    column: Column
    setup: str | None
    run: RunSpec


@dataclass(frozen=True)
class Point:
    """One result that a figure draws: its panel, a method at a shot, and the varied value."""

    panel: int
    method: str
    shot: int
    value: int
    setup: str | None
    run: RunSpec


@dataclass(frozen=True)
class Look:
    """What a figure takes out of one trained run: on which episodes, and what of them."""

    dataset: str
    subject: Subject
    setup: str | None
    run: RunSpec
    episodes: EpisodeSpec
    wanted: dict[str, Any]


@dataclass(frozen=True)
class Watch:
    """A data set whose frames' actionness a figure shows, and the store that has it."""

    dataset: str
    setup: str | None
    saliency: SaliencySpec


class Experiments:
    """Which runs each table and figure of a study needs."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._specs = study.specs

    def named_in(self, table: AnyTable) -> list[str]:
        """Return every data set of the paper that a table names."""
        return [*table.datasets, *filter(None, [getattr(table, "train_on", None)])]

    # -- tables ------------------------------------------------------------------------------------

    @cached_method
    def cells(self, name: str) -> list[Cell]:
        """Return the measured numbers of a table.

        Two data sets of the paper for which one card is used share their runs.
        """
        table = self._study.table(name)
        if table.kind != "accuracy":
            return []
        return [
            self._cell(table, row, dataset, column)
            for row in table.rows
            if row.head is not None
            for dataset in table.datasets
            for column in table.columns
        ]

    def _cell(self, table: Table, row: Row, dataset: str, column: Column) -> Cell:
        setup = row.setup or table.setup
        test = {"way": column.way, "max_seconds": column.seconds}
        run = self._specs.run(
            self._study.behind(dataset),
            row.head,
            row.matching,
            column.shot,
            setup,
            row.frames,
            trained_on=self._study.behind(table.train_on) if table.train_on else None,
            **{key: value for key, value in test.items() if value is not None},
        )
        return Cell(row, dataset, column, setup, run)

    # -- figures -----------------------------------------------------------------------------------

    @cached_method
    def points(self, name: str) -> list[Point]:
        """Return the runs whose results a figure draws.

        They are those of curves, or those of methods that are compared class by class, a panel for
        every shot.
        """
        figure = self._study.figure(name)
        if figure.kind == "class_gain":
            return [
                self._compared(number, figure.dataset, curve, shot)
                for number, shot in enumerate(figure.shots)
                for curve in (figure.method, figure.minus)
            ]
        if figure.kind == "class_accuracy":
            return [self._compared(0, figure.dataset, c, figure.shot) for c in figure.methods]
        if figure.kind != "curves":
            return []
        return [
            self._varied(number, panel, curve, shot, value)
            for number, panel in enumerate(figure.panels)
            for curve in panel.curves
            for shot in panel.shots
            for value in panel.values
        ]

    def _compared(self, panel: int, dataset: str, curve: Any, shot: int) -> Point:
        behind = self._study.behind(dataset)
        run = self._specs.run(behind, curve.head, curve.matching, shot, curve.setup)
        return Point(panel, curve.method, shot, shot, curve.setup, run)

    def _varied(self, number: int, panel: Any, curve: Any, shot: int, value: int) -> Point:
        params = {key: value for key in panel.sets if key != "frames"}
        head = Component(name=curve.head.name, params={**curve.head.params, **params})
        frames = value if "frames" in panel.sets else None
        behind = self._study.behind(panel.dataset)
        run = self._specs.run(behind, head, curve.matching, shot, curve.setup, frames)
        return Point(number, curve.method, shot, value, curve.setup, run)

    @cached_method
    def looks(self, name: str) -> list[Look]:
        """Return what any other figure takes out of which runs."""
        figure = self._study.figure(name)
        looks = []
        for dataset, subject in figure.subjects:
            behind = self._study.behind(dataset)
            setup = subject.setup
            run = self._specs.run(behind, subject.head, subject.matching, subject.shot, setup)
            episodes = run.test
            if figure.kind == "embedding":
                episodes = self._many_clips(behind, figure.episode)
            looks.append(Look(dataset, subject, setup, run, episodes, figure.wanted(dataset)))
        return looks

    @cached_method
    def watches(self, name: str) -> list[Watch]:
        """Return the data sets whose actionness a figure shows."""
        figure = self._study.figure(name)
        if figure.kind == "actionness":
            return [self._watch(dataset, figure.setup) for dataset in figure.datasets]
        if figure.kind != "cam" or not figure.salient:
            return []
        # All subjects are shown on the same clips: the actionness is that of the first backbone.
        setup = figure.panels[0].setup
        datasets = dict.fromkeys(example.dataset for example in figure.examples)
        return [self._watch(dataset, setup) for dataset in datasets]

    def _watch(self, dataset: str, setup: str | None) -> Watch:
        saliency = self._specs.saliency(self._study.behind(dataset), setup)
        return Watch(dataset, setup, saliency)

    def _many_clips(self, dataset: str, wanted: EmbeddingEpisode) -> EpisodeSpec:
        """Return episodes of as many clips as a figure wants, or fewer in the same proportion.

        The smallest test class is the limit.
        """
        clips = self._study.dataset(dataset).clips
        together = wanted.shot + wanted.query
        smallest = int(clips[clips.split == "test"]["class"].value_counts().min())
        shot, query = wanted.shot, wanted.query
        if smallest < together:
            query = max(2, smallest * wanted.query // together)
            shot = max(1, smallest - query)
        sizes = {"way": wanted.way, "query": query, "count": wanted.count}
        return self._specs.episodes(dataset, "test", shot, **sizes)

    # -- all of them -------------------------------------------------------------------------------

    @cached_property
    def runs(self) -> dict[str, RunSpec]:
        """Every run of every table and figure, by run id."""
        runs: dict[str, RunSpec] = {}
        for name in self._study.table_names:
            runs |= {cell.run.run_id: cell.run for cell in self.cells(name)}
        for name in self._study.figure_names:
            runs |= {
                shown.run.run_id: shown.run for shown in (*self.points(name), *self.looks(name))
            }
            self.watches(name)
        return runs

    @cached_property
    def models(self) -> dict[str, ModelSpec]:
        """Every training of every run, by model id."""
        models = [run.model for run in self.runs.values()]
        return {model.model_id: model for model in models}
