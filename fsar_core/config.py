"""Models of config.yaml and of data set cards: every key known, checked before any job. Torch-free.

A mistake is one `FsarError` line that names the file, the key, what was expected and the nearest valid key.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args
from urllib.parse import unquote

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)

from fsar_core.bounds import (
    MOST_PIXELS,
    Channels,
    Clip,
    Count,
    Counted,
    Decay,
    Pixels,
    Query,
    Rate,
    Seconds,
    Share,
    Shot,
    Threads,
    Way,
)
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.specs import AugmentationSpec, Policy, TrainingSpec
from fsar_core.storage.places import ObjectPath, Place
from fsar_core.storage.places import place as place_of
from fsar_core.storage.weight_files import is_address

Name = str
Hyperparameters = Literal["as_written", "as_executed"]
SPLITS = ("train", "val", "test")
CONTROL = re.compile("[\x00-\x1f\x7f]")  # in a name: a mistake or an attack
FEWEST_TEST_EPISODES = 30
MERGE = "tag:yaml.org,2002:merge"  # of the key `<<`
UNFOLDED = 200_000  # values of a YAML file, each alias counted as what it stands for


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _place(value: Any, known: Callable[[Any], Path]) -> Place:
    """A folder, or what an address names."""
    try:
        return place_of(value) if isinstance(value, str) else known(value)
    except FsarError as error:
        raise ValueError(str(error)) from None


class Roots(Model):
    """Folders, relative to where snakemake is started, or absolute."""

    data: Path  # videos, `<data>/<folder of the card>/...`
    # clip indices and stores of frames, features, masks and actionness (large); also s3://bucket/prefix, see README.md
    stores: Annotated[
        Path | InstanceOf[ObjectPath],
        WrapValidator(_place),
        PlainSerializer(str, when_used="json"),
        WithJsonSchema({"format": "path", "type": "string"}),
    ]
    weights: Path  # backbone weights, trained by the pipeline or put there by you
    results: Path  # episodes, models, runs, tables, figures, logs

    @field_validator("data", "stores", "weights", "results")
    @classmethod
    def _no_pattern(cls, value: Place) -> Place:
        if set(str(value)) & set("{}") or CONTROL.search(str(value)):
            raise ValueError(
                "holds braces (which snakemake takes for wildcards) or control characters; choose another folder"
            )
        return value


class DemoVideos(Model):
    """Videos that the pipeline draws itself, for cards with a `generator`."""

    clips: dict[Literal["train", "val", "test"], Count]  # clips of a class, by split
    frames: int = Field(ge=8, le=10_000)  # of one clip, at 24 a second
    height: int = Field(ge=32, le=MOST_PIXELS, multiple_of=2)  # pixels, even
    width: int = Field(ge=32, le=MOST_PIXELS, multiple_of=2)  # pixels, even
    jobs: int = Field(ge=1, le=10_000)  # parallel drawing jobs of a data set

    @field_validator("clips")
    @classmethod
    def _all_splits(cls, value: dict[str, int]) -> dict[str, int]:
        if set(value) != set(SPLITS):
            raise ValueError("expected a positive number of clips a class for each of train, val, test")
        return value


class Frames(Model):
    """The frame stores: which frames of a clip are kept, and how large."""

    count: Clip  # frames taken of a clip
    policy: Policy  # which ones, in the test view
    train_policy: Policy = "segment_random"  # which ones, in the further views of training clips
    size: Pixels  # pixels of the stored square
    fit: Literal["crop", "squash"]  # crop: short side resized, centre cropped; squash: both sides resized
    views: int = Field(ge=1, le=1000)  # 1 test view + further views of the training clips
    compression: Literal["zstd", "jpeg"] = (
        "zstd"  # as decoded; or about a ninth of the size, one grey level off on average
    )
    clips_per_job: Count  # of one filling job; another number fills the store anew


class BackboneTraining(Model):
    """Training of a small backbone on the training classes, by the pipeline itself."""

    epochs: Count  # passes over the training clips
    batch: Count  # clips of one step
    lr: Rate  # learning rate
    weight_decay: Decay  # of the optimizer


class Backbone(Model):
    """The network that makes features of frames, and where it is cut."""

    name: str  # see `fsar list`
    cut: str  # features are stored here; what follows runs with the head. `frames`: nothing is stored
    crop: Pixels  # pixels of the centre crop
    weights: str | None = (
        None  # a name the backbone knows, or a file below roots.weights; null: trained by the pipeline
    )
    train_tail: bool = False  # whether what lies behind the cut is trained with the head
    batch_norm: Literal["train", "frozen"] = "train"  # of a trained tail: by the batch, or by its own statistics
    training: BackboneTraining | None = None  # where the pipeline trains it
    recipe: str | None = None  # which of a card's published trainings belongs to it
    clips_per_job: Count  # of one filling job of a feature store
    batch_clips: Count  # clips of one forward pass
    dtype: Literal["float16", "float32"] = "float16"  # of the stored features
    compression: Literal["zstd", "none"] = (
        "zstd"  # of the stored features: half the size after a ReLU; or read the fastest
    )


class Setup(Model):
    """What is different for the tables, rows and figures that name it: another backbone with its augmentation (null: the preset's
    own with its), and keys of the training, which go before those of `head_training`."""

    backbone: Backbone | None = None  # null: the preset's own
    augmentation: AugmentationSpec | None = None  # of training clips, with this backbone
    training: dict[str, Any] = {}  # keys of `training` that differ


class Masks(Model):
    """Where instance masks of training clips come from, for heads that learn from them."""

    provider: str = (
        "annotated"  # annotated: PNGs that come with the data set; teachers (seem, clipseg) look at the frames
    )
    params: dict[str, Any] = {}  # of the provider
    weights: str | None = None  # a file or folder, below roots.weights or as it is; or an address, which needs `sha256`
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")  # that the weights must have
    held_out: float = Field(default=0.1, ge=0, lt=1)  # share of clips of every class that no head learns the masks of
    clips_per_job: Count = 1024  # of one filling job of a masks store
    batch_frames: Count = 8  # of one forward pass of a provider that looks at frames

    @field_validator("weights")
    @classmethod
    def _no_wildcard(cls, value: str | None) -> str | None:
        if value is not None:
            without_braces(unquote(value))
        return value

    @field_validator("params", mode="before")
    @classmethod
    def _null_is_none(cls, value: Any) -> Any:
        """So that a configuration laid over another can leave out the parameters of its provider."""
        return {} if value is None else value

    @model_validator(mode="after")
    def _an_address_is_pinned(self) -> Masks:
        if self.weights is None and self.sha256 is not None:
            raise ValueError("`sha256` is that of `weights`, and none are named")
        if self.weights is not None and is_address(self.weights) and self.sha256 is None:
            raise ValueError(
                f"weights '{self.weights}' are an address, which needs their `sha256` (64 hexadecimal digits, as sha256sum tells)"
            )
        return self


class Saliency(Model):
    """How the classifier of frames is trained, for heads that hide frames by their actionness (SGTM, Eq. 1-2)."""

    epochs: Count = 40  # passes over the training clips
    batch: Count = 64  # clips of one step
    lr: Rate = 0.001  # learning rate
    weight_decay: Decay = 0.0001  # of the optimizer
    hidden: Channels = 512  # channels between its two convolutions
    dropout: float = Field(default=0.5, ge=0, lt=1)  # share of its hidden channels that is dropped
    kernel: int = Field(default=1, ge=1, le=1024)  # frames that a convolution sees, odd
    rectified: bool = True  # a ReLU behind the last convolution too
    loss: Literal["cross_entropy", "binary"] = "cross_entropy"  # binary: one yes-or-no question a class
    clips_per_job: Count = 4096  # of one filling job of a saliency store

    @model_validator(mode="after")
    def _go_together(self) -> Saliency:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} must be odd, so that a frame lies in its middle")
        if self.loss == "binary" and self.rectified:
            raise ValueError("loss 'binary' needs scores below 0; set `rectified: false`, or `loss: cross_entropy`")
        return self


class Episodes(Model):
    """The frozen episodes of test and validation, the same for every method."""

    way: Way  # classes of an episode
    test: int = Field(ge=FEWEST_TEST_EPISODES, le=1_000_000)  # test episodes
    val: int = Field(ge=2, le=1_000_000)  # validation episodes, for selection
    query: Query  # test and validation queries per class
    group_disjoint: bool = False  # whether clips of one source video never meet as support and query
    train_shot: Literal["tested"] | Shot = "tested"  # tested: train at the shot that is tested

    @field_validator("test", mode="before")
    @classmethod
    def _enough_for_an_interval(cls, value: Any) -> Any:
        if isinstance(value, int) and value < FEWEST_TEST_EPISODES:
            raise ValueError(
                f"expected at least {FEWEST_TEST_EPISODES} test episodes; with fewer, the 95 % intervals would not cover the "
                "accuracy as often as they say"
            )
        return value


class Resources(Model):
    """What jobs may use. No change here makes anything run again, but results are the same bit for bit only for the same machine,
    device and numbers of threads: others add floating-point numbers in another order.

    Measured: with 2 threads in place of 1, the weights of a DMGAL head differ by up to 5e-7 after 60 steps. Differences grow
    during a training, and now and then the answer to a query changes. Snakemake gives no job more threads than `--cores`,
    so fewer cores than threads change results as well.
    """

    decode_threads: Threads  # processes of an index or frame job; changes no result
    decode_timeout: Seconds = 60  # seconds that a clip may take them; a slower one is lost, which changes results
    # Threads of a job that runs or trains a backbone, or measures costs; changes trained backbones in the last digits.
    backbone_threads: Threads
    train_threads: Threads  # threads of a job that trains or tests a head; changes trained heads in the last digits
    mem_mb: int = Field(ge=500, le=100_000_000)  # memory of a job, as it is told to the scheduler
    # auto: a GPU where one is leased, else the CPU; results of the two differ in rounding.
    device: Literal["auto", "cpu", "cuda"] = "auto"
    mixed_precision: bool = True  # on a GPU only; changes results in rounding
    memory_gib: float = Field(gt=0, le=100_000)  # features that a run may hold in memory; changes no result
    # Test episodes of one forward pass; auto: as many as fit a processor's cache, or fill a GPU. Changes results in rounding.
    evaluation_batch: Literal["auto"] | Count = "auto"


class Preset(Model):
    """How much is computed, and how. With `extends: NAME` keys that are not named are those of that preset."""

    demo_videos: DemoVideos  # sizes of the videos that the pipeline draws
    frames: Frames  # frame stores
    augmentation: AugmentationSpec | None = None  # of training clips; null: none
    backbone: Backbone  # of every table, row and figure that names no setup
    masks: Masks = Masks()  # instance masks of training clips
    saliency: Saliency = Saliency()  # the classifier of frames behind actionness
    episodes: Episodes  # of tests and validations
    training: TrainingSpec  # of heads
    # Of a data set's published trainings (`training` of its card), the one that the text gives or what the code makes of it; a
    # card without one, and null: `training` above.
    hyperparameters: Hyperparameters | None = None
    setups: dict[str, Setup] = {}  # other backbones or trainings, for tables and rows that name them
    backbones: dict[str, dict[str, Any]] = {}  # parameters of backbones, by name
    heads: dict[str, dict[str, Any]] = {}  # parameters for every run with that head, under those of a table
    matching: dict[str, dict[str, Any]] = {}  # likewise of metrics
    head_training: dict[str, dict[str, Any]] = {}  # keys of `training` that differ for every run with that head
    resources: Resources  # threads, memory, device


class Config(Model):
    """config.yaml"""

    preset: str  # which of `presets` is used
    paper: str = Field(pattern="^[A-Za-z0-9_]+$")  # the paper whose Table n is results/tables/table<n>.csv
    seed: int = Field(ge=-1_000_000_000_000, le=1_000_000_000_000)  # all random draws derive from it
    roots: Roots  # folders
    datasets: dict[str, str]  # paper data set -> the card (a folder of workflow/datasets) that stands behind it
    presets: dict[str, Preset]  # by name

    @model_validator(mode="after")
    def _preset_exists(self) -> Config:
        if self.preset not in self.presets:
            raise ValueError(f"preset '{self.preset}' is not among presets{did_you_mean(self.preset, self.presets)}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _lay_presets_over_those_they_extend(cls, value: Any) -> Any:
        presets = value.get("presets") if isinstance(value, Mapping) else None
        if not isinstance(presets, Mapping):
            return value
        return {**value, "presets": {name: _extended(presets, name) for name in presets}}

    @model_validator(mode="after")
    def _setups_train(self) -> Config:
        for preset in self.presets.values():
            different = {f"setups.{name}.training": setup.training for name, setup in preset.setups.items()}
            different |= {f"head_training.{name}": changes for name, changes in preset.head_training.items()}
            for place, changes in different.items():
                check_training_keys(place, changes)
                TrainingSpec.model_validate(preset.training.model_dump() | changes)
        return self

    @property
    def active(self) -> Preset:
        return self.presets[self.preset]


def check_training_keys(where: str, changes: Mapping[str, Any]) -> None:
    """ValueError unless every key is one of a training, with a value that it may have."""
    for key, value in changes.items():
        if key not in TrainingSpec.model_fields:
            raise ValueError(f"{where} has the unknown key '{key}'{did_you_mean(key, TrainingSpec.model_fields)}")
        try:
            _value_of_a_training(key).validate_python(value)
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            raise ValueError(f"{where}.{key}: {message[:1].lower()}{message[1:]} (found {value!r})") from None


@functools.cache
def _value_of_a_training(key: str) -> TypeAdapter:
    field = TrainingSpec.model_fields[key]
    return TypeAdapter(Annotated[field.annotation, field])


class SplitSource(Model):
    """The project's own list, or three published ones; all beside the card or below the data set's folder."""

    format: Literal["split_tsv", "class_video", "numbered"]  # of the list
    file: str | None = None  # the list of split_tsv
    train: str | None = None  # the training list of the other formats
    val: str | None = None  # likewise of validation
    test: str | None = None  # likewise of the test
    labels: list[str] = []  # numbered: JSON files with the template of every video, as Something-Something V2 has them
    names: dict[Literal["train", "val", "test"], str] = {}  # numbered: class names, one a line; line 1 names number 0

    @field_validator("file", "train", "val", "test")
    @classmethod
    def _inside(cls, value: str | None) -> str | None:
        return value if value is None else relative(value)

    @field_validator("labels", "names")
    @classmethod
    def _all_inside(cls, value: list[str] | dict[str, str]) -> list[str] | dict[str, str]:
        for path in value.values() if isinstance(value, dict) else value:
            relative(path)
        return value

    @model_validator(mode="after")
    def _files_of_the_format(self) -> SplitSource:
        needed = ("file",) if self.format == "split_tsv" else SPLITS
        missing = [key for key in needed if getattr(self, key) is None]
        if missing:
            raise ValueError(f"format {self.format} needs the key '{missing[0]}'")
        surplus = sorted(set(self.model_fields_set) - {"format", *needed})
        if surplus and not (self.format == "numbered" and set(surplus) <= {"labels", "names"}):
            raise ValueError(f"format {self.format} has no key '{surplus[0]}'")
        return self


class Files(Model):
    """How a listed clip is found among the files (fsar_core/data/files.py) and written out of a published list."""

    roots: list[str] = ["."]  # folders below the data set's, tried in this order
    extensions: list[str] = [".mp4", ".webm", ".avi", ".mkv", ".mov"]  # tried in this order
    match: Literal["exact", "youtube_id"] = "exact"  # youtube_id: the first 11 characters of a file's name decide
    path: str | None = None  # of a clip in a published list, out of {class} and {video}; null: as listed
    # Symbolic links below the data set's folder: inside: followed where they stay in it | anywhere: always. The folder itself
    # may be a link.
    links: Literal["inside", "anywhere"] = "inside"

    @field_validator("roots")
    @classmethod
    def _inside(cls, value: list[str]) -> list[str]:
        return [root if root == "." else relative(root) for root in value]

    @field_validator("extensions")
    @classmethod
    def _dotted(cls, value: list[str]) -> list[str]:
        for extension in value:
            if len(extension) < 2 or extension[0] != "." or set(extension[1:]) & set("./\\"):
                raise ValueError(f"'{extension}' is no extension; expected one like .mp4")
        return [extension.lower() for extension in value]

    @field_validator("path")
    @classmethod
    def _known_fields(cls, value: str | None) -> str | None:
        if value is not None:
            rest = relative(value).replace("{class}", "").replace("{video}", "")
            if "{video}" not in value or set(rest) & set("{}"):
                raise ValueError(f"'{value}' must hold {{video}}, may hold {{class}}, and no other braces")
        return value


class Card(Model):
    """workflow/datasets/<name>/card.yaml"""

    title: str  # for people
    source: str  # where the videos and the lists come from
    citation: str  # of the data set and the split
    licence: str  # of the videos
    modality: Literal["temporal", "spatial"]  # temporal: the order of the frames tells classes apart
    generator: str | None = None  # demo videos that the pipeline draws itself
    folder: str  # below roots.data
    split: SplitSource  # which clip belongs to which class and split
    flip: bool  # whether a horizontal flip leaves the class as it is
    files: Files = Files()  # how a listed clip is found
    min_frames: Count = 1  # a clip with fewer is too short to be used
    # Instance masks that come with the clips, below the data set's folder: a PNG that holds all frames below one another, or a
    # folder with a PNG a frame. {folder} and {video} stand for the last folder and the file (without extension) of a clip.
    masks: str | None = None
    groups: bool = False  # whether the split list names the source video of a clip
    # Whether one source video may give clips to several splits, as in the published split of HMDB51. Otherwise refused.
    groups_across_splits: bool = False
    # Published lists: what in a video's name (without extension) is its source, a regular expression for the whole name with
    # the named group `group`; {class} stands for the class's name. A name that does not fit is a source of its own.
    group: str | None = None
    classes: list[str] | None = None  # all class names; where given, a split list may name no other
    expected: dict[
        Literal["train", "val", "test"], tuple[Counted, Counted | None]
    ] = {}  # classes, clips (null: not stated)
    # A tab-separated list below the data set's folder with the frames of its clips in which the action is: `path start end`.
    intervals: str | None = None
    max_failures: Share  # share of clips that may be missing or broken
    # Published settings of the training, by the name that a backbone calls its recipe: keys of TrainingSpec.
    training: dict[str, dict[Hyperparameters, dict[str, Any]]] = {}

    @field_validator("training")
    @classmethod
    def _keys_of_a_training(cls, value: dict) -> dict:
        for recipe, readings in value.items():
            for reading, changes in readings.items():
                check_training_keys(f"{recipe}.{reading}", changes)
        return value

    @field_validator("folder", "intervals")
    @classmethod
    def _inside(cls, value: str | None) -> str | None:
        return value if value is None else relative(value)

    @model_validator(mode="after")
    def _no_wildcard(self) -> Card:
        if self.intervals is not None:
            without_braces(f"{self.folder}/{self.intervals}")
        if self.generator is not None:
            without_braces(self.folder)
        return self

    @field_validator("masks")
    @classmethod
    def _masks_inside(cls, value: str | None) -> str | None:
        if value is not None:
            rest = relative(value).replace("{folder}", "").replace("{video}", "")
            if "{video}" not in value or set(rest) & set("{}"):
                raise ValueError(f"'{value}' must hold {{video}}, may hold {{folder}}, and no other braces")
        return value

    @field_validator("group")
    @classmethod
    def _names_a_group(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                groups = re.compile(value.replace("{class}", "x")).groupindex
            except re.error as error:
                raise ValueError(f"no regular expression: {error}") from None
            if "group" not in groups:
                raise ValueError("expected a regular expression with (?P<group>...)")
        return value


def without_braces(path: str) -> str:
    """A path that can be an input or output of a rule; ValueError for one that Snakemake would take for a pattern."""
    if set(path) & set("{}"):
        raise ValueError(f"'{path}' holds braces, which Snakemake takes for wildcards; choose another name")
    return path


def relative(path: str) -> str:
    """A path that stays below its root; ValueError for absolute paths and `..`."""
    # No pathlib: split lists have 72,000 paths, and every start of Snakemake reads them.
    parts = set(path.split("/")) - {"", "."}
    if path.startswith("/") or ".." in parts or "\\" in path or not parts or CONTROL.search(path):
        shown = repr(path) if CONTROL.search(path) else f"'{path}'"
        raise ValueError(f"{shown} must be a relative path without '..', backslashes and control characters")
    if len(path) > 63 and (len(path) > 4000 or max(len(part.encode(errors="replace")) for part in parts) > 255):
        raise ValueError(f"'{path[:40]}...' is longer than a file system takes (255 bytes a name)")
    return path


def read_yaml(path: Path) -> Any:
    """The content of a YAML file. No tag makes an object, no alias a flood, and no key hides another one of the same name.

    Raises:
        FsarError: with the line of what cannot be read.
    """
    try:
        loader = yaml.SafeLoader(Path(path).read_text(encoding="utf-8"))
        node = loader.get_single_node()
        if node is None:
            return None
        if _unfolded(node, {}) > UNFOLDED:
            raise ValueError(f"its aliases (`*name`) unfold to more than {UNFOLDED:,} values")
        _check_keys(loader, node, set())
        return loader.construct_document(node)
    except FileNotFoundError:
        raise FsarError(f"{path}: no such file") from None
    except OSError as error:
        raise FsarError(f"{path}: cannot be read ({error.strerror})") from None
    except RecursionError:
        raise FsarError(f"{path}: not readable as YAML: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, `2020-13-45`, `!!int x`
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise FsarError(f"{path}{where}: not readable as YAML: {getattr(error, 'problem', error)}") from None


def _unfolded(node: yaml.Node, known: dict[int, int]) -> int:
    """Values that a node amounts to. ValueError for one that holds itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = -1  # under way
        parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_unfolded(part, known) for part in parts)
    elif known[id(node)] < 0:
        raise ValueError(f"line {node.start_mark.line + 1} holds itself by an alias (`*name`)")
    return known[id(node)]


