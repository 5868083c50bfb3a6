"""Models of a preset: how much is computed, and how."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from fsar_core.bounds import Count, Query, Seconds, Shot, Threads, Way
from fsar_core.config.base import Model
from fsar_core.config.stores import Backbone, DemoVideos, Frames, Masks, Saliency
from fsar_core.config.training import Hyperparameters
from fsar_core.specs import AugmentationSpec, TrainingSpec

FEWEST_TEST_EPISODES = 30


class Setup(Model):
    """What is different for the tables, rows and figures that name it: another backbone with
    its augmentation (null: the preset's own with its), and keys of the training, which go
    before those of `head_training`."""

    backbone: Backbone | None = None  # null: the preset's own
    augmentation: AugmentationSpec | None = None  # of training clips, with this backbone
    training: dict[str, Any] = {}  # keys of `training` that differ


class Episodes(Model):
    """The frozen episodes of test and validation, the same for every method."""

    way: Way  # classes of an episode
    test: int = Field(ge=FEWEST_TEST_EPISODES, le=1_000_000)  # test episodes
    val: int = Field(ge=2, le=1_000_000)  # validation episodes, for selection
    query: Query  # test and validation queries per class
    # whether clips of one source video never meet as support and query
    group_disjoint: bool = False
    train_shot: Literal["tested"] | Shot = "tested"  # tested: train at the shot that is tested

    @field_validator("test", mode="before")
    @classmethod
    def _enough_for_an_interval(cls, value: Any) -> Any:
        if isinstance(value, int) and value < FEWEST_TEST_EPISODES:
            raise ValueError(
                f"expected at least {FEWEST_TEST_EPISODES} test episodes; with fewer, the 95 % "
                "intervals would not cover the accuracy as often as they say"
            )
        return value


class Resources(Model):
    """What jobs may use. No change here makes anything run again, but results are the same bit
    for bit only for the same machine, device and numbers of threads: others add floating-point
    numbers in another order.

    Measured: with 2 threads in place of 1, the weights of a DMGAL head differ by up to 5e-7 after
    60 steps. Differences grow during a training, and now and then the answer to a query changes.
    Snakemake gives no job more threads than `--cores`, so fewer cores than threads change results
    as well.
    """

    decode_threads: Threads  # processes of an index or frame job; changes no result
    # seconds that a clip may take them; a slower one is lost, which changes results
    decode_timeout: Seconds = 60
    # Threads of a job that runs or trains a backbone, or measures costs; changes trained
    # backbones in the last digits.
    backbone_threads: Threads
    # threads of a job that trains or tests a head; changes trained heads in the last digits
    train_threads: Threads
    mem_mb: int = Field(ge=500, le=100_000_000)  # memory of a job, as it is told to the scheduler
    # auto: a GPU where one is leased, else the CPU; results of the two differ in rounding.
    device: Literal["auto", "cpu", "cuda"] = "auto"
    mixed_precision: bool = True  # on a GPU only; changes results in rounding
    # features that a run may hold in memory; changes no result
    memory_gib: float = Field(gt=0, le=100_000)
    # Test episodes of one forward pass; auto: as many as fit a processor's cache, or fill a
    # GPU. Changes results in rounding.
    evaluation_batch: Literal["auto"] | Count = "auto"


class Preset(Model):
    """How much is computed, and how. With `extends: NAME` keys that are not named are those of
    that preset."""

    demo_videos: DemoVideos  # sizes of the videos that the pipeline draws
    frames: Frames  # frame stores
    augmentation: AugmentationSpec | None = None  # of training clips; null: none
    backbone: Backbone  # of every table, row and figure that names no setup
    masks: Masks = Masks()  # instance masks of training clips
    saliency: Saliency = Saliency()  # the classifier of frames behind actionness
    episodes: Episodes  # of tests and validations
    training: TrainingSpec  # of heads
    # Of a data set's published trainings (`training` of its card), the one that the text
    # gives or what the code makes of it; a card without one, and null: `training` above.
    hyperparameters: Hyperparameters | None = None
    # other backbones or trainings, for tables and rows that name them
    setups: dict[str, Setup] = {}
    backbones: dict[str, dict[str, Any]] = {}  # parameters of backbones, by name
    # parameters for every run with that head, under those of a table
    heads: dict[str, dict[str, Any]] = {}
    matching: dict[str, dict[str, Any]] = {}  # likewise of metrics
    # keys of `training` that differ for every run with that head
    head_training: dict[str, dict[str, Any]] = {}
    resources: Resources  # threads, memory, device
