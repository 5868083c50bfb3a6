"""A paper's tables and figures as data: printed numbers, and what is run or looked into for the measured ones. Torch-free."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from fsar_core.bounds import (
    MOST_FRAMES,
    Channels,
    Classes,
    Clip,
    Count,
    Counted,
    Episodes,
    Examples,
    Seconds,
    Shot,
    Side,
    Way,
)
from fsar_core.config import SPLITS, Model, read_yaml, validate
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.specs import Component


class Column(NamedTuple):
    """What a column of an accuracy table is measured at: shot, and where they differ from the usual ones, way and the longest
    duration of a clip in seconds."""

    shot: int
    way: int | None = None
    seconds: float | None = None
    key: int | str = ""  # of the printed numbers

    @property
    def name(self) -> str:
        """In the CSV, behind the data set: 1shot, 6way_1shot, 3s_1shot."""
        parts = [f"{self.way}way"] if self.way else []
        parts += [f"{self.seconds:g}s"] if self.seconds else []
        return "_".join([*parts, f"{self.shot}shot"])

    @property
    def label(self) -> str:
        """For people, behind the data set."""
        parts = [f"clips of at most {self.seconds:g} s,"] if self.seconds else []
        parts += [f"{self.way}-way"] if self.way else []
        return " ".join([*parts, f"{self.shot}-shot"])


class PrintedCost(Model):
    """What a row's network is said to cost, as printed: 23.5M parameters, 8.2G operations a frame, 73.6ms an episode."""

    parameters: str = Field(pattern=r"^\d+(\.\d+)?M$")
    flops: str = Field(pattern=r"^\d+(\.\d+)?G$")
    latency: str = Field(pattern=r"^\d+(\.\d+)?ms$")


