"""What a result is: frozen specs, their canonical JSON, their digests and the names derived from them.

A spec holds everything that decides the numbers and nothing else: no path, no thread count, no log level. Two rows of
two tables with equal specs are one run; a store whose spec differs in one field is another store. Torch-free.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fsar_core.bounds import Count, Counted, Decay, Factor, Norm, Query, Rate, Share
from fsar_core.errors import FsarError
from fsar_core.storage.provenance import canonical_json, digest

# Bumped by hand when what the frame builder writes for the same spec changes (decoding, resizing, sampling).
FRAMES_VERSION = 2
# Bumped by hand when the classifier of frames, or the actionness that it gives, changes for the same spec.
SALIENCY_VERSION = 1
# Bumped by hand when the arrangement of arrays inside a store changes.
LAYOUT_VERSION = 1

Policy = Literal["segment_centre", "segment_random", "linspace", "interval"]


def younger(default: Any) -> Any:
    """A field that specs did not have from the start: its default is left out, so that keys and digests stay what they were."""
    return Field(default=default, exclude_if=lambda value: value == default)


class Spec(BaseModel):
    """Base of all specs: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def json_text(self) -> str:
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        return digest(self.model_dump(mode="json"))

    @classmethod
    def parse(cls, text: str):
        """From JSON text, as the rules pass it. FsarError for anything else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole text"
            raise FsarError(f"--spec is no {cls.__name__}: {where}: {first['msg']}") from None


class Component(Spec):
    """A registry entry with its parameters, as far as a user gives them."""

    name: str
    params: dict[str, Any] = {}


class FrameSpec(Spec):
    """A frame store: `count` frames a clip and view, uint8 [clip view frames height width channels]; as JPEG files, where so
    compressed, a row of bytes a clip and view.

    View 0 is the deterministic test view (`policy`); views 1.. of training clips have draws of their own (`train_policy`).
    """

    kind: Literal["frames"] = "frames"
    dataset: str
    card: str  # digest of the card, its split list and, for demo videos, their settings
    count: int
    policy: Policy
    train_policy: Policy = "segment_random"
    size: int  # pixels, both sides of the stored square
    fit: Literal["crop", "squash"]  # short side resized then centre-cropped, or both sides resized
    views: int
    seed: int
    decoder: str = "decord"
    compression: Literal["zstd", "jpeg"] = younger("zstd")  # as decoded, or with JPEG's loss
    version: int = FRAMES_VERSION
    layout: int = LAYOUT_VERSION

    @property
    def key(self) -> str:
        return f"{self.dataset}.{self.count}x{self.size}.{self.digest}"


class BackboneSpec(Spec):
    """A frozen feature extractor and the identity of its weights.

    `weights` is `sha256:...` (a local file), `torchvision:NAME` (a pinned published file), `open_clip:TAG` (the hub's file of
    that tag) or `trained:DIGEST` (made by this pipeline from the `BackboneTrainingSpec` of that digest).
    """

    name: str
    params: dict[str, Any] = {}
    weights: str
    version: int


class BackboneTrainingSpec(Spec):
    """Training of a small backbone on the training classes of one frame store (TSN: mean of frame logits)."""

    frames: FrameSpec
    backbone: Component
    epochs: int
    batch: int  # clips
    lr: float
    weight_decay: float
    crop: int  # pixels
    seed: int
    version: int

    @property
    def key(self) -> str:
        return f"{self.backbone.name}.{self.frames.dataset}.{self.digest}"


class Jitter(Spec):
    """Colour jitter: factors are drawn from 1 - x to 1 + x, the hue's shift from -hue to hue (turns), grey with p `gray`."""

    brightness: float = Field(ge=0, le=1)  # x of its factor
    contrast: float = Field(ge=0, le=1)  # x of its factor
    saturation: float = Field(ge=0, le=1)  # x of its factor
    hue: float = Field(ge=0, le=0.5)  # largest shift, in turns
    gray: float = Field(ge=0, le=1)  # probability of a grey clip


class ViewPolicy(Spec):
    """What is drawn once for a training clip and done to all of its frames."""

    crop: Literal["random", "centre"]  # of the stored square
    flip: float = Field(ge=0, le=1)  # probability of a mirrored clip; 0 for a data set whose card forbids it
    jitter: Jitter | None = None  # null: none


