"""Specs of episodes, trainings, models and runs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from fsar_core.bounds import Count, Counted, Decay, Factor, Norm, Query, Rate, Share
from fsar_core.specs.base import Component, Spec, younger
from fsar_core.specs.stores import ClassifierSpec, FeatureSpec, MaskSpec, SaliencySpec


class EpisodeSpec(Spec):
    """A frozen table of episodes.

    Episode i is a function of seed, split and i (`fsar_core.episodes.sampler`).
    """

    dataset: str
    card: str
    split: Literal["train", "val", "test"]
    way: int
    shot: int
    query: int  # per class
    count: int
    seed: int
    group_disjoint: bool
    # Only clips that last no longer, of the classes that have enough of them.
    max_seconds: float | None = None

    @property
    def key(self) -> str:
        return f"{self.dataset}.{self.split}.{self.way}way{self.shot}shot.{self.digest}"


class TrainingSpec(Spec):
    """How a head is trained; every number that the loop reads."""

    episodes: int = Field(ge=1, le=1_000_000_000)  # training episodes in all
    batch: Count  # episodes of one forward pass
    accumulate: Count  # forward passes of one optimizer step
    query: Query  # training queries per class
    optimizer: Literal["adam", "adamw", "sgd"]  # of all that is trained
    lr: Rate  # learning rate
    weight_decay: Decay  # of the optimizer
    warmup: Counted  # optimizer steps of linear warm-up
    warmup_lr: Rate | None = None  # where it starts; null: lr / 10
    schedule: Literal["constant", "cosine", "step"]  # of the rate, behind the warm-up
    # fractions of the training at which the rate of `step` falls
    milestones: tuple[Share, ...] = ()
    # of `lr` from each milestone on; null: 0.1, 0.01, ...
    factors: tuple[Factor, ...] | None = None
    clip_norm: Norm | None = None  # largest gradient norm; null: no clipping
    validations: Count  # evenly spaced selections on the validation episodes

    @model_validator(mode="after")
    def _a_factor_for_each_milestone(self) -> TrainingSpec:
        if self.factors is not None and len(self.factors) != len(self.milestones):
            raise ValueError(
                f"{len(self.milestones)} milestones need as many factors, found {len(self.factors)}"
            )
        if list(self.milestones) != sorted(self.milestones):
            raise ValueError(f"milestones {list(self.milestones)} must rise")
        return self

    @model_validator(mode="after")
    def _one_step_at_least(self) -> TrainingSpec:
        if self.episodes < self.batch * self.accumulate:
            needed = f"{self.batch} x accumulate {self.accumulate}"
            raise ValueError(
                f"{self.episodes} episodes do not fill one step of batch {needed}; raise `episodes`"
            )
        return self


class ModelSpec(Spec):
    """One trained model.

    Tests of it on other episodes, or on another data set, are several runs of one training.
    """

    features: FeatureSpec
    train_tail: bool = False
    # Of a trained tail. train: BatchNorm normalizes by the statistics of the batch (support and
    # queries apart) and updates its own; frozen: by its own, which stay as they are. A frozen tail
    # is always frozen.
    batch_norm: Literal["train", "frozen"] = "train"
    head: Component
    matching: Component
    masks: MaskSpec | None = None  # of the training clips, for heads that learn to see instances
    # Share of every class's training clips whose masks are kept back, so that predicted ones can be
    # compared to them (`fsar_core.data.held_out`).
    masks_held_out: float | None = None
    # For heads that hide frames by their actionness: a store has it, or the classifier scores the
    # live features.
    saliency: SaliencySpec | None = None
    classifier: ClassifierSpec | None = None
    # Specs of other inputs that the head learns from, by the input's name (`fsar_core.inputs`).
    inputs: dict[str, dict[str, Any]] = younger({})
    training: TrainingSpec
    train_shot: int
    # Also says which way training episodes have, and whether groups are kept apart in them.
    validation: EpisodeSpec
    seed: int

    @property
    def model_id(self) -> str:
        """The name of the model's folder and files."""
        return self._named(self.features.dataset, self.train_shot)

    def _named(self, dataset: str, shot: int) -> str:
        parts = (dataset, self.features.backbone.name, self.head.name, self.matching.name)
        return f"{'.'.join(parts)}.{shot}shot.{self.digest[:8]}"


class RunSpec(ModelSpec):
    """One trained and tested model, which gives one number of a table."""

    test: EpisodeSpec
    test_features: FeatureSpec | None = None  # of another data set than the one that was trained on
    # Specs of inputs that the head also receives in the test, of the clips that it is tested on.
    test_inputs: dict[str, dict[str, Any]] = younger({})

    @property
    def model(self) -> ModelSpec:
        """The model that is tested."""
        return ModelSpec(**{name: getattr(self, name) for name in ModelSpec.model_fields})

    @property
    def tested_on(self) -> FeatureSpec:
        """The features of the clips that it is tested on."""
        return self.test_features or self.features

    @property
    def run_id(self) -> str:
        """The name of the run's folder and files."""
        return self._named(self.tested_on.dataset, self.test.shot)
