"""Digests are identities: stable, blind to the order of keys, different for every field."""

from __future__ import annotations

import json
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

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
    Jitter,
    MaskSpec,
    ModelSpec,
    RunSpec,
    SaliencySpec,
    Spec,
    TrainingSpec,
    ViewPolicy,
    difference,
)

FRAMES = FrameSpec(
    dataset="ssv2",
    card="0123456789ab",
    count=8,
    policy="segment_centre",
    train_policy="segment_random",
    size=256,
    fit="crop",
    views=2,
    seed=3,
    decoder="decord",
    version=1,
    layout=1,
)
BACKBONE = BackboneSpec(
    name="resnet50", params={"a": 1, "b": [1, 2]}, weights="torchvision:IMAGENET1K_V1", version=1
)
BACKBONE_TRAINING = BackboneTrainingSpec(
    frames=FRAMES,
    backbone=Component(name="demo_cnn", params={"dim": 64}),
    epochs=5,
    batch=16,
    lr=0.002,
    weight_decay=0.0005,
    crop=64,
    seed=3,
    version=1,
)
AUGMENTATION = AugmentationSpec(
    support=ViewPolicy(
        crop="centre",
        flip=0.25,
        jitter=Jitter(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1, gray=0.1),
    ),
    query=ViewPolicy(
        crop="random",
        flip=0.5,
        jitter=Jitter(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.25, gray=0.3),
    ),
)
FEATURES = FeatureSpec(
    frames=FRAMES,
    backbone=BACKBONE,
    cut="layer4",
    crop=224,
    dtype="float16",
    augmentation=AUGMENTATION,
    layout=1,
)
EPISODES = EpisodeSpec(
    dataset="ssv2",
    card="0123456789ab",
    split="test",
    way=5,
    shot=1,
    query=1,
    count=10000,
    seed=3,
    group_disjoint=False,
    max_seconds=5.0,
)
MASKS = MaskSpec(
    frames=FRAMES,
    provider=Component(name="seem"),
    weights="sha256:abc",
    source="masks/{video}.png",
    prompts="def",
    version=1,
)
CLASSIFIER = ClassifierSpec(
    features=FEATURES,
    epochs=40,
    batch=64,
    lr=0.001,
    weight_decay=0.0001,
    hidden=512,
    dropout=0.5,
    kernel=1,
    rectified=True,
    loss="cross_entropy",
    seed=3,
    version=1,
)
SALIENCY = SaliencySpec(classifier=CLASSIFIER)
TRAINING = TrainingSpec(
    episodes=40000,
    batch=4,
    accumulate=4,
    query=5,
    optimizer="adam",
    lr=0.0001,
    weight_decay=0.0005,
    warmup=250,
    warmup_lr=0.00002,
    schedule="step",
    milestones=(0.4, 0.8),
    factors=(0.5, 0.1),
    clip_norm=5.0,
    validations=20,
)
RUN = RunSpec(
    features=FEATURES,
    train_tail=False,
    head=Component(name="dmgal", params={"r1": 8, "c_mga": None}),
    matching=Component(name="otam", params={"lambda_": 0.5}),
    masks=MASKS,
    masks_held_out=0.1,
    saliency=SALIENCY,
    classifier=CLASSIFIER,
    training=TRAINING,
    train_shot=1,
    validation=EPISODES.model_copy(update={"split": "val", "count": 1000}),
    test=EPISODES,
    test_features=FEATURES.model_copy(update={"cut": "layer3"}),
    seed=3,
)
MODEL = RUN.model
ALL = [
    Component(name="otam"),
    FRAMES,
    AUGMENTATION,
    BACKBONE,
    BACKBONE_TRAINING,
    FEATURES,
    MASKS,
    CLASSIFIER,
    SALIENCY,
    EPISODES,
    TRAINING,
    MODEL,
    RUN,
]
by_class = pytest.mark.parametrize("spec", ALL, ids=lambda spec: type(spec).__name__)