def _check_keys(loader: yaml.SafeLoader, node: yaml.Node, checked: set[int]) -> None:
    """ValueError for a mapping with two keys of one name: YAML forbids them, and the parser takes the last one silently."""
    if isinstance(node, yaml.ScalarNode) or id(node) in checked:
        return
    checked.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(loader, item, checked)
        return
    lines: dict[Any, int] = {}
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            name = key.value if key.tag == MERGE else loader.construct_object(key)  # `1` and `0x1` are one key
            line = key.start_mark.line + 1
            if name in lines:
                raise ValueError(
                    f"line {line}: the key '{key.value}' is in line {lines[name]} already; remove one of them"
                )
            lines[name] = line
        _check_keys(loader, key, checked)
        _check_keys(loader, value, checked)


def validate(model: type[Model], value: Any, where: str):
    """`model` from plain data; FsarError naming `where`, the key and the nearest valid key."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise FsarError(f"{where}: {_explain(model, value, error)}") from None


def load(model: type[Model], path: Path):
    """Read and validate one YAML file."""
    return validate(model, read_yaml(path), str(path))


def _explain(model: type[BaseModel], value: Any, error: ValidationError) -> str:
    # An unknown key is the cause more often than the missing key it leaves behind, so it is told first.
    # Of a value that may be a word or a number, the word is what was hardly meant.
    first = min(error.errors(), key=lambda e: {"extra_forbidden": 0, "literal_error": 2}.get(e["type"], 1))
    path = [str(part) for part in _path_in(value, first["loc"])]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        return f"unknown key '{key}'{did_you_mean(path[-1], _keys(model, first['loc'][:-1]))}"
    if first["type"] == "missing":
        return f"missing key '{key}'"
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    given = first.get("input")
    shown = f" (found {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{key}: {message}{shown}" if key else message


def _path_in(value: Any, location: tuple) -> list:
    """A pydantic location as a path of keys, without the names of the alternatives that a value may have been meant as."""
    path = []
    for part in location:
        if not isinstance(value, Mapping | list | tuple):
            break
        path.append(part)
        known = value.keys() if isinstance(value, Mapping) else range(len(value))
        value = value[part] if part in known else {}
    return path


def _keys(model: type[BaseModel], location: tuple) -> list[str]:
    """The valid keys at a location of a model, for "did you mean"."""
    current: Any = model
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            current = current.model_fields[part].annotation
        else:  # dict[str, M] or list[M], where `part` is a user's key or a number
            current = get_args(current)[-1]
        if NoneType in get_args(current):  # M | None
            current = next(argument for argument in get_args(current) if argument is not NoneType)
    return list(current.model_fields)


def load_config(raw: Mapping | Path, where: str = "config.yaml") -> Config:
    """The configuration, from Snakemake's dictionary or from a file."""
    if isinstance(raw, Path):
        return load(Config, raw)
    return validate(Config, dict(raw), where)


