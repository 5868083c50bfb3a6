"""The runs behind tables and figures: what their kinds declare, as specs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from fsar_core.papers.needs import (
    Actionness,
    Cell,
    EpisodeShape,
    Experiment,
    FigureNeeds,
    Inspection,
    Point,
    TableNeeds,
)
from fsar_core.specs import EpisodeSpec, ModelSpec, RunSpec
from fsar_core.study.caching import cached_method

if TYPE_CHECKING:
    from fsar_core.study.study import Study


class Experiments:
    """Which runs each table and figure of a study needs."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._specs = study.specs

    def run(self, experiment: Experiment) -> RunSpec:
        """Return the run of an experiment, on the cards behind its data sets."""
        trained_on = experiment.trained_on
        return self._specs.run(
            self._study.behind(experiment.dataset),
            experiment.head,
            experiment.matching,
            experiment.shot,
            experiment.setup,
            experiment.frames,
            trained_on=self._study.behind(trained_on) if trained_on else None,
            **experiment.test,
        )

    # -- tables ------------------------------------------------------------------------------------

    @cached_method
    def table_needs(self, name: str) -> TableNeeds:
        """Return what a table declares that it is made from."""
        return self._study.table(name).needs()

    @cached_method
    def cells(self, name: str) -> list[Cell]:
        """Return the measured numbers of a table.

        Two data sets of the paper for which one card is used share their runs.
        """
        return [
            Cell(
                row=need.row,
                paper_dataset=need.experiment.dataset,
                column=need.column,
                setup=need.experiment.setup,
                run=self.run(need.experiment),
            )
            for need in self.table_needs(name).cells
        ]

    # -- figures -----------------------------------------------------------------------------------

    @cached_method
    def figure_needs(self, name: str) -> FigureNeeds:
        """Return what a figure declares that it is made from."""
        return self._study.figure(name).needs()

    @cached_method
    def points(self, name: str) -> list[Point]:
        """Return the runs whose results a figure draws."""
        return [
            Point(
                panel=need.panel,
                method=need.method,
                shot=need.experiment.shot,
                value=need.value,
                setup=need.experiment.setup,
                run=self.run(need.experiment),
            )
            for need in self.figure_needs(name).points
        ]

    @cached_method
    def looks(self, name: str) -> list[Inspection]:
        """Return what a figure takes out of which trained runs."""
        figure = self._study.figure(name)
        needs = self.figure_needs(name).inspections
        runs = [self.run(need.experiment) for need in needs]
        datasets: dict[str, list[str]] = {}  # of the paper, by the run that they share
        for need, run in zip(needs, runs):
            datasets.setdefault(run.run_id, []).append(need.experiment.dataset)
        return [
            Inspection(
                dataset=need.experiment.dataset,
                subject=need.subject,
                setup=need.experiment.setup,
                run=run,
                episodes=self._inspected_episodes(need.experiment.dataset, need.episodes, run),
                wanted=figure.wanted(list(dict.fromkeys(datasets[run.run_id]))),
                reads_masks=need.reads_masks,
            )
            for need, run in zip(needs, runs)
        ]

    def _inspected_episodes(
        self, paper_dataset: str, shape: Callable[[int], EpisodeShape] | None, run: RunSpec
    ) -> EpisodeSpec:
        """Return the run's own test episodes, or others that fit the smallest test class."""
        if shape is None:
            return run.test
        dataset = self._study.behind(paper_dataset)
        clips = self._study.dataset(dataset).clips
        smallest = int(clips[clips.split == "test"]["class"].value_counts().min())
        wanted = shape(smallest)
        sizes = {"way": wanted.way, "query": wanted.query, "count": wanted.count}
        return self._specs.episodes(dataset, "test", wanted.shot, **sizes)

    @cached_method
    def watches(self, name: str) -> list[Actionness]:
        """Return the data sets whose actionness a figure shows."""
        return [
            Actionness(
                dataset=need.dataset,
                setup=need.setup,
                saliency=self._specs.saliency(self._study.behind(need.dataset), need.setup),
                examples=need.examples,
            )
            for need in self.figure_needs(name).actionness
        ]

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
