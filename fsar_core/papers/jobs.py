"""What jobs are given as `--spec`, checked when a job starts. Pages have models of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, Field, model_validator

from fsar_core.config import Model, validate
from fsar_core.errors import FsarError
from fsar_core.papers.kinds import (
    ActionnessFile,
    FigureInputs,
    FigureKind,
    InspectionFile,
    Result,
    TableInputs,
    TableKind,
)
from fsar_core.specs import Component
from fsar_core.storage.places import place

Spec = TypeVar("Spec", bound=Model)


def parse(model: type[Spec], text: str) -> Spec:
    """Return the spec of a job from its JSON.

    Raises:
        FsarError: a key is missing, unknown or of another type.
    """
    return validate(model, json.loads(text), "--spec")


class FigureJob(Model):
    """What `fsar figure` draws, and from which files."""

    figure: dict[str, Any]  # as in its YAML file
    way: int  # of the preset's test episodes
    points: list[tuple[int, str, int, int, str]] = []  # panel, method, shot, value, run id
    looks: list[tuple[str, str, Path]] = []  # data set, method, file of `fsar inspect`
    watches: list[tuple[str, Path]] = []  # data set, file of `fsar inspect-saliency`

    def inputs(self, figure: FigureKind, runs: Path) -> FigureInputs:
        """Return what the figure is drawn from.

        Args:
            runs: the folder of all runs.
        Raises:
            FsarError: a run or file that the figure needs is missing from the spec.
        """
        results = [Result(*place, run=runs / run_id) for *place, run_id in self.points]
        inspections = [InspectionFile(*look) for look in self.looks]
        actionness = [ActionnessFile(*watch) for watch in self.watches]
        needs = figure.needs()
        _check_all("points", [need.key for need in needs.points], [p[:-1] for p in self.points])
        _check_all("looks", [need.key for need in needs.inspections], [x[:-1] for x in self.looks])
        datasets = [need.dataset for need in needs.actionness]
        _check_actionness(datasets, actionness)
        return FigureInputs(self.way, results, inspections, actionness)


class TableJob(Model):
    """What `fsar table` writes, and from which files."""

    table: dict[str, Any]  # as in its YAML file
    behind: dict[str, str]  # data set of the paper -> card
    way: int  # of the preset's test episodes
    cells: list[tuple[str, str, str, str]] = []  # method, card, name of the column, run id
    indices: dict[str, str] = {}  # card -> its clip index, where it is counted
    modalities: dict[str, str] = {}  # of these cards
    complexity: Path | None = None  # what `fsar complexity` wrote
    frames: dict[str, list[str]] = {}  # card -> frame stores behind the table
    max_failures: dict[str, float] = {}  # of the cards: share of clips that may be unusable

    @model_validator(mode="after")
    def _every_card_has_a_limit(self) -> TableJob:
        _check_keys("max_failures", self.frames, self.max_failures)
        _check_keys("modalities", self.indices, self.modalities)
        return self

    def inputs(
        self, name: str, table: TableKind, runs: Path, complexity: Mapping[str, Any] | None
    ) -> TableInputs:
        """Return what the table is made from.

        Args:
            runs: the folder of all runs.
            complexity: what `fsar complexity` wrote.
        Raises:
            FsarError: a card or clip index that the table needs is missing from the spec.
        """
        _check_all("behind", table.paper_datasets(), list(self.behind))
        cards = [self.behind[dataset] for dataset in table.needs().indices]
        _check_all("indices", cards, list(self.indices))
        return TableInputs(
            name=name,
            way=self.way,
            behind=self.behind,
            runs={
                (method, card, column): runs / run_id for method, card, column, run_id in self.cells
            },
            indices={card: place(path) for card, path in self.indices.items()},
            modalities=self.modalities,
            complexity=complexity,
        )


class ComplexityJob(Model):
    """What `fsar complexity` counts or, with `repeats`, measures.

    Rows are [name, head, metric]; where no metric is given, the parameters of the head are counted.
    The other keys are those of `cost` in a table of accuracies.
    """

    model_config = ConfigDict(frozen=True)

    rows: list[tuple[str, Component, Component | None]]
    frames: int
    dim: int | None = None
    height: int | None = None
    width: int | None = None
    backbone: Component | None = None
    crop: int | None = None
    classes: int | None = None
    way: int | None = None
    shot: int | None = None
    query: int | None = None
    repeats: int | None = Field(default=None, ge=1)
    passes: list[Literal["test", "train"]] = ["test", "train"]

    @model_validator(mode="after")
    def _complete(self) -> ComplexityJob:
        needed = ["crop"] if self.backbone else ["dim"]
        if any(metric is not None for _, _, metric in self.rows):
            needed += ["way", "shot", "query"]
            needed += [] if self.backbone else ["height", "width"]
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"missing key '{missing[0]}'")
        if self.repeats is not None and any(metric is None for _, _, metric in self.rows):
            raise ValueError("only rows with a metric can be measured; remove `repeats` to count")
        return self


def _check_all(key: str, needed: list, given: list) -> None:
    for one in needed:
        if one not in given:
            label = ", ".join(map(str, one)) if isinstance(one, tuple) else one
            raise FsarError(f"--spec: `{key}` lacks '{label}', which is to be shown")


def _check_keys(key: str, needed: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    missing = sorted(needed.keys() - given.keys())
    if missing:
        raise ValueError(f"`{key}` lacks '{missing[0]}'")


def _check_actionness(datasets: list[str], files: list[ActionnessFile]) -> None:
    _check_all("watches", datasets, [file.dataset for file in files])
