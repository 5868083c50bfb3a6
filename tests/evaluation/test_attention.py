"""What is taken out of a model is what the model does on the same episodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fsar_core.episodes.loader import FrameBank
from fsar_core.evaluation import attention, embeddings
from fsar_core.models.episode_model import build_model
from fsar_core.specs import Component
from tests.builders import toy_features, toy_index
from tests.training.toys import MACHINE, SHAPE, ArrayReader, Toy, model_of, run_spec

GRID = SHAPE | dict(height=3, width=3)


@pytest.fixture
def toy():
    spec = run_spec("bimhm").model_copy(
        update={"head": Component(name="dmgal", params={"r1": 2, "r2": 2})}
    )
    toy, model = Toy(spec, toy_features(toy_index(), **GRID)), model_of(spec).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(
                0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
            )
    return toy, model


def pictures_of(toy):
    """Frames that show their clip's number and the frame's, 8 pixels with a border of 2 around the centre of 4."""
    clips = len(toy.values)
    frames = np.zeros((clips, 1, GRID["frames"], 8, 8, 3), np.uint8)
    frames[..., 2:6, 2:6, 0] = np.arange(clips)[:, None, None, None, None]
    frames[..., 2:6, 2:6, 1] = np.arange(GRID["frames"])[:, None, None]
    return FrameBank(ArrayReader(frames), np.arange(clips), 1.0, crop=4)


def test_attention_of_an_example_is_the_heads_own(toy):
    toy, model = toy
    found = attention.attention(
        model, toy.bank, pictures_of(toy), toy.test, [(2, 1), (0, 0)], 2, MACHINE
    )
    assert {name.rsplit(".", 1)[0] for name in found} == {"2.1", "0.0"}
    drawn = toy.test[2]
    features = toy.bank.batch([drawn])
    with torch.no_grad():
        expected = model.head.attention(*model.before_head(features), grid=2)
        logits, _ = model(features)
    for name in ("self_query", "association_query", "cross"):
        np.testing.assert_array_equal(found[f"2.1.{name}"], expected[name][0, 1].numpy())
    assert found["2.1.lambda_self"] == expected["lambda_self"].numpy()
    assert found["2.1.cross"].shape == (4, 9, 1, 3, 1, 9) and found[
        "2.1.association_query"
    ].shape == (3, 4, 4)
    names = [toy.test.class_names[class_id] for class_id in drawn.classes]
    assert found["2.1.support_classes"].tolist() == names
    assert found["2.1.query_class"] == names[drawn.labels[1]]
    assert found["2.1.predicted_class"] == names[int(logits[0, 1].argmax())]
    frames = found["2.1.query_frames"]
    assert frames.shape == (4, 3, 4, 4) and (frames[:, 0] == drawn.query[1]).all()
    assert (frames[:, 1] == np.arange(4)[:, None, None]).all()
    supports = found["2.1.support_frames"]
    assert (supports[:, :, :, 0] == drawn.support[..., None, None, None]).all()


def test_attention_on_the_right_class_by_loops(toy):
    toy, model = toy
    shares = attention.attention_on_the_right_class(model, toy.bank, toy.test, 7, MACHINE)
    assert shares.shape == (7,)
    for number in (0, 6):
        drawn = toy.test[number]
        features = toy.bank.batch([drawn])
        with torch.no_grad():
            cross = model.head.attention(*model.before_head(features))["cross"][0]
        total = sum(
            float(cross[query, frame, patch, 0, drawn.labels[query]].sum())
            for query in range(3)
            for frame in range(4)
            for patch in range(9)
        )
        assert shares[number] == pytest.approx(total / (3 * 4 * 9), abs=1e-6)
    assert shares.std() > 0


def test_a_head_without_cross_attention_has_no_share():
    spec = run_spec("bimhm").model_copy(
        update={"head": Component(name="dmgal", params={"r1": 2, "c_mga": None})}
    )
    toy = Toy(spec, toy_features(toy_index(), **GRID))
    assert attention.attention_on_the_right_class(
        model_of(spec), toy.bank, toy.test, 5, MACHINE
    ).shape == (0,)


@pytest.mark.parametrize("matching", ["otam", "prototype"])
def test_embeddings_are_what_the_metric_is_given(matching):
    spec = run_spec(matching)
    toy = Toy(spec, toy_features(toy_index(), **GRID))
    found = embeddings.embeddings(model_of(spec), toy.bank, toy.test, MACHINE)
    assert found["support"].shape == (20, 3, 32) and found["query"].shape == (20, 3, 32)
    pooled = toy.values[:, 0].astype(np.float32).mean((-2, -1)).reshape(len(toy.values), -1)
    drawn = toy.test[5]
    np.testing.assert_allclose(found["support"][5], pooled[drawn.support[:, 0]], atol=1e-6)
    np.testing.assert_allclose(found["query"][5], pooled[drawn.query], atol=1e-6)
    assert found["support_labels"][5].tolist() == drawn.classes.tolist()
    assert found["query_labels"][5].tolist() == drawn.classes[drawn.labels].tolist()
    assert found["class_names"].tolist() == list(toy.test.class_names)


def test_embeddings_of_several_shots_lie_class_by_class():
    spec = run_spec("otam")
    spec = spec.model_copy(update={"test": spec.test.model_copy(update={"shot": 2})})
    toy = Toy(spec, toy_features(toy_index(), **GRID))
    found = embeddings.embeddings(model_of(spec), toy.bank, toy.test, MACHINE)
    pooled = toy.values[:, 0].astype(np.float32).mean((-2, -1)).reshape(len(toy.values), -1)
    drawn = toy.test[5]
    np.testing.assert_allclose(found["support"][5], pooled[drawn.support.reshape(-1)], atol=1e-6)
    assert found["support_labels"][5].tolist() == [
        class_id for class_id in drawn.classes for _ in range(2)
    ]


def test_embeddings_for_a_spatial_metric_keep_the_patches():
    spec = run_spec(Component(name="sca", params={"out_dim": 8}))
    toy = Toy(spec, toy_features(toy_index(), **GRID))
    assert embeddings.embeddings(model_of(spec), toy.bank, toy.test, MACHINE)["query"].shape == (
        20,
        3,
        4 * 8 * 9,
    )


@pytest.mark.parametrize("frames", [2, 4, 6])
def test_embeddings_of_a_head_with_a_global_token(frames):
    """The token lies before the frames, and learned positions take the run's number of frames."""
    head = Component(name="i2st", params={"heads": 2, "r": 2, "positions": "learned"})
    spec = run_spec("global_local").model_copy(update={"head": head})
    toy = Toy(spec, toy_features(toy_index(), **GRID | dict(frames=frames)))
    torch.manual_seed(0)
    model = build_model(spec, torch.nn.Identity(), SHAPE["dim"], frames).eval()
    assert model.head.fusion.positions.shape == (1 + frames, SHAPE["dim"])
    found = embeddings.embeddings(model, toy.bank, toy.test, MACHINE)
    assert found["support"].shape == found["query"].shape == (20, 3, (1 + frames) * SHAPE["dim"])
    with torch.no_grad():
        features = toy.bank.batch([toy.test[5]])
        out = model.head(*model.before_head(features))
        logits, _ = model(features)
    np.testing.assert_allclose(found["query"][5], out.query[0].flatten(1), atol=1e-6)
    # What is embedded is what the logits are made of.
    support, query = (
        torch.from_numpy(found[side][5]).unflatten(1, (1 + frames, -1))
        for side in ("support", "query")
    )
    torch.testing.assert_close(model.matching(support[None, :, None], query[None]), logits)
