"""The spec of a run: a head and a metric, what they are trained on, and what they are tested on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fsar_core import inputs
from fsar_core.config import Setup
from fsar_core.specs import Component, RunSpec, TrainingSpec

if TYPE_CHECKING:
    from fsar_core.study.specs import Specs


def run_spec(
    specs: Specs,
    dataset: str,
    head: Component,
    matching: Component,
    shot: int,
    setup: str | None = None,
    count: int | None = None,
    trained_on: str | None = None,
    **test: int | float,
) -> RunSpec:
    """Return the run of a head and a metric on a data set at a shot.

    Parameters that head and metric do not name are the preset's.

    Args:
        dataset: that is tested on.
        setup: of the preset; None: its own backbone.
        count: frames of a clip; None: the preset's.
        trained_on: the data set of the training, also of the backbone; None: the same.
        test: way or max_seconds of the test episodes, where they are not the preset's.
    """
    preset = specs.preset
    settings = specs.setup(setup)
    train_shot = shot if preset.episodes.train_shot == "tested" else preset.episodes.train_shot
    trained = trained_on or dataset
    head = _with_input_params(specs, trained, with_defaults(head, preset.heads))
    test_features = None
    if trained != dataset:
        test_features = specs.features(dataset, setup, count, trained_on=trained)
    return RunSpec(
        features=specs.features(trained, setup, count),
        test_features=test_features,
        train_tail=settings.backbone.train_tail,
        batch_norm=settings.backbone.batch_norm,
        head=head,
        **_input_fields(specs, head, trained, dataset, setup, count),
        matching=with_defaults(matching, preset.matching),
        training=_training(specs, trained, settings, head.name),
        train_shot=train_shot,
        validation=specs.episodes(trained, "val", train_shot),
        test=specs.episodes(dataset, "test", shot, **test),
        seed=specs.seed,
    )


def with_defaults(component: Component, defaults: dict[str, dict]) -> Component:
    """Return a component with parameters of the preset, where it names none of its own.

    Args:
        defaults: parameters by name of the component.
    """
    params = {**defaults.get(component.name, {}), **component.params}
    return Component(name=component.name, params=params)


def _with_input_params(specs: Specs, dataset: str, head: Component) -> Component:
    """Return a head with the parameters that follow from its inputs; its own have priority."""
    params: dict[str, Any] = {}
    for wanted in inputs.wanted(head):
        params |= wanted.head_params(specs, dataset)
    return with_defaults(head, {head.name: params})


def _input_fields(
    specs: Specs, head: Component, trained: str, tested: str, setup: str | None, count: int | None
) -> dict[str, Any]:
    """Return the fields of a `RunSpec` that name the artifacts of the head's inputs."""
    fields: dict[str, Any] = {}
    for wanted in (each for each in inputs.wanted(head) if each.has_artifact):
        recorded = wanted.model_fields(specs, wanted.plan(specs, trained, setup, count))
        others = fields.get("inputs", {}) | recorded.get("inputs", {})
        fields |= recorded | ({"inputs": others} if others else {})
        if wanted.at_test:
            spec = wanted.plan(specs, tested, setup, count)
            in_test = {wanted.key: spec.model_dump(mode="json")}
            fields["test_inputs"] = fields.get("test_inputs", {}) | in_test
    return fields


def _training(specs: Specs, dataset: str, setup: Setup, head: str) -> TrainingSpec:
    """Return the settings of a training.

    Later ones have priority: the preset's, those that the card has published for the backbone, the
    preset's for the head, the setup's.
    """
    preset = specs.preset
    recipes = specs.dataset(dataset).card.training
    published = recipes.get(setup.backbone.recipe, {}).get(preset.hyperparameters, {})
    of_head = preset.head_training.get(head, {})
    return TrainingSpec.model_validate(
        preset.training.model_dump() | published | of_head | setup.training
    )
