"""What a result is: frozen specs, their canonical JSON, their digests and names derived from them.

A spec holds everything that decides the numbers and nothing else: no path, no thread count, no log
level. Two rows of two tables with equal specs are one run; a store whose spec differs in one field
is another store. Specs of a store contain the specs of what it is made from.

    base        the base class, and components with their parameters
    stores      frames, features, masks, actionness and trained weights
    runs        episodes, trainings, models and runs

The spec of a new kind of store stands in its module in `fsar_core.store_kinds`. Torch-free.
"""

from fsar_core.specs.base import Component, Spec, difference, younger
from fsar_core.specs.runs import EpisodeSpec, ModelSpec, RunSpec, TrainingSpec
from fsar_core.specs.stores import (
    FRAMES_VERSION,
    LAYOUT_VERSION,
    SALIENCY_VERSION,
    AugmentationSpec,
    BackboneSpec,
    BackboneTrainingSpec,
    ClassifierSpec,
    FeatureSpec,
    FrameSpec,
    Jitter,
    MaskSpec,
    Policy,
    SaliencySpec,
    StoreSpec,
    ViewPolicy,
)

__all__ = [
    "FRAMES_VERSION",
    "LAYOUT_VERSION",
    "SALIENCY_VERSION",
    "AugmentationSpec",
    "BackboneSpec",
    "BackboneTrainingSpec",
    "ClassifierSpec",
    "Component",
    "EpisodeSpec",
    "FeatureSpec",
    "FrameSpec",
    "Jitter",
    "MaskSpec",
    "ModelSpec",
    "Policy",
    "RunSpec",
    "SaliencySpec",
    "Spec",
    "StoreSpec",
    "TrainingSpec",
    "ViewPolicy",
    "difference",
    "younger",
]