class Row(Model):
    """One row of a table: what was printed, and what to run for the measured number, if it is implemented."""

    method: str
    reference: str = "-"
    backbone: str | None = None
    # Data set -> shot (way or seconds, in a table that varies these) -> number, "49.2*" as printed, or null.
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
    """One episode of random numbers: what memory, time and operations of a table's rows are measured on.

    Either head and metric alone, on features of `dim` x `height` x `width`; or whole networks, the backbone with random weights
    and trained with the head, on frames of `crop` pixels: operations are then given for a frame.
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
        features, frames = {self.dim, self.height, self.width}, {self.backbone and self.backbone.name, self.crop}
        if (None in features) == (None in frames) or {None} not in (features, frames):
            raise ValueError("expected either dim, height and width of the features or backbone and crop of the frames")
        return self


class Table(Model):
    """workflow/tables/<paper>_table<n>.yaml of kind accuracy, and what the other kinds share with it."""

    kind: Literal["accuracy"] = "accuracy"
    title: str
    where: str
    backbone: str  # as printed, for rows that name none of their own
    datasets: list[str]
    shots: list[Shot] = Field(min_length=1)
    ways: list[
        Way
    ] = []  # the columns, at the one shot: test episodes of so many classes; the training keeps the preset's way
    seconds: list[Seconds | Literal["all"]] = []  # the columns, at the one shot: test clips that last no longer
    train_on: str | None = None  # the data set that is trained on, where it is not the one that is tested on
    setup: str | None = None  # of the preset, for rows that name none; null: the preset's own backbone
    cost: Cost | None = None  # measured for every row with a head, beside its accuracy
    notes: list[str] = []
    rows: list[Row]

    @property
    def columns(self) -> list[Column]:
        """What every data set is measured at."""
        if self.ways:
            return [Column(self.shots[0], way=way, key=way) for way in self.ways]
        if self.seconds:
            limits = [(key, None if key == "all" else float(key)) for key in self.seconds]
            return [Column(self.shots[0], seconds=limit, key=key) for key, limit in limits]
        return [Column(shot, key=shot) for shot in self.shots]

    @model_validator(mode="after")
    def _one_thing_varies(self) -> Table:
        if (self.ways or self.seconds) and (len(self.shots) != 1 or (self.ways and self.seconds)):
            raise ValueError("a table varies shots, ways or seconds; with `ways` or `seconds` it has one shot")
        keys = [column.key for column in self.columns]
        known = set(keys)
        if len(known) < len(keys):
            raise ValueError(f"the columns {', '.join(map(str, keys))} name one twice")
        for row in self.rows:
            for dataset, numbers in row.published.items():
                if unknown := sorted(map(str, numbers.keys() - known)):
                    valid = ", ".join(map(str, known))
                    raise ValueError(
                        f"row '{row.method}' prints '{unknown[0]}' for '{dataset}'; its columns are {valid}"
                    )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Table:
        methods = [row.method for row in self.rows]
        if any(row.printed_cost for row in self.rows) and (self.cost is None or self.cost.backbone is None):
            raise ValueError(
                "a `printed_cost` stands beside what `cost` measures of a whole network; name its backbone"
            )
        for row in self.rows:
            same = [other for other in self.rows if other.method == row.method]
            # A method may be printed with several backbones; what is run or compared to goes by its name alone.
            runs = any(other.head or row.method in (r.compare_to for r in self.rows) for other in same)
            if len(same) > 1 and (runs or len({other.backbone for other in same}) < len(same)):
                raise ValueError(f"two rows are called '{row.method}'")
            if row.compare_to is not None and row.compare_to not in methods:
                raise ValueError(
                    f"row '{row.method}' compares to an unknown '{row.compare_to}'{did_you_mean(row.compare_to, methods)}"
                )
            for dataset in row.published:
                if dataset not in self.datasets:
                    raise ValueError(
                        f"row '{row.method}' prints a number for '{dataset}'{did_you_mean(dataset, self.datasets)}"
                    )
        return self

    def components(self) -> list[tuple[str, str, Component]]:
        """(place in the table, kind, component) of everything that is built for it."""
        parts = [(f"row '{row.method}'", ("heads", row.head), ("matching", row.matching)) for row in self.rows]
        if self.cost is not None:
            parts.append(("cost", ("backbones", self.cost.backbone)))
        return [(place, kind, component) for place, *several in parts for kind, component in several if component]

    def complexity(self) -> dict[str, Any] | None:
        """What `fsar complexity` is to measure; None: nothing."""
        if self.cost is None:
            return None
        rows = [(row.method, row.head.model_dump(), row.matching.model_dump()) for row in self.rows if row.head]
        return {"rows": rows, **self.cost.model_dump(exclude_defaults=True)}


class DatasetRow(Model):
    """A data set and its splits as printed."""

    dataset: str  # as config.yaml names it
    name: str
    reference: str  # of the split
    modality: str
    classes: dict[Literal["train", "val", "test"], Counted]
    videos: dict[Literal["train", "val", "test"], Counted]

    @field_validator("classes", "videos")
    @classmethod
    def _all_splits(cls, value: dict[str, int]) -> dict[str, int]:
        if set(value) != set(SPLITS):
            raise ValueError("expected a number for each of train, val, test")
        return value


class DatasetsTable(Model):
    """Kind datasets: printed statistics, and those of the clip indices behind them."""

    kind: Literal["datasets"]
    title: str
    where: str
    notes: list[str] = []
    rows: list[DatasetRow]

    @model_validator(mode="after")
    def _each_once(self) -> DatasetsTable:
        for dataset in self.datasets:
            if self.datasets.count(dataset) > 1:
                raise ValueError(f"two rows are of the data set '{dataset}'")
        return self

    @property
    def datasets(self) -> list[str]:
        return [row.dataset for row in self.rows]

    def components(self) -> list[tuple[str, str, Component]]:
        return []

    def complexity(self) -> None:
        return None


class ParametersRow(Model):
    """A head, and how many parameters are printed for it."""

    method: str
    published: str  # 22.06M
    head: Component

    @field_validator("published")
    @classmethod
    def _millions(cls, value: str) -> str:
        if not re.fullmatch(r"\d+(\.\d+)?M", value):
            raise ValueError(f"'{value}' is no printed number of parameters; expected one like 22.06M")
        return value


class ParametersTable(Model):
    """Kind parameters: printed counts, and those of the heads built for features of `dim` channels."""

    kind: Literal["parameters"]
    title: str
    where: str
    dim: Channels
    frames: Clip
    notes: list[str] = []
    rows: list[ParametersRow]
    datasets: ClassVar[list[str]] = []

    @model_validator(mode="after")
    def _each_once(self) -> ParametersTable:
        methods = [row.method for row in self.rows]
        for method in methods:
            if methods.count(method) > 1:
                raise ValueError(f"two rows are called '{method}'")
        return self

    def components(self) -> list[tuple[str, str, Component]]:
        return [(f"row '{row.method}'", "heads", row.head) for row in self.rows]

    def complexity(self) -> dict[str, Any]:
        rows = [(row.method, row.head.model_dump(), None) for row in self.rows]
        return {"rows": rows, "dim": self.dim, "frames": self.frames}


AnyTable = Table | DatasetsTable | ParametersTable
KINDS = {"accuracy": Table, "datasets": DatasetsTable, "parameters": ParametersTable}


def validate_table(value: Any, where: str) -> AnyTable:
    """A table from plain data, of the kind that it names."""
    return _of_kind(KINDS, "accuracy", "table", value, where)


def load_table(path: Path) -> AnyTable:
    """Read and validate one file of workflow/tables."""
    return validate_table(read_yaml(path), str(path))


class Curve(Model):
    """A line of a panel: one method, run for every value of the horizontal axis."""

    method: str
    head: Component
    matching: Component
    setup: str | None = None


class Panel(Model):
    """Accuracy over something that is varied.

    Attributes:
        sets: what the horizontal axis sets: `frames` of a clip, or parameters of the head, all to the same value.
        scale: of that axis; None: linear for frames, else logarithmic.
    """

    title: str
    dataset: str
    shots: list[Shot] = Field(min_length=1)
    label: str
    sets: list[str] = Field(min_length=1)
    values: list[Counted] = Field(min_length=2)
    scale: Literal["linear", "log"] | None = None
    curves: list[Curve] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Panel:
        methods = [curve.method for curve in self.curves]
        if len(set(methods)) < len(methods):
            raise ValueError(f"panel '{self.title}' has two curves of one name; names of methods must differ")
        if self.values != sorted(set(self.values)):
            raise ValueError(f"panel '{self.title}': values {self.values} must rise")
        if "frames" in self.sets and not 2 <= min(self.values) <= max(self.values) <= MOST_FRAMES:
            raise ValueError(f"panel '{self.title}': values {self.values} of frames must be 2 to {MOST_FRAMES}")
        if len(set(self.shots)) < len(self.shots):
            raise ValueError(f"panel '{self.title}': shots {self.shots} name one twice")
        if self.logarithmic and self.values[0] < 1:
            raise ValueError(
                f"panel '{self.title}': {self.values[0]} has no place on a logarithmic axis; `scale: linear`"
            )
        return self

    @property
    def logarithmic(self) -> bool:
        return self.scale == "log" or (self.scale is None and "frames" not in self.sets)


class Page(Model):
    """What every file workflow/figures/<paper>_fig<n>.yaml has."""

    title: str
    where: str
    notes: list[str] = []

    @property
    def subjects(self) -> list[tuple[str, Subject]]:
        """(data set, subject) of everything that is looked into; none for a figure of results alone."""
        return []

    def wanted(self, dataset: str) -> dict[str, Any]:
        """What `fsar inspect` is to take out of the run on a data set."""
        return {}


class Figure(Page):
    """Kind curves: accuracy over something that is varied."""

    kind: Literal["curves"] = "curves"
    panels: list[Panel] = Field(min_length=1)


class ClassGainFigure(Page):
    """Kind class_gain: of every test class, the accuracy of one method minus another's; a panel for every shot."""

    kind: Literal["class_gain"]
    dataset: str
    shots: list[Shot] = Field(min_length=1)
    method: Curve
    minus: Curve

    @model_validator(mode="after")
    def _two_methods(self) -> ClassGainFigure:
        if self.method.method == self.minus.method:
            raise ValueError(f"'{self.method.method}' is compared to a method of the same name; names must differ")
        if len(set(self.shots)) < len(self.shots):
            raise ValueError(f"shots {self.shots} name one twice")
        return self


