"""Models of what is made once and stored: videos, frames, features, masks, actionness."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import unquote

from pydantic import Field, field_validator, model_validator

from fsar_core.bounds import MOST_PIXELS, Channels, Clip, Count, Decay, Pixels, Rate
from fsar_core.config.base import SPLITS, Model
from fsar_core.config.paths import without_braces
from fsar_core.specs import Policy
from fsar_core.storage.weight_files import is_address


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
            raise ValueError(
                "expected a positive number of clips a class for each of train, val, test"
            )
        return value


class Frames(Model):
    """The frame stores: which frames of a clip are kept, and how large."""

    count: Clip  # frames taken of a clip
    policy: Policy  # which ones, in the test view
    train_policy: Policy = "segment_random"  # which ones, in the further views of training clips
    size: Pixels  # pixels of the stored square
    # crop: short side resized, centre cropped; squash: both sides resized
    fit: Literal["crop", "squash"]
    views: int = Field(ge=1, le=1000)  # 1 test view + further views of the training clips
    # as decoded; or about a ninth of the size, one grey level off on average
    compression: Literal["zstd", "jpeg"] = "zstd"
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
    # features are stored here; what follows runs with the head. `frames`: nothing is stored
    cut: str
    crop: Pixels  # pixels of the centre crop
    # a name the backbone knows, or a file below roots.weights; null: trained by the pipeline
    weights: str | None = None
    train_tail: bool = False  # whether what lies behind the cut is trained with the head
    # of a trained tail: by the batch, or by its own statistics
    batch_norm: Literal["train", "frozen"] = "train"
    training: BackboneTraining | None = None  # where the pipeline trains it
    recipe: str | None = None  # which of a card's published trainings belongs to it
    clips_per_job: Count  # of one filling job of a feature store
    batch_clips: Count  # clips of one forward pass
    dtype: Literal["float16", "float32"] = "float16"  # of the stored features
    # of the stored features: half the size after a ReLU; or read the fastest
    compression: Literal["zstd", "none"] = "zstd"


class Masks(Model):
    """Where instance masks of training clips come from, for heads that learn from them."""

    # annotated: PNGs that come with the data set; teachers (seem, clipseg) look at the frames
    provider: str = "annotated"
    params: dict[str, Any] = {}  # of the provider
    # a file or folder, below roots.weights or as it is; or an address, which needs `sha256`
    weights: str | None = None
    # that the weights must have
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    # share of clips of every class that no head learns the masks of
    held_out: float = Field(default=0.1, ge=0, lt=1)
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
        """Take null for none, so that a configuration can clear those of the one below it."""
        return {} if value is None else value

    @model_validator(mode="after")
    def _an_address_is_pinned(self) -> Masks:
        if self.weights is None and self.sha256 is not None:
            raise ValueError("`sha256` is that of `weights`, and none are named")
        if self.weights is not None and is_address(self.weights) and self.sha256 is None:
            raise ValueError(
                f"weights '{self.weights}' are an address, which needs their `sha256` "
                "(64 hexadecimal digits, as sha256sum tells)"
            )
        return self


class Saliency(Model):
    """How the classifier of frames is trained, for heads that hide frames by their actionness
    (SGTM, Eq. 1-2)."""

    epochs: Count = 40  # passes over the training clips
    batch: Count = 64  # clips of one step
    lr: Rate = 0.001  # learning rate
    weight_decay: Decay = 0.0001  # of the optimizer
    hidden: Channels = 512  # channels between its two convolutions
    dropout: float = Field(default=0.5, ge=0, lt=1)  # share of its hidden channels that is dropped
    kernel: int = Field(default=1, ge=1, le=1024)  # frames that a convolution sees, odd
    rectified: bool = True  # a ReLU behind the last convolution too
    # binary: one yes-or-no question a class
    loss: Literal["cross_entropy", "binary"] = "cross_entropy"
    clips_per_job: Count = 4096  # of one filling job of a saliency store

    @model_validator(mode="after")
    def _go_together(self) -> Saliency:
        if self.kernel % 2 == 0:
            raise ValueError(
                f"kernel {self.kernel} must be odd, so that a frame lies in its middle"
            )
        if self.loss == "binary" and self.rectified:
            raise ValueError(
                "loss 'binary' needs scores below 0; set `rectified: false`, or `loss: cross_entropy`"
            )
        return self
