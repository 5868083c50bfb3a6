"""A trained model: a head and a metric on a data set at a shot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from fsar_core import inputs as head_inputs
from fsar_core.components import registry
from fsar_core.specs import ModelSpec
from fsar_core.storage.places import Place
from fsar_core.study.artifacts.base import CLIP_FRAMES, Artifact, Work

# A validation goes through the network forwards only: a third of a training episode's work.
FORWARD = 1 / 3
# The rule's input with all artifacts that `fsar train` has no option of its own for.
OTHERS = "others"


class Model(Artifact):
    """A trained model; the best of its validations is kept."""

    spec: ModelSpec
    spec_type = ModelSpec
    wildcards = ("model",)
    location = ("results", "models/*/*.pt")
    rule = "train_head"
    uses_gpu = True

    @cached_property
    def key(self) -> str:
        return self.spec.model_id

    @cached_property
    def folder(self) -> Path:
        """The folder of the model."""
        return self.study.config.roots.results / "models" / self.key

    @property
    def path(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def places(self) -> Sequence[Place]:
        return (self.folder,)

    @cached_property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        features = self.spec.features
        needs: dict[str, list[Artifact]] = {
            "features": [self.graph.of(features)],
            "trained": self.graph.weights_of(features),
            "index": [self.graph.get("clip_index", features.dataset)],
            "validation": [self.graph.of(self.spec.validation)],
        }
        for each in self._head_inputs:
            name = each.key if each.has_option else OTHERS
            needs.setdefault(name, []).append(self.graph.of(each.spec_of(self.spec)))
        return needs

    @cached_property
    def _head_inputs(self) -> list[head_inputs.Input]:
        """The head's inputs that are read from an artifact."""
        return [each for each in head_inputs.of_model(self.spec) if each.has_artifact]

    @property
    def params(self) -> Mapping[str, Any]:
        folders = {
            each.key: str(self.graph.of(each.spec_of(self.spec)).argument)
            for each in self._head_inputs
        }
        own = {each.key: folders[each.key] for each in self._head_inputs if each.has_option}
        others = [f"--input={key}={path}" for key, path in folders.items() if key not in own]
        options = {each.key: "" for each in head_inputs.with_options()}
        return {
            "spec": self.spec.json_text,
            "weights": self.study.specs.weights_option(self.spec.features),
            OTHERS: others,
            **options,
            **own,
        }

    @property
    def modules(self) -> Sequence[str]:
        of_inputs = [each.module for each in head_inputs.of_model(self.spec)]
        return [*component_modules(self.spec), *of_inputs]

    @property
    def work(self) -> Work:
        spec = self.spec
        validation = spec.validation
        trained = validated = 0
        if _learns(spec):
            clips = validation.way * (spec.train_shot + spec.training.query)
            trained = spec.training.episodes * clips
        validations = spec.training.validations if trained else 1
        clips = validation.way * (validation.shot + validation.query)
        validated = validations * validation.count * clips
        passes = trained + FORWARD * validated
        frames = spec.features.frames.count
        return Work(stage(self.rule, spec), passes * frames / CLIP_FRAMES)

    def check(self) -> None:
        self.study.checks.check_model(self.spec)


def component_modules(spec: ModelSpec) -> list[str]:
    """Return the modules of a model's components, which its jobs reach by name."""
    parts = (
        ("heads", spec.head),
        ("matching", spec.matching),
        ("backbones", spec.features.backbone),
    )
    modules = []
    for kind, component in parts:
        modules += registry.modules(kind, component.name, component.params)
    return modules


def stage(rule: str, spec: ModelSpec) -> str:
    """Return what the speed of a model depends on.

    That is its head and metric or, if it is trained with them, its backbone.
    """
    network = spec.features.backbone if spec.train_tail else spec.head
    return f"{rule}.{network.name}.{spec.matching.name}"


def _learns(spec: ModelSpec) -> bool:
    """Say whether there is anything to train.

    Heads and metrics that are not built for a number of channels have no parameters. On the
    features as they are, they are only validated.
    """
    entries = (
        registry.entry("heads", spec.head.name),
        registry.entry("matching", spec.matching.name),
    )
    built_for = {name for entry in entries for name in entry.parameters}
    return spec.train_tail or not built_for.isdisjoint({"dim", "tail"})