class ClassAccuracyFigure(Page):
    """Kind class_accuracy: of every test class, the accuracy of several methods, and the first one's gain over each of the
    others."""

    kind: Literal["class_accuracy"]
    dataset: str
    shot: Shot
    methods: list[Curve] = Field(min_length=2)

    @model_validator(mode="after")
    def _each_once(self) -> ClassAccuracyFigure:
        names = [curve.method for curve in self.methods]
        if len(set(names)) < len(names):
            raise ValueError("two methods have one name; names must differ")
        return self


class Subject(Model):
    """A method whose trained runs are looked into: what it is, and trained at which shot."""

    method: str
    head: Component
    matching: Component
    shot: Shot
    setup: str | None = None


class Example(Model):
    """A query of a frozen test episode of a data set; `frame` counts from 1, where one frame is shown."""

    dataset: str
    episode: Counted
    query: Counted
    frame: Count = 1


class AttentionFigure(Page):
    """Kinds association (which patches of a frame go with which of the next), self_attention (what a frame attends to) and
    task_attention (what a query's frame attends to in the supports), each of one subject on a few examples."""

    kind: Literal["association", "self_attention", "task_attention"]
    subject: Subject
    examples: list[Example] = Field(min_length=1)
    grid: Side = 3  # side of the grid of patches, of an association
    episodes: Episodes = 100  # on which the cross attention's share of the right class is measured

    @property
    def subjects(self) -> list[tuple[str, Subject]]:
        return [(name, self.subject) for name in dict.fromkeys(example.dataset for example in self.examples)]

    def wanted(self, dataset: str) -> dict[str, Any]:
        return {"attention": _places(self.examples, dataset), "grid": self.grid, "episodes": self.episodes}


