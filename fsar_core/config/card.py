"""Models of a data set's card: what the data set is, and how its clips are found."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import field_validator, model_validator

from fsar_core.bounds import Count, Counted, Share
from fsar_core.config.base import SPLITS, Model
from fsar_core.config.paths import relative, without_braces
from fsar_core.config.training import Hyperparameters, check_training_keys


class SplitSource(Model):
    """The project's own list, or three published ones; all beside the card or below the data
    set's folder."""

    format: Literal["split_tsv", "class_video", "numbered"]  # of the list
    file: str | None = None  # the list of split_tsv
    train: str | None = None  # the training list of the other formats
    val: str | None = None  # likewise of validation
    test: str | None = None  # likewise of the test
    # numbered: JSON files with the template of every video, as Something-Something V2 has
    # them
    labels: list[str] = []
    # numbered: class names, one a line; line 1 names number 0
    names: dict[Literal["train", "val", "test"], str] = {}

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
    """How a listed clip is found among the files (fsar_core/data/files.py) and written out of a
    published list."""

    roots: list[str] = ["."]  # folders below the data set's, tried in this order
    extensions: list[str] = [".mp4", ".webm", ".avi", ".mkv", ".mov"]  # tried in this order
    # youtube_id: the first 11 characters of a file's name decide
    match: Literal["exact", "youtube_id"] = "exact"
    # of a clip in a published list, out of {class} and {video}; null: as listed
    path: str | None = None
    # Symbolic links below the data set's folder: inside: followed where they stay in it |
    # anywhere: always. The folder itself may be a link.
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
                raise ValueError(
                    f"'{value}' must hold {{video}}, may hold {{class}}, and no other braces"
                )
        return value


class Card(Model):
    """workflow/datasets/<name>/card.yaml"""

    title: str  # for people
    source: str  # where the videos and the lists come from
    citation: str  # of the data set and the split
    licence: str  # of the videos
    # temporal: the order of the frames tells classes apart
    modality: Literal["temporal", "spatial"]
    generator: str | None = None  # demo videos that the pipeline draws itself
    folder: str  # below roots.data
    split: SplitSource  # which clip belongs to which class and split
    flip: bool  # whether a horizontal flip leaves the class as it is
    files: Files = Files()  # how a listed clip is found
    min_frames: Count = 1  # a clip with fewer is too short to be used
    # Instance masks that come with the clips, below the data set's folder: a PNG that holds
    # all frames below one another, or a folder with a PNG a frame. {folder} and {video} stand
    # for the last folder and the file (without extension) of a clip.
    masks: str | None = None
    groups: bool = False  # whether the split list names the source video of a clip
    # Whether one source video may give clips to several splits, as in the published split of
    # HMDB51. Otherwise refused.
    groups_across_splits: bool = False
    # Published lists: what in a video's name (without extension) is its source, a regular
    # expression for the whole name with the named group `group`; {class} stands for the
    # class's name. A name that does not fit is a source of its own.
    group: str | None = None
    classes: list[str] | None = None  # all class names; where given, a split list may name no other
    expected: dict[
        Literal["train", "val", "test"], tuple[Counted, Counted | None]
    ] = {}  # classes, clips (null: not stated)
    # A tab-separated list below the data set's folder with the frames of its clips in which
    # the action is: `path start end`.
    intervals: str | None = None
    max_failures: Share  # share of clips that may be missing or broken
    # Published settings of the training, by the name that a backbone calls its recipe: keys
    # of TrainingSpec.
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
                raise ValueError(
                    f"'{value}' must hold {{video}}, may hold {{folder}}, and no other braces"
                )
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