def others(annotation, value):
    """Values that a field could hold instead."""
    if isinstance(value, Spec):
        return [new for _, new in changes(value)]
    if typing.get_origin(annotation) is typing.Literal:
        return [choice for choice in typing.get_args(annotation) if choice != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, float):
        return [value * 1.0000001]
    if isinstance(value, str):
        return [value + "x"]
    if isinstance(value, tuple):
        return [(*value, 0.9), value[::-1], value[1:]]
    if isinstance(value, dict):
        return [value | {"new": None}, value | {"new": 0}]
    raise AssertionError(f"say what else {value!r} could be")


def changes(spec):
    """(field, the spec with another value there) for every field, at every depth."""
    for name, field in type(spec).model_fields.items():
        for value in others(field.annotation, getattr(spec, name)):
            yield name, spec.model_copy(update={name: value})


@pytest.mark.parametrize(
    ("spec", "digest"),
    [
        (Component(name="otam"), "9a744e4452fa"),
        (FRAMES, "4868d5d9234b"),
        (BACKBONE, "b10dae60c208"),
        (BACKBONE_TRAINING, "69806b98d0ea"),
        (FEATURES, "255853f6dcf5"),
        (EPISODES, "fda4e96517e3"),
        (MASKS, "ee476a78864e"),
        (CLASSIFIER, "fb54fa044aaa"),
        (SALIENCY, "7f525eb121d1"),
        (TRAINING, "a9a845c510c5"),
        (MODEL, "336ce072a9ae"),
        (RUN, "3a0e7c387cc8"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Spec) else "",
)
def test_golden_digests(spec, digest):
    """A change here makes every store and run of every user another one."""
    assert spec.digest == digest


def test_golden_json():
    assert EPISODES.json_text == (
        '{"card":"0123456789ab","count":10000,"dataset":"ssv2","group_disjoint":false,"max_seconds":5.0,"query":1,"seed":3,"shot":1,'
        '"split":"test","way":5}'
    )
    assert Component(name="ä", params={"b": None, "a": [1, 0.5]}).json_text == (
        '{"name":"\\u00e4","params":{"a":[1,0.5],"b":null}}'
    )


@by_class
def test_every_field_belongs_to_the_identity(spec):
    made = list(changes(spec))
    fixed = {
        name
        for name, field in type(spec).model_fields.items()
        if typing.get_origin(field.annotation) is typing.Literal
        and len(typing.get_args(field.annotation)) == 1
    }
    assert {name for name, _ in made} == set(type(spec).model_fields) - fixed
    assert len({spec.digest, *(new.digest for _, new in made)}) == len(made) + 1


@by_class
def test_json_and_back(spec):
    again = type(spec).parse(spec.json_text)
    assert again == spec
    assert again.digest == spec.digest


@by_class
def test_the_order_of_keys_does_not_matter(spec):
    def backwards(value):
        return (
            {key: backwards(value[key]) for key in reversed(value)}
            if isinstance(value, dict)
            else value
        )

    text = json.dumps(backwards(spec.model_dump(mode="json")))
    assert text != spec.json_text
    assert type(spec).parse(text).digest == spec.digest


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        min_size=2,
        max_size=6,
    ).flatmap(lambda params: st.tuples(st.just(params), st.permutations(list(params.items()))))
)
def test_the_order_of_parameters_does_not_matter(drawn):
    params, shuffled = drawn
    spec = Component(name="x", params=params)
    assert Component(name="x", params=dict(shuffled)).digest == spec.digest
    assert Component.parse(spec.json_text) == spec


def test_a_spec_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        FRAMES.count = 9


