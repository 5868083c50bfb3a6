"""Checks of the specs of artifacts: whether the data sets have what is asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsar_core import inputs
from fsar_core.components import registry
from fsar_core.data import class_prompts
from fsar_core.episodes.sampler import Split, check
from fsar_core.errors import FsarError
from fsar_core.specs import EpisodeSpec, FeatureSpec, MaskSpec, ModelSpec, RunSpec
from fsar_core.study.caching import cached_method

if TYPE_CHECKING:
    from fsar_core.study.study import Study


class SpecChecks:
    """Checks of a study's specs; each raises FsarError. They are made for what is needed only."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._where = f"preset '{study.config.preset}'"

    def check_features(self, spec: FeatureSpec) -> None:
        """Check that the crop fits into the stored frames."""
        if spec.crop <= spec.frames.size:
            return
        setup = self._study.specs.origin(spec).setup
        place = f"setups.{setup}.backbone" if setup else "backbone"
        raise FsarError(
            f"{self._where}: {place}.crop {spec.crop} is larger than frames.size {spec.frames.size}"
        )

    def check_masks(self, spec: MaskSpec) -> None:
        """Check that the masks of a data set can be made."""
        provider = registry.entry("instance_masks", spec.provider.name).attributes
        if not provider["needs_frames"] and spec.source is None:
            raise FsarError(
                f"the card of '{spec.dataset}' says nothing of masks, and this run learns from "
                f"them; add `masks:` to the card, choose another provider "
                f"(`masks: {{provider: ...}}` in the preset), or leave them out (`mask_weight: 0`)"
            )
        classes = self._study.dataset(spec.dataset).training_classes
        number = class_prompts.number_only(classes) if spec.prompts is not None else None
        if number:
            raise FsarError(
                f"'{spec.dataset}' has a class '{number}', a number, no text to prompt "
                f"'{spec.provider.name}' with; make its split list with the names of the classes "
                f"(`fsar import-split ... --labels`)"
            )
        self.check_mask_weights()

    def check_mask_weights(self) -> None:
        """Check that the mask provider's weights exist, if it loads any."""
        settings = self._study.preset.masks
        loads = registry.entry("instance_masks", settings.provider).attributes["loads"]
        if loads is None or self._study.specs.weights.of_masks() is not None:
            return
        raise FsarError(
            f"{self._where}: masks.weights: no {loads} '{settings.weights}', here or in "
            f"roots.weights ({self._study.config.roots.weights}); '{settings.provider}' loads one, "
            f"README.md (Instance masks) says where it is published"
        )

    def check_episodes(self, spec: EpisodeSpec) -> None:
        """Check that the split has enough clips for such episodes."""
        if spec.max_seconds is None:  # a split list holds no durations
            self._check_draw(spec.dataset, spec.split, spec.way, spec.shot, spec.query)

    def check_model(self, spec: ModelSpec) -> None:
        """Check that a model can be trained and validated."""
        self.check_features(spec.features)
        for each in inputs.of_model(spec):
            if each.has_artifact:
                each.check(self, each.spec_of(spec))
        validation = spec.validation
        dataset = spec.features.dataset
        query = spec.training.query
        self._check_draw(dataset, "train", validation.way, spec.train_shot, query)
        self.check_episodes(validation)

    def check_run(self, spec: RunSpec) -> None:
        """Check that a model can be trained and tested."""
        self.check_model(spec)
        self.check_features(spec.tested_on)
        for each in inputs.of_test(spec):
            if each.has_artifact:
                each.check(self, each.test_spec_of(spec))
        self.check_episodes(spec.test)

    def _check_draw(self, dataset: str, split: str, way: int, shot: int, query: int) -> None:
        disjoint = self._study.preset.episodes.group_disjoint
        check(self._split(dataset, split), way, shot, query, group_disjoint=disjoint)

    @cached_method
    def _split(self, dataset: str, split: str) -> Split:
        clips = self._study.dataset(dataset).clips
        return Split.from_index(clips.assign(row=range(len(clips)), problem=""), split)
