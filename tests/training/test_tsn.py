import numpy as np
import pytest
import torch

from fsar_core.backbones.demo_cnn import DemoCNN
from fsar_core.specs import BackboneTrainingSpec, Component
from fsar_core.training.tsn import _draw, train_backbone
from tests.builders import toy_frame_spec

CPU = torch.device("cpu")


def spec_of(**changes) -> BackboneTrainingSpec:
    usual = dict(
        frames=toy_frame_spec(count=4, size=20),
        backbone=Component(name="demo_cnn", params={"dim": 8}),
        epochs=6,
        batch=6,
        lr=0.02,
        weight_decay=0.0005,
        crop=16,
        seed=0,
        version=1,
    )
    return BackboneTrainingSpec(**usual | changes)


@pytest.fixture(scope="module")
def clips() -> tuple[np.ndarray, np.ndarray]:
    """30 clips of 4 frames, noise with one bright colour: its number is the class."""
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(3), 10)
    frames = random.integers(0, 120, (30, 4, 20, 20, 3))
    for clip, label in enumerate(labels):
        frames[clip, ..., label] += 100
    return frames.astype(np.uint8), labels.astype(np.int64)


def test_a_separable_set_is_learnt(clips):
    state, history = train_backbone(spec_of(), *clips, CPU)
    assert [row["epoch"] for row in history] == list(range(6))
    assert history[-1]["accuracy"] == 1.0 and history[-1]["loss"] < 0.3 * history[0]["loss"]
    assert history[0]["loss"] == pytest.approx(np.log(3), abs=0.5)
    backbone = DemoCNN(dim=8).eval()
    backbone.load_state_dict(state)
    with torch.inference_mode():
        images = torch.from_numpy(clips[0][:, 0].transpose(0, 3, 1, 2))
        features = backbone.to_cut(images, "layer4").mean((-2, -1))
    centres = torch.stack([features[clips[1] == label].mean(0) for label in range(3)])
    nearest = torch.cdist(features, centres).argmin(1)
    assert (nearest.numpy() == clips[1]).mean() > 0.9


def test_the_state_is_that_of_the_backbone_without_the_classifier(clips):
    state, _ = train_backbone(spec_of(epochs=1), *clips, CPU)
    assert state.keys() == DemoCNN(dim=8).state_dict().keys()
    # 5 steps; what was only asked for its shape left no trace in the statistics.
    assert state["stages.layer4.1.num_batches_tracked"].item() == 5


def test_training_is_a_function_of_its_spec(clips):
    spec = spec_of(epochs=2)
    first, first_history = train_backbone(spec, *clips, CPU)
    torch.manual_seed(77)
    np.random.seed(77)
    second, second_history = train_backbone(spec, *clips, CPU)
    assert (
        all(torch.equal(first[key], second[key]) for key in first)
        and first_history == second_history
    )
    other, _ = train_backbone(spec_of(epochs=2, seed=1), *clips, CPU)
    assert not torch.equal(first["stages.layer1.0.weight"], other["stages.layer1.0.weight"])


def coded(clips: int, frames: int, side: int) -> np.ndarray:
    """Every pixel says which clip, frame and place it is: channel 0 clip and frame, 1 row, 2 column."""
    out = np.zeros((clips, frames, side, side, 3), np.uint8)
    out[..., 0] = (16 * np.arange(clips)[:, None] + np.arange(frames))[..., None, None]
    out[..., 1] = np.arange(side)[:, None]
    out[..., 2] = np.arange(side)
    return out


def test_draw_takes_half_of_the_frames_in_order_and_one_crop_a_clip():
    seen_frames, seen_corners = set(), set()
    random = np.random.default_rng(0)
    for _ in range(60):
        drawn = _draw(coded(3, 8, 10), 8, random).reshape(3, 4, 3, 8, 8)
        for clip in range(3):
            code, rows, columns = drawn[clip].transpose(1, 0, 2, 3)
            assert (code == code[:, :1, :1]).all()
            numbers = code[:, 0, 0].astype(int) - 16 * clip
            assert (np.diff(numbers) > 0).all() and set(numbers.tolist()) <= set(range(8))
            top, left = int(rows[0, 0, 0]), int(columns[0, 0, 0])
            assert (rows == top + np.arange(8)[:, None]).all() and (
                columns == left + np.arange(8)
            ).all()
            seen_frames.update(numbers.tolist())
            seen_corners.add((top, left))
    assert seen_frames == set(range(8)) and seen_corners == {
        (y, x) for y in range(3) for x in range(3)
    }


def test_draw_of_a_single_frame_and_a_full_crop():
    drawn = _draw(coded(2, 1, 6), 6, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn, coded(2, 1, 6)[:, 0].transpose(0, 3, 1, 2))