class CamFigure(Page):
    """Kind cam: Grad-CAM of the right class over the frames of a few queries, a row for every subject.

    Attributes:
        salient: how many frames are boxed as salient, those of highest actionness, and as many of lowest as non-salient; how the
            evidence is shared out among them is measured on a query of each of `episodes` episodes. None: neither.
    """

    kind: Literal["cam"]
    panels: list[Subject] = Field(min_length=1)
    examples: list[Example] = Field(min_length=1)
    salient: Count | None = None
    episodes: Episodes = 200

    @model_validator(mode="after")
    def _on_the_same_queries(self) -> CamFigure:
        methods = [subject.method for subject in self.panels]
        if len(set(methods)) < len(methods):
            raise ValueError("two panels have one name; names of methods must differ")
        if len({subject.shot for subject in self.panels}) > 1:
            raise ValueError("panels of different shots have different episodes; give all the same shot")
        return self

    @property
    def subjects(self) -> list[tuple[str, Subject]]:
        names = dict.fromkeys(example.dataset for example in self.examples)
        return [(name, subject) for name in names for subject in self.panels]

    def wanted(self, dataset: str) -> dict[str, Any]:
        return {"cam": _places(self.examples, dataset)} | ({"evidence": self.episodes} if self.salient else {})


class MasksFigure(Page):
    """Kind masks: instance masks that a head predicts beside the true ones, on training clips whose masks it was never shown."""

    kind: Literal["masks"]
    datasets: list[str] = Field(min_length=1)
    subject: Subject
    examples: Examples = 2  # clips that are shown, of every data set
    clips: Episodes = 1000  # that are measured at most; and, beside them, that the mean mask is of

    @property
    def subjects(self) -> list[tuple[str, Subject]]:
        return [(name, self.subject) for name in self.datasets]

    def wanted(self, dataset: str) -> dict[str, Any]:
        return {"masks": self.examples, "clips": self.clips}