def test_keys_and_run_id():
    assert FRAMES.key == f"ssv2.8x256.{FRAMES.digest}"
    assert FEATURES.key == f"ssv2.resnet50.layer4.{FEATURES.digest}"
    assert FEATURES.dataset == "ssv2"
    assert BACKBONE_TRAINING.key == f"demo_cnn.ssv2.{BACKBONE_TRAINING.digest}"
    assert EPISODES.key == f"ssv2.test.5way1shot.{EPISODES.digest}"
    assert RUN.run_id == f"ssv2.resnet50.dmgal.otam.1shot.{RUN.digest[:8]}"
    assert len(FRAMES.digest) == 12
    five = RUN.model_copy(update={"test": EPISODES.model_copy(update={"shot": 5})})
    assert five.run_id.startswith("ssv2.resnet50.dmgal.otam.5shot.")
    assert five.run_id[-8:] != RUN.run_id[-8:]
    assert MASKS.key == f"ssv2.seem.{MASKS.digest}"
    assert (
        CLASSIFIER.key == f"ssv2.resnet50.{CLASSIFIER.digest}"
        and SALIENCY.key == f"ssv2.resnet50.{SALIENCY.digest}"
    )
    assert SALIENCY.features == FEATURES and SALIENCY.dataset == "ssv2"


def test_a_model_is_what_its_tests_have_in_common():
    assert MODEL.model_id == f"ssv2.resnet50.dmgal.otam.1shot.{MODEL.digest[:8]}"
    assert set(RunSpec.model_fields) - set(ModelSpec.model_fields) == {
        "test",
        "test_features",
        "test_inputs",
    }
    five = RUN.model_copy(update={"test": EPISODES.model_copy(update={"way": 10, "shot": 5})})
    assert five.model == MODEL and five.digest != RUN.digest
    other = FEATURES.model_copy(update={"frames": FRAMES.model_copy(update={"dataset": "hmdb51"})})
    elsewhere = RUN.model_copy(update={"test_features": other})
    assert elsewhere.model == MODEL and elsewhere.tested_on == other
    assert elsewhere.run_id.startswith("hmdb51.resnet50.dmgal.otam.1shot.")
    here = RUN.model_copy(update={"test_features": None})
    assert here.tested_on == FEATURES and here.run_id.startswith("ssv2.")
    assert RUN.model_copy(update={"train_shot": 5}).model != MODEL


@pytest.mark.parametrize(
    ("spec", "text", "line"),
    [
        (FrameSpec, "{", "--spec is no FrameSpec: the whole text: Invalid JSON"),
        (FrameSpec, "[]", "--spec is no FrameSpec: the whole text: "),
        (Component, '{"params": {}}', "--spec is no Component: name: Field required"),
        (
            Component,
            '{"name": "x", "parms": {}}',
            "--spec is no Component: parms: Extra inputs are not permitted",
        ),
        (Component, '{"name": 3}', "--spec is no Component: name: Input should be a valid string"),
        (Component, '{"name": "x", "params": []}', "--spec is no Component: params: "),
        (
            FrameSpec,
            FRAMES.json_text.replace("segment_centre", "middle"),
            "--spec is no FrameSpec: policy: ",
        ),
        (
            FrameSpec,
            FRAMES.json_text.replace('"count":8', '"count":8.5'),
            "--spec is no FrameSpec: count: ",
        ),
        (FrameSpec, FEATURES.json_text, "--spec is no FrameSpec: "),
        (
            FeatureSpec,
            FEATURES.json_text.replace('"views":2', '"views":"x"'),
            "--spec is no FeatureSpec: frames.views: ",
        ),
    ],
)
def test_parse_errors_name_the_field(spec, text, line):
    with pytest.raises(FsarError) as error:
        spec.parse(text)
    assert str(error.value).startswith(line)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("episodes", 0),
        ("batch", 0),
        ("accumulate", 0),
        ("query", 0),
        ("lr", 0),
        ("lr", float("inf")),
        ("lr", float("nan")),
        ("weight_decay", -0.1),
        ("warmup", -1),
        ("clip_norm", 0),
        ("validations", 0),
        ("optimizer", "lion"),
        ("schedule", "linear"),
    ],
)
def test_impossible_trainings_are_refused(field, value):
    with pytest.raises(ValidationError) as error:
        TrainingSpec.model_validate(TRAINING.model_dump() | {field: value})
    assert [entry["loc"] for entry in error.value.errors()] == [(field,)]


