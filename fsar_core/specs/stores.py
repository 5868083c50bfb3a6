"""Specs of what is made once and stored: frames, features, masks, actionness, trained weights."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from fsar_core.specs.base import Component, Spec, younger

# Raised by hand when what the frame builder writes for the same spec changes (decoding, resizing,
# sampling).
FRAMES_VERSION = 2
# Raised by hand when the classifier of frames, or the actionness that it gives, changes for the
# same spec.
SALIENCY_VERSION = 1
# Raised by hand when the arrangement of arrays inside a store changes.
LAYOUT_VERSION = 1

Policy = Literal["segment_centre", "segment_random", "linspace", "interval"]


class FrameSpec(Spec):
    """A frame store: `count` frames of every clip and view.

    It holds uint8 [clip view frames height width channels] or, compressed as JPEG, a row of bytes
    for every clip and view. View 0 is the deterministic test view (`policy`); views 1.. of training
    clips have draws of their own (`train_policy`).
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

    `weights` is `sha256:...` (a local file), `torchvision:NAME` (a pinned published file),
    `open_clip:TAG` (the hub's file of that tag) or `trained:DIGEST` (made by this pipeline from the
    `BackboneTrainingSpec` of that digest).
    """

    name: str
    params: dict[str, Any] = {}
    weights: str
    version: int


class BackboneTrainingSpec(Spec):
    """Training of a small backbone on the training classes of one frame store.

    As in TSN, the logits of a clip are the mean of its frames' logits.
    """

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
    """Color jitter: factors drawn from 1 - x to 1 + x, and the hue's shift from -hue to hue (turns).

    A clip is gray with probability `gray`.
    """

    brightness: float = Field(ge=0, le=1)  # x of its factor
    contrast: float = Field(ge=0, le=1)  # x of its factor
    saturation: float = Field(ge=0, le=1)  # x of its factor
    hue: float = Field(ge=0, le=0.5)  # largest shift, in turns
    gray: float = Field(ge=0, le=1)  # probability of a grey clip


class ViewPolicy(Spec):
    """What is drawn once for a training clip and done to all of its frames."""

    crop: Literal["random", "centre"]  # of the stored square
    # probability of a mirrored clip; 0 for a data set whose card forbids it
    flip: float = Field(ge=0, le=1)
    jitter: Jitter | None = None  # null: none


class AugmentationSpec(Spec):
    """Policies of training clips, for the support and for the queries of an episode."""

    support: ViewPolicy  # of clips in the support
    query: ViewPolicy  # of clips among the queries

    def without_flip(self) -> AugmentationSpec:
        """Return the same for a data set in which a mirrored clip may belong to another class."""
        still = {"flip": 0.0}
        return AugmentationSpec(
            support=self.support.model_copy(update=still),
            query=self.query.model_copy(update=still),
        )


class FeatureSpec(Spec):
    """A feature store: activations of a backbone at a cut.

    It holds float16 [clip view frames dim height width]. View 0 is the center crop. With an
    augmentation, the stored views 1.. of training clips are augmented: by one policy if support and
    query have the same, else odd views by the support's and even ones by the query's. At the cut
    `frames` nothing is stored: clips are taken from the frame store, and cropped and augmented anew
    whenever an episode uses them.
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
        """Return the stored views that training may take for support clips and for queries."""
        every = tuple(range(self.frames.views))
        if self.cut == "frames" or self.augmentation is None:
            return every, every
        if self.augmentation.support == self.augmentation.query:
            return every[1:], every[1:]
        return every[1::2], every[2::2]

    def policy_of(self, view: int) -> ViewPolicy | None:
        """Return how a stored view of a training clip is augmented; None for the test view."""
        if view == 0 or self.augmentation is None:
            return None
        of_support, _ = self.training_views()
        return self.augmentation.support if view in of_support else self.augmentation.query

    @property
    def dataset(self) -> str:
        return self.frames.dataset

    @property
    def key(self) -> str:
        return f"{self.dataset}.{self.backbone.name}.{self.cut}.{self.digest}"


class MaskSpec(Spec):
    """A masks store: soft instance masks of the training clips.

    It holds uint8 [clip view frames height width], 255 where an acting instance surely is, over the
    frames of a frame store: the same frames, resized and cropped alike. Providers that give scores
    add an array of them, float32 [clip view frames].
    """

    kind: Literal["masks"] = "masks"
    frames: FrameSpec
    provider: Component  # of instance_masks
    weights: str | None = None  # sha256:... of the file or folder that the provider loads
    source: str | None = None  # where masks that come with a data set lie (`masks` of the card)
    # digest of the training classes' texts that a provider is prompted with
    prompts: str | None = None
    version: int  # the provider's
    layout: int = LAYOUT_VERSION

    @property
    def dataset(self) -> str:
        return self.frames.dataset

    @property
    def key(self) -> str:
        return f"{self.dataset}.{self.provider.name}.{self.digest}"


class ClassifierSpec(Spec):
    """Training of the classifier of frames, whose class scores sum to the actionness.

    Source: Φ_cls of SGTM, Eq. 1-2. It is trained on the labels of the training clips, with features
    of the backbone's last cut, view 0, averaged over their grid.
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
    """A saliency store: the actionness of every frame of every clip.

    It holds float32 [clip view frames], the sum of a classifier's scores before the sigmoid of
    SGTM's Eq. 2, which would tie what the sum still tells apart. Views are those of the
    classifier's feature store.
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