class ActionnessFigure(Page):
    """Kind actionness: actionness over the frames of a few test clips, and, where a data set says in which frames of a clip
    its action is, how it differs inside and outside of them.

    Attributes:
        examples: test clips that are shown of every data set, evenly spaced in the split.
        salient: how many frames are boxed as salient, and as many as non-salient.
    """

    kind: Literal["actionness"]
    datasets: list[str] = Field(min_length=1)
    setup: str | None = None
    examples: Examples = 2
    salient: Count = 2


def _places(examples: list[Example], dataset: str) -> list[tuple[int, int]]:
    """(episode, query) of the examples of a data set."""
    return [(example.episode, example.query) for example in examples if example.dataset == dataset]


class EmbeddingEpisode(Model):
    """Episodes of test classes: the first is drawn, all count in what is measured of them. Where a class has fewer clips than
    shot + query, both shrink in proportion."""

    way: Way
    shot: Shot
    query: int = Field(ge=2, le=1000)  # a class
    count: Episodes


class EmbeddingFigure(Page):
    """Kind embedding: t-SNE of what the metric is given of the clips of an episode, a panel for every subject."""

    kind: Literal["embedding"]
    dataset: str
    episode: EmbeddingEpisode
    perplexity: float = Field(default=15.0, gt=0, le=1000)
    panels: list[Subject] = Field(min_length=1)

    @property
    def subjects(self) -> list[tuple[str, Subject]]:
        return [(self.dataset, subject) for subject in self.panels]

    def wanted(self, dataset: str) -> dict[str, Any]:
        return {"embedding": True}


AnyFigure = (
    Figure
    | ClassGainFigure
    | ClassAccuracyFigure
    | AttentionFigure
    | CamFigure
    | MasksFigure
    | EmbeddingFigure
    | ActionnessFigure
)
FIGURES = {
    "curves": Figure,
    "class_gain": ClassGainFigure,
    "class_accuracy": ClassAccuracyFigure,
    "actionness": ActionnessFigure,
    "cam": CamFigure,
    "masks": MasksFigure,
    **dict.fromkeys(("association", "self_attention", "task_attention"), AttentionFigure),
    "embedding": EmbeddingFigure,
}


def validate_figure(value: Any, where: str) -> AnyFigure:
    """A figure from plain data, of the kind that it names."""
    return _of_kind(FIGURES, "curves", "figure", value, where)


def load_figure(path: Path) -> AnyFigure:
    """Read and validate one file of workflow/figures."""
    return validate_figure(read_yaml(path), str(path))


def _of_kind(kinds: dict[str, type[Model]], usual: str, what: str, value: Any, where: str):
    kind = value.get("kind", usual) if isinstance(value, dict) else usual
    if not isinstance(kind, str) or kind not in kinds:
        raise FsarError(f"{where}: unknown kind of {what} '{kind}'{did_you_mean(str(kind), kinds)}")
    return validate(kinds[kind], value, where)


def printed_number(value: float | str | None) -> float | None:
    """The number of a printed cell; `"49.2*"` (the authors' own run of another's method) is 49.2; None where none is printed."""
    if value is None:
        return None
    try:
        return float(value.rstrip("*")) if isinstance(value, str) else float(value)
    except ValueError:
        raise ValueError(f"'{value}' is no printed number; expected 49.2, '49.2*' or null") from None
