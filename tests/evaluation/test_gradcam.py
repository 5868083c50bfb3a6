"""Grad-CAM against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fsar_core.episodes.loader import FrameBank
from fsar_core.evaluation import gradcam
from fsar_core.specs import Component
from tests.builders import toy_features, toy_index
from tests.training.toys import MACHINE, SHAPE, ArrayReader, Toy, model_of, run_spec

GRID = SHAPE | dict(height=2, width=3)


def taken(head, matching, examples):
    """(toy, its model, what is taken out of it); the frames show their clip's number."""
    spec = run_spec(matching).model_copy(update={"head": head})
    toy, model = Toy(spec, toy_features(toy_index(), **GRID)), model_of(spec).eval()
    frames = np.zeros((len(toy.values), 1, GRID["frames"], 6, 6, 3), np.uint8)
    frames[..., 0] = np.arange(len(toy.values))[:, None, None, None, None]
    pictures = FrameBank(ArrayReader(frames), np.arange(len(frames)), 1.0, crop=4)
    return (
        toy,
        model,
        gradcam.class_activations(model, toy.bank, pictures, toy.test, examples, MACHINE),
    )


HEADS = [
    (Component(name="identity"), "bimhm"),
    (Component(name="i2st", params={"heads": 2, "r": 2, "positions": "learned"}), "global_local"),
    # Its supports look at all queries of the episode.
    (Component(name="dmgal", params={"r1": 2, "r2": 2}), "otam"),
]


@pytest.mark.parametrize(("head", "matching"), HEADS, ids=lambda part: getattr(part, "name", part))
def test_on_a_model_by_finite_differences(head, matching):
    toy, model, found = taken(head, matching, [(2, 1), (0, 0)])
    assert {name.rsplit(".", 1)[0] for name in found} == {"2.1", "0.0"}
    drawn = toy.test[2]
    batch, model = toy.bank.batch([drawn]), model.double()
    support, query = batch.support.double(), batch.query.double()
    with torch.no_grad():
        logits, _ = model.compare(support, query)
        # The mean gradient over a grid is that of shifting a whole dim of a frame, divided by the number of places.
        weights = torch.empty(GRID["frames"], GRID["dim"], dtype=torch.float64)
        for frame, dim in np.ndindex(weights.shape):
            sides = []
            for step in (1e-5, -1e-5):
                moved = query.clone()
                moved[0, 1, frame, dim] += step
                sides.append(model.compare(support, moved)[0][0, 1, drawn.labels[1]])
            weights[frame, dim] = (sides[0] - sides[1]) / 2e-5 / 6
    expected = (weights[..., None, None] * query[0, 1]).sum(1).relu()
    np.testing.assert_allclose(found["2.1.cam"], expected, rtol=1e-3, atol=1e-5)
    assert found["2.1.cam"].shape == (4, 2, 3) and found["2.1.cam"].max() > 0
    names = [toy.test.class_names[class_id] for class_id in drawn.classes]
    assert found["2.1.query_class"] == names[drawn.labels[1]]
    assert found["2.1.predicted_class"] == names[int(logits[0, 1].argmax())]
    frames = found["2.1.query_frames"]
    assert frames.shape == (4, 3, 4, 4) and (frames[:, 0] == drawn.query[1]).all()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_evidence_is_the_map_of_every_episodes_first_query_summed_over_its_grid():
    head = Component(name="sgtm", params={"width": 4, "heads": 2, "masked": 2})
    toy, model, found = taken(head, "otam", [(0, 0), (1, 0), (2, 0)])
    evidence = gradcam.evidence(model, toy.bank, toy.test, 3, MACHINE)
    assert set(evidence) == {"evidence", "evidence_rows"} and evidence["evidence"].shape == (3, 4)
    for number in range(3):
        np.testing.assert_allclose(
            evidence["evidence"][number], found[f"{number}.0.cam"].sum((-2, -1)), rtol=1e-5
        )
        assert (
            evidence["evidence_rows"][number]
            == found[f"{number}.0.query_row"]
            == toy.test[number].query[0]
        )
    assert evidence["evidence"].max() > 0
    assert len(gradcam.evidence(model, toy.bank, toy.test, 1000, MACHINE)["evidence"]) == 20