class AugmentationSpec(Spec):
    """Policies of training clips, for the support and for the queries of an episode."""

    support: ViewPolicy  # of clips in the support
    query: ViewPolicy  # of clips among the queries

    def without_flip(self) -> AugmentationSpec:
        """The same, for a data set in which a mirrored clip may belong to another class."""
        changed = {side: getattr(self, side).model_copy(update={"flip": 0.0}) for side in ("support", "query")}
        return AugmentationSpec(**changed)


class FeatureSpec(Spec):
    """A feature store: activations of a backbone at a cut, float16 [clip view frames dim height width].

    View 0 is the centre crop. With an augmentation, the stored views 1.. of training clips are augmented: by one policy
    where support and query have the same, else odd views by the support's and even ones by the query's. At the cut `frames`
    nothing is stored: clips are taken from the frame store, cropped and augmented anew whenever an episode uses them.
    """

    kind: Literal["features"] = "features"
    frames: FrameSpec
    backbone: BackboneSpec
    cut: str
    crop: int  # pixels of the centre crop of a stored frame
    dtype: Literal["float16", "float32"] = "float16"
    augmentation: AugmentationSpec | None = None
    compression: Literal["zstd", "none"] = younger("zstd")  # the same numbers, in another store
    layout: int = LAYOUT_VERSION

    def training_views(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Stored views that training may take for support clips and for queries."""
        every = tuple(range(self.frames.views))
        if self.cut == "frames" or self.augmentation is None:
            return every, every
        if self.augmentation.support == self.augmentation.query:
            return every[1:], every[1:]
        return every[1::2], every[2::2]

    def policy_of(self, view: int) -> ViewPolicy | None:
        """How a stored view of a training clip is augmented; None for the test view."""
        if view == 0 or self.augmentation is None:
            return None
        return self.augmentation.support if view in self.training_views()[0] else self.augmentation.query

    @property
    def dataset(self) -> str:
        return self.frames.dataset

    @property
    def key(self) -> str:
        return f"{self.dataset}.{self.backbone.name}.{self.cut}.{self.digest}"


class MaskSpec(Spec):
    """A masks store: soft instance masks of the training clips, uint8 [clip view frames height width], 255 where an acting
    instance surely is, over the frames of a frame store: the same frames, resized and cut alike. Beside them, where the provider
    gives any, scores, float32 [clip view frames].
    """

    kind: Literal["masks"] = "masks"
    frames: FrameSpec
    provider: Component  # of instance_masks
    weights: str | None = None  # sha256:... of the file or folder that the provider loads
    source: str | None = None  # where masks that come with a data set lie (`masks` of the card)
    prompts: str | None = None  # digest of the training classes' texts that a provider is prompted with
    version: int  # the provider's
    layout: int = LAYOUT_VERSION

    @property
    def dataset(self) -> str:
        return self.frames.dataset

    @property
    def key(self) -> str:
        return f"{self.dataset}.{self.provider.name}.{self.digest}"


class ClassifierSpec(Spec):
    """Training of the classifier of frames whose class scores sum to the actionness (Φ_cls of SGTM, Eq. 1-2), on the labels
    of the training clips: features of the backbone's last cut, view 0, averaged over their grid.
    """

    features: FeatureSpec
    epochs: int
    batch: int  # clips
    lr: float
    weight_decay: float
    hidden: int  # channels between its two convolutions
    dropout: float
    kernel: int  # frames that a convolution sees
    rectified: bool  # a ReLU behind the last convolution too
    loss: Literal["cross_entropy", "binary"]
    seed: int
    version: int = SALIENCY_VERSION

    @property
    def key(self) -> str:
        return f"{self.features.dataset}.{self.features.backbone.name}.{self.digest}"


class SaliencySpec(Spec):
    """A saliency store: actionness of every frame of every clip, float32 [clip view frames], the sum of a classifier's
    scores before the sigmoid of SGTM's Eq. 2, which would tie what it still tells apart. Views as in the classifier's
    feature store.
    """

    kind: Literal["saliency"] = "saliency"
    classifier: ClassifierSpec
    layout: int = LAYOUT_VERSION

    @property
    def features(self) -> FeatureSpec:
        return self.classifier.features

    @property
    def dataset(self) -> str:
        return self.features.dataset

    @property
    def key(self) -> str:
        return f"{self.dataset}.{self.features.backbone.name}.{self.digest}"


StoreSpec = FrameSpec | FeatureSpec | MaskSpec | SaliencySpec


class EpisodeSpec(Spec):
    """A frozen table of episodes: episode i is a function of seed, split and i (`fsar_core.episodes.sampler`)."""

    dataset: str
    card: str
    split: Literal["train", "val", "test"]
    way: int
    shot: int
    query: int  # per class
    count: int
    seed: int
    group_disjoint: bool
    max_seconds: float | None = None  # only clips that last no longer, of the classes that have enough of them

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
    milestones: tuple[Share, ...] = ()  # fractions of the training at which the rate of `step` falls
    factors: tuple[Factor, ...] | None = None  # of `lr` from each milestone on; null: 0.1, 0.01, ...
    clip_norm: Norm | None = None  # largest gradient norm; null: no clipping
    validations: Count  # evenly spaced selections on the validation episodes

    @model_validator(mode="after")
    def _a_factor_for_each_milestone(self) -> TrainingSpec:
        if self.factors is not None and len(self.factors) != len(self.milestones):
            raise ValueError(f"{len(self.milestones)} milestones need as many factors, found {len(self.factors)}")
        if list(self.milestones) != sorted(self.milestones):
            raise ValueError(f"milestones {list(self.milestones)} must rise")
        return self

    @model_validator(mode="after")
    def _one_step_at_least(self) -> TrainingSpec:
        if self.episodes < self.batch * self.accumulate:
            needed = f"{self.batch} x accumulate {self.accumulate}"
            raise ValueError(f"{self.episodes} episodes do not fill one step of batch {needed}; raise `episodes`")
        return self


class ModelSpec(Spec):
    """One trained model. Tests of it on other episodes, or on another data set, are several runs of one training."""

    features: FeatureSpec
    train_tail: bool = False
    # Of a trained tail. train: BatchNorm normalises by the statistics of the batch (support and queries apart) and updates its
    # own; frozen: by its own, which stay as they are. A frozen tail is always frozen.
    batch_norm: Literal["train", "frozen"] = "train"
    head: Component
    matching: Component
    masks: MaskSpec | None = None  # of the training clips, for heads that learn to see instances
    # Share of every class's training clips whose masks are kept back, so that predicted ones can be compared to them
    # (`fsar_core.data.held_out`).
    masks_held_out: float | None = None
    # For heads that hide frames by their actionness: where a store has it, or the classifier that scores the live features.
    saliency: SaliencySpec | None = None
    classifier: ClassifierSpec | None = None
    # Specs of other inputs that the head learns from, by the input's name (`fsar_core.inputs`).
    inputs: dict[str, dict[str, Any]] = younger({})
    training: TrainingSpec
    train_shot: int
    validation: EpisodeSpec  # also says which way training episodes have, and whether groups are kept apart in them
    seed: int

    @property
    def model_id(self) -> str:
        return self._named(self.features.dataset, self.train_shot)

    def _named(self, dataset: str, shot: int) -> str:
        parts = (dataset, self.features.backbone.name, self.head.name, self.matching.name)
        return f"{'.'.join(parts)}.{shot}shot.{self.digest[:8]}"


class RunSpec(ModelSpec):
    """One trained and tested model: what stands behind one number of a table."""

    test: EpisodeSpec
    test_features: FeatureSpec | None = None  # of another data set than the one that was trained on
    # Specs of inputs that the head also receives in the test, of the clips that it is tested on.
    test_inputs: dict[str, dict[str, Any]] = younger({})

    @property
    def model(self) -> ModelSpec:
        """What is trained of it."""
        return ModelSpec(**{name: getattr(self, name) for name in ModelSpec.model_fields})

    @property
    def tested_on(self) -> FeatureSpec:
        return self.test_features or self.features

    @property
    def run_id(self) -> str:
        return self._named(self.tested_on.dataset, self.test.shot)


def difference(expected: dict, found: dict, prefix: str = "") -> str | None:
    """The first field in which two spec dumps differ, as `frames.size: 80, found 72`; None where they are equal."""
    for key in sorted(expected.keys() | found.keys()):
        left, right = expected.get(key, "absent"), found.get(key, "absent")
        if isinstance(left, dict) and isinstance(right, dict):
            deeper = difference(left, right, f"{prefix}{key}.")
            if deeper:
                return deeper
        elif left != right:
            return f"{prefix}{key}: expected {left!r}, found {right!r}"
    return None
