"""The YAML of a table of accuracies: printed numbers, and what is run for the measured ones."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fsar_core.bounds import Channels, Classes, Clip, Count, Seconds, Shot, Side, Way
from fsar_core.config import Model
from fsar_core.errors import did_you_mean
from fsar_core.papers.kinds import TableKind
from fsar_core.papers.models import printed_number
from fsar_core.papers.needs import Column
from fsar_core.specs import Component


class PrintedCost(Model):
    """What a paper says about the cost of a row's network.

    For example 23.5M parameters, 8.2G operations a frame, 73.6ms an episode.
    """

    parameters: str = Field(pattern=r"^\d+(\.\d+)?M$")
    flops: str = Field(pattern=r"^\d+(\.\d+)?G$")
    latency: str = Field(pattern=r"^\d+(\.\d+)?ms$")


class Row(Model):
    """One row: what was printed, and what to run for the measured number if it is implemented."""

    method: str
    reference: str = "-"
    backbone: str | None = None
    # Data set -> shot (way or seconds, in a table that varies these) -> number, "49.2*" as printed,
    # or null.
    published: dict[str, dict[Count | Literal["all"], float | str | None]] = {}
    head: Component | None = None
    matching: Component | None = None
    printed_cost: PrintedCost | None = None
    compare_to: str | None = None  # a method of this table: paired difference on the same episodes
    setup: str | None = None  # of the preset; null: the table's
    frames: Clip | None = None  # taken of a clip; null: the preset's

    @model_validator(mode="after")
    def _head_and_matching(self) -> Row:
        if (self.head is None) != (self.matching is None):
            raise ValueError(f"row '{self.method}': head and matching go together")
        return self

    @field_validator("published")
    @classmethod
    def _numbers(cls, value: dict) -> dict:
        for shots in value.values():
            for printed in shots.values():
                number = printed_number(printed)
                if number is not None and not 0 <= number <= 100:
                    raise ValueError(f"{printed} is no accuracy in percent; expected 0 to 100")
        return value


class Cost(Model):
    """One episode of random numbers on which the cost of a table's rows is measured.

    Either head and metric alone, on features of `dim` x `height` x `width`; or whole networks, the
    backbone with random weights and trained with the head, on frames of `crop` pixels: operations
    are then given for a frame.
    """

    dim: Channels | None = None
    height: Side | None = None
    width: Side | None = None
    backbone: Component | None = None
    crop: Side | None = None
    classes: Classes | None = None  # of the training, for heads that take their number
    frames: Clip
    way: Way
    shot: Shot
    query: Count  # of the episode, all classes together
    repeats: Count  # timed passes of every row
    passes: list[Literal["test", "train"]] = Field(default=["test", "train"], min_length=1)

    @model_validator(mode="after")
    def _features_or_frames(self) -> Cost:
        features = {self.dim, self.height, self.width}
        frames = {self.backbone and self.backbone.name, self.crop}
        if (None in features) == (None in frames) or {None} not in (features, frames):
            raise ValueError(
                "expected either dim, height and width of the features or backbone and crop of the "
                "frames"
            )
        return self


class AccuracyModel(TableKind):
    """The keys of a table of accuracies."""

    kind: Literal["accuracy"] = "accuracy"
    backbone: str  # as printed, for rows that name none of their own
    datasets: list[str]
    shots: list[Shot] = Field(min_length=1)
    # The columns, at the one shot: ways of the test episodes; training keeps the preset's way.
    ways: list[Way] = []
    # The columns, at the one shot: test clips that last no longer.
    seconds: list[Seconds | Literal["all"]] = []
    train_on: str | None = None  # the data set of the training, where it is not the tested one
    setup: str | None = None  # of the preset, for rows that name none; null: its own backbone
    cost: Cost | None = None  # measured for every row with a head, beside its accuracy
    rows: list[Row]

    @property
    def columns(self) -> list[Column]:
        """What every data set is measured at."""
        shot = self.shots[0]
        if self.ways:
            return [Column(shot, way=way, key=way) for way in self.ways]
        if self.seconds:
            return [
                Column(shot, seconds=None if key == "all" else float(key), key=key)
                for key in self.seconds
            ]
        return [Column(shot, key=shot) for shot in self.shots]

    @property
    def prints_costs(self) -> bool:
        """Whether the paper prints the cost of any row."""
        return any(row.printed_cost for row in self.rows)

    @model_validator(mode="after")
    def _one_thing_varies(self) -> AccuracyModel:
        varies = self.ways or self.seconds
        if varies and (len(self.shots) != 1 or (self.ways and self.seconds)):
            raise ValueError(
                "a table varies shots, ways or seconds; with `ways` or `seconds` it has one shot"
            )
        keys = [column.key for column in self.columns]
        known = set(keys)
        if len(known) < len(keys):
            raise ValueError(f"the columns {', '.join(map(str, keys))} name one twice")
        for row in self.rows:
            for dataset, numbers in row.published.items():
                if unknown := sorted(map(str, numbers.keys() - known)):
                    valid = ", ".join(map(str, known))
                    raise ValueError(
                        f"row '{row.method}' prints '{unknown[0]}' for '{dataset}'; its columns "
                        f"are {valid}"
                    )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> AccuracyModel:
        if self.prints_costs and (self.cost is None or self.cost.backbone is None):
            raise ValueError(
                "a `printed_cost` stands beside what `cost` measures of a whole network; name its "
                "backbone"
            )
        methods = [row.method for row in self.rows]
        for row in self.rows:
            self._check_method(row)
            if row.compare_to is not None and row.compare_to not in methods:
                hint = did_you_mean(row.compare_to, methods)
                raise ValueError(
                    f"row '{row.method}' compares to an unknown '{row.compare_to}'{hint}"
                )
            for dataset in row.published:
                if dataset not in self.datasets:
                    hint = did_you_mean(dataset, self.datasets)
                    raise ValueError(f"row '{row.method}' prints a number for '{dataset}'{hint}")
        return self

    def _check_method(self, row: Row) -> None:
        """Check that a method is called by one name.

        A method may be printed with several backbones; what is run or compared to goes by its name
        alone.
        """
        same = [other for other in self.rows if other.method == row.method]
        compared = row.method in [other.compare_to for other in self.rows]
        runs = compared or any(other.head for other in same)
        backbones = {other.backbone for other in same}
        if len(same) > 1 and (runs or len(backbones) < len(same)):
            raise ValueError(f"two rows are called '{row.method}'")

    def measured_on(self) -> list[str]:
        return list(self.datasets)

    def paper_datasets(self) -> list[str]:
        trained_on = [self.train_on] if self.train_on else []
        return [*self.datasets, *trained_on]

    def components(self) -> list[tuple[str, str, Component]]:
        components = []
        for row in self.rows:
            if row.head is not None:
                place = f"row '{row.method}'"
                components.append((place, "heads", row.head))
                components.append((place, "matching", row.matching))
        if self.cost is not None and self.cost.backbone is not None:
            components.append(("cost", "backbones", self.cost.backbone))
        return components

    def complexity(self) -> dict[str, Any] | None:
        """Return what `fsar complexity` is to measure; None if nothing."""
        if self.cost is None:
            return None
        rows = [
            (row.method, row.head.model_dump(), row.matching.model_dump())
            for row in self.rows
            if row.head
        ]
        return {"rows": rows, **self.cost.model_dump(exclude_defaults=True)}

    def unmeasured_rows(self) -> tuple[str, list[str]]:
        return ("only printed", [row.method for row in self.rows if not row.head])