def overlay(base: Mapping, top: Mapping) -> dict:
    """`top` laid over `base`, key by key, as Snakemake lays one configuration over another."""
    both = {
        k: overlay(base[k], v) for k, v in top.items() if isinstance(v, Mapping) and isinstance(base.get(k), Mapping)
    }
    return {**base, **top, **both}


def read_merged(paths: Sequence[Path]) -> dict:
    """Read configuration files; later ones are laid over earlier ones, as snakemake does it."""
    merged: dict = {}
    for path in paths:
        values = read_yaml(path)
        if not isinstance(values, dict):
            raise FsarError(f"{path}: expected keys and values, as in config.yaml")
        merged = overlay(merged, values)
    return merged


def _extended(presets: Mapping, name: str, above: tuple[str, ...] = ()) -> Any:
    """A preset as plain data, over the one that its `extends` names."""
    preset = presets[name]
    if not isinstance(preset, Mapping) or "extends" not in preset:
        return preset
    base = preset["extends"]
    if base not in presets or base in (name, *above):
        reason = "a circle" if base in presets else f"no such preset{did_you_mean(str(base), presets)}"
        raise ValueError(f"presets.{name} extends '{base}': {reason}")
    own = {key: value for key, value in preset.items() if key != "extends"}
    return overlay(_extended(presets, base, (name, *above)), own)