@pytest.mark.parametrize(
    "smallest",
    [
        {"episodes": 1, "batch": 1, "accumulate": 1},
        {"query": 1},
        {"weight_decay": 0},
        {"warmup": 0},
        {"validations": 1},
        {"lr": 1e-12},
        {"warmup_lr": 1e-12},
        {"clip_norm": 1e-12},
    ],
    ids=str,
)
def test_the_smallest_possible_trainings_are_accepted(smallest):
    found = TrainingSpec.model_validate(TRAINING.model_dump() | smallest)
    assert {name: getattr(found, name) for name in smallest} == smallest


@pytest.mark.parametrize("field", ["warmup_lr", "clip_norm", "lr"])
def test_rates_and_norms_are_above_zero(field):
    for value in (0, -1e-12):
        with pytest.raises(ValidationError, match="greater than 0"):
            TrainingSpec.model_validate(TRAINING.model_dump() | {field: value})


@pytest.mark.parametrize(
    ("expected", "found", "line"),
    [
        ({}, {}, None),
        ({"a": 1, "b": {"c": 2}}, {"b": {"c": 2}, "a": 1}, None),
        ({"a": 1}, {"a": 2}, "a: expected 1, found 2"),
        ({"b": {"c": {"d": 1}}}, {"b": {"c": {"d": "1"}}}, "b.c.d: expected 1, found '1'"),
        ({"b": 1, "a": 1}, {"b": 2, "a": 2}, "a: expected 1, found 2"),
        ({"a": {"x": 1}, "b": 1}, {"a": {"x": 1}, "b": 2}, "b: expected 1, found 2"),
        ({"a": 1}, {}, "a: expected 1, found 'absent'"),
        ({}, {"a": {"b": 1}}, "a: expected 'absent', found {'b': 1}"),
        ({"a": {"b": 1}}, {"a": None}, "a: expected {'b': 1}, found None"),
        ({"a": [1, 2]}, {"a": [2, 1]}, "a: expected [1, 2], found [2, 1]"),
    ],
)
def test_difference(expected, found, line):
    assert difference(expected, found) == line


def test_difference_names_the_field_of_a_store():
    smaller = FEATURES.model_copy(update={"frames": FRAMES.model_copy(update={"size": 72})})
    found = difference(FEATURES.model_dump(mode="json"), smaller.model_dump(mode="json"))
    assert found == "frames.size: expected 256, found 72"


def test_training_views():
    one = ViewPolicy(crop="random", flip=0.5)
    same, other = AugmentationSpec(support=one, query=one), AUGMENTATION

    def views(count, augmentation, cut="layer4"):
        frames = FRAMES.model_copy(update={"views": count})
        spec = FEATURES.model_copy(
            update={"frames": frames, "augmentation": augmentation, "cut": cut}
        )
        return spec.training_views()

    assert views(1, None) == ((0,), (0,)) and views(3, None) == ((0, 1, 2), (0, 1, 2))
    assert views(4, same) == ((1, 2, 3), (1, 2, 3))
    assert views(6, other) == ((1, 3, 5), (2, 4))
    # at the cut `frames` every stored view is augmented anew, the first one too
    assert views(1, other, "frames") == ((0,), (0,)) and views(2, other, "frames") == (
        (0, 1),
        (0, 1),
    )


def test_a_data_set_without_flips():
    kept = AUGMENTATION.without_flip()
    assert (kept.support.flip, kept.query.flip) == (0, 0)
    assert kept.query.jitter == AUGMENTATION.query.jitter and kept.support.crop == "centre"
