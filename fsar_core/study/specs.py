"""The specs of stores, episodes and trainings, from settings of the preset and cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fsar_core.components import registry
from fsar_core.config import Backbone, Setup
from fsar_core.data import class_prompts
from fsar_core.data.cards import Dataset
from fsar_core.errors import FsarError
from fsar_core.specs import (
    AugmentationSpec,
    BackboneSpec,
    BackboneTrainingSpec,
    ClassifierSpec,
    Component,
    EpisodeSpec,
    FeatureSpec,
    FrameSpec,
    MaskSpec,
    RunSpec,
    SaliencySpec,
)
from fsar_core.study import runs
from fsar_core.study.caching import cached_method
from fsar_core.study.weights import WeightFiles

if TYPE_CHECKING:
    from fsar_core.study.study import Study


class Origin(NamedTuple):
    """What a feature store is made by.

    Attributes:
        setup: of the preset; None: its own backbone.
        trained_on: the data set that the backbone was trained on, if the pipeline trains it.
    """

    setup: str | None
    trained_on: str


class Specs:
    """Builds the specs of a study.

    Attributes:
        preset: the active preset.
        weights: files of weights that are not made by the pipeline.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self.preset = study.preset
        self.seed = study.config.seed
        self.weights = WeightFiles(study)
        self._origins: dict[str, list[Origin]] = {}

    def dataset(self, name: str) -> Dataset:
        """Return a card and its clips."""
        return self._study.dataset(name)

    # -- frames, backbones and features ------------------------------------------------------------

    @cached_method
    def frames(self, dataset: str, count: int | None = None) -> FrameSpec:
        """Return the frames of a data set.

        Args:
            count: of a clip; None: the preset's.
        """
        settings = self.preset.frames.model_dump(exclude={"clips_per_job"})
        if count is not None:
            settings["count"] = count
        card = self.dataset(dataset).digest
        return FrameSpec(dataset=dataset, card=card, seed=self.seed, **settings)

    @cached_method
    def setup(self, name: str | None) -> Setup:
        """Return a setup of the preset; None: its own backbone and training."""
        own = Setup(backbone=self.preset.backbone, augmentation=self.preset.augmentation)
        named = own if name is None else self.preset.setups[name]
        if named.backbone is not None:
            return named
        return own.model_copy(update={"training": named.training})

    @cached_method
    def backbone_training(
        self, dataset: str, setup: str | None = None
    ) -> BackboneTrainingSpec | None:
        """Return how the pipeline trains the backbone; None if its weights are given."""
        backbone = self.setup(setup).backbone
        entry = registry.entry("backbones", backbone.name)
        if backbone.weights is not None or not entry.attributes["trainable"]:
            return None
        if backbone.training is None:
            raise FsarError(
                f"preset '{self._study.config.preset}': backbone '{backbone.name}' needs `training:` or `weights:`"
            )
        return BackboneTrainingSpec(
            frames=self.frames(dataset),
            backbone=runs.with_defaults(Component(name=backbone.name), self.preset.backbones),
            crop=backbone.crop,
            seed=self.seed,
            version=entry.attributes["version"],
            **backbone.training.model_dump(),
        )

    @cached_method
    def features(
        self,
        dataset: str,
        setup: str | None = None,
        count: int | None = None,
        trained_on: str | None = None,
    ) -> FeatureSpec:
        """Return the features of a data set.

        Args:
            setup: of the preset; None: its own backbone.
            count: frames of a clip; None: the preset's.
            trained_on: the data set that the backbone is trained on; None: the same.
        """
        backbone = self.setup(setup).backbone
        origin = Origin(setup, trained_on or dataset)
        spec = FeatureSpec(
            frames=self.frames(dataset, count),
            backbone=BackboneSpec(
                name=backbone.name,
                params=self.preset.backbones.get(backbone.name, {}),
                weights=self._backbone_identity(origin),
                version=registry.entry("backbones", backbone.name).attributes["version"],
            ),
            cut=backbone.cut,
            crop=backbone.crop,
            dtype=backbone.dtype,
            augmentation=self._augmentation(dataset, setup),
            compression=backbone.compression,
        )
        self._origins.setdefault(spec.key, []).append(origin)
        return spec

    def _backbone_identity(self, origin: Origin) -> str:
        training = self.backbone_training(origin.trained_on, origin.setup)
        if training is not None:
            return f"trained:{training.digest}"
        return self.weights.backbone_identity(self.setup(origin.setup).backbone)

    def _augmentation(self, dataset: str, setup: str | None) -> AugmentationSpec | None:
        """Return the setup's augmentation, without mirrored clips if the card forbids them."""
        augmentation = self.setup(setup).augmentation
        if augmentation is None or self.dataset(dataset).card.flip:
            return augmentation
        return augmentation.without_flip()

    def origin(self, spec: FeatureSpec) -> Origin:
        """Return what a feature store is made by.

        Setups that differ only in how features are computed share a store. It is then made as the
        first of them says, in the order of the preset.
        """
        _ = self._study.experiments.runs  # which build the specs of all features
        order = [None, *self.preset.setups]
        return min(self._origins[spec.key], key=lambda origin: order.index(origin.setup))

    def backbone_of(self, spec: FeatureSpec) -> Backbone:
        """Return the settings of a feature store's backbone."""
        return self.setup(self.origin(spec).setup).backbone

    def weights_option(self, spec: FeatureSpec) -> str:
        """Return what `--weights` of a job with this backbone is given: a file or a name."""
        training = self.training_of(spec)
        if training is not None:
            return str(self._study.paths.weights(training))
        return self.weights.of_backbone(self.backbone_of(spec))

    def training_of(self, spec: FeatureSpec) -> BackboneTrainingSpec | None:
        """Return how the pipeline trains a feature store's backbone; None if it does not."""
        setup, trained_on = self.origin(spec)
        return self.backbone_training(trained_on, setup)

    # -- what is made from frames and features -----------------------------------------------------

    @cached_method
    def masks_of(self, dataset: str, count: int | None = None) -> MaskSpec:
        """Return the instance masks of a data set's training clips."""
        settings = self.preset.masks
        data = self.dataset(dataset)
        provider = registry.entry("instance_masks", settings.provider).attributes
        prompts = class_prompts.identity(data.training_classes) if provider["prompted"] else None
        return MaskSpec(
            frames=self.frames(dataset, count),
            provider=Component(name=settings.provider, params=settings.params),
            weights=self.weights.masks_identity() if provider["loads"] else None,
            source=None if provider["needs_frames"] else data.card.masks,
            prompts=prompts,
            version=provider["version"],
        )

    @cached_method
    def classifier(
        self, dataset: str, setup: str | None = None, count: int | None = None
    ) -> ClassifierSpec:
        """Return the classifier of a data set's frames, on features of the setup's last cut.

        Clips that are augmented anew in every episode (at the cut `frames`) are represented by
        their center crops.
        """
        features = self.features(dataset, setup, count)
        cuts = registry.entry("backbones", features.backbone.name).attributes["cuts"]
        at_last = {"cut": cuts[-1]}
        if features.cut == "frames":
            at_last["augmentation"] = None
        classified = features.model_copy(update=at_last)
        self._origins.setdefault(classified.key, []).append(Origin(setup, dataset))
        settings = self.preset.saliency.model_dump(exclude={"clips_per_job"})
        return ClassifierSpec(features=classified, seed=self.seed, **settings)

    @cached_method
    def saliency(
        self, dataset: str, setup: str | None = None, count: int | None = None
    ) -> SaliencySpec:
        """Return the actionness of a data set's frames, by that classifier."""
        return SaliencySpec(classifier=self.classifier(dataset, setup, count))

    # -- episodes and runs -------------------------------------------------------------------------

    @cached_method
    def episodes(
        self, dataset: str, split: str, shot: int, **different: int | float
    ) -> EpisodeSpec:
        """Return frozen episodes.

        Args:
            different: another way, query or count than the preset's, or `max_seconds`.
        """
        settings = self.preset.episodes
        sizes = {
            "way": settings.way,
            "query": settings.query,
            "count": settings.test if split == "test" else settings.val,
        }
        return EpisodeSpec(
            dataset=dataset,
            card=self.dataset(dataset).digest,
            split=split,
            shot=shot,
            **sizes | different,
            seed=self.seed,
            group_disjoint=settings.group_disjoint,
        )

    def run(
        self,
        dataset: str,
        head: Component,
        matching: Component,
        shot: int,
        setup: str | None = None,
        count: int | None = None,
        trained_on: str | None = None,
        **test: int | float,
    ) -> RunSpec:
        """Return the run of a head and a metric; see `runs.run_spec`."""
        return runs.run_spec(self, dataset, head, matching, shot, setup, count, trained_on, **test)
