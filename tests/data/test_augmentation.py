"""Augmentation: one draw a clip, done alike to all frames, each operation by hand."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fsar_core.data.augmentation import Draw, apply, cut_out, draw, live_draws
from fsar_core.errors import FsarError
from fsar_core.specs import AugmentationSpec, Jitter, ViewPolicy

JITTER = Jitter(brightness=0.5, contrast=0.4, saturation=0.3, hue=0.25, gray=0.3)


def clip(frames: int = 3, size: int = 6) -> np.ndarray:
    """uint8 [frames size size 3]: row, column and frame number are the colours."""
    out = np.zeros((frames, size, size, 3), np.uint8)
    out[..., 0] = 10 * np.arange(size)[:, None]
    out[..., 1] = 10 * np.arange(size)
    out[..., 2] = 50 + np.arange(frames)[:, None, None]
    return out


def test_without_a_policy_the_centre_is_cut():
    found = apply(clip(), draw(None, 6, 2), 2)
    assert found.shape == (3, 3, 2, 2) and found.dtype == torch.uint8
    assert found[1, 0].tolist() == [[20, 20], [30, 30]] and found[1, 1].tolist() == [
        [20, 30],
        [20, 30],
    ]
    assert found[:, 2, 0, 0].tolist() == [50, 51, 52]


def test_corner_and_mirror_by_hand():
    found = apply(clip(), Draw(top=3, left=1, flip=True), 2)
    assert found[0, 0].tolist() == [[30, 30], [40, 40]] and found[2, 1].tolist() == [
        [20, 10],
        [20, 10],
    ]


def test_masks_follow_their_frames():
    frames, drawn = torch.from_numpy(clip()).permute(0, 3, 1, 2), Draw(top=1, left=2, flip=True)
    mask = frames[:, 1] >= 30
    assert torch.equal(cut_out(mask, drawn, 3), cut_out(frames, drawn, 3)[:, 1] >= 30)


@pytest.mark.parametrize(
    ("operation", "value", "by_hand"),
    [
        ("brightness", 0.5, lambda p: p * 0.5),
        ("brightness", 1.5, lambda p: np.minimum(p * 1.5, 255)),
        ("saturation", 0.0, lambda p: np.repeat(p @ [[0.2989], [0.587], [0.114]], 3, axis=-1)),
        ("gray", 1.0, lambda p: np.repeat(p @ [[0.2989], [0.587], [0.114]], 3, axis=-1)),
        # each picture is drawn towards its own mean grey
        (
            "contrast",
            0.5,
            lambda p: (
                0.5 * p
                + 0.5 * np.floor(p @ [0.2989, 0.587, 0.114]).mean((1, 2))[:, None, None, None]
            ),
        ),
        ("hue", 0.25, lambda p: _turned(p, 0.25)),
        ("hue", -0.1, lambda p: _turned(p, -0.1)),
    ],
)
def test_each_colour_operation_by_hand(operation, value, by_hand):
    pixels = clip(2, 4) * 2
    found = apply(pixels, Draw(0, 0, colour=((operation, value),)), 4).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(found, by_hand(pixels.astype(float)), atol=2.01)


def _turned(pixels: np.ndarray, turn: float) -> np.ndarray:
    def one(rgb):
        h, s, v = colorsys.rgb_to_hsv(*(rgb / 255))
        return 255 * np.array(colorsys.hsv_to_rgb((h + turn) % 1, s, v))

    return np.apply_along_axis(one, -1, pixels)


def test_operations_are_done_in_the_order_drawn():
    bright = (("brightness", 1.5), ("contrast", 0.5))
    first, second = (apply(clip(2, 6) * 3, Draw(0, 0, colour=c), 6) for c in (bright, bright[::-1]))
    assert not torch.equal(first, second)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    size=st.integers(8, 40),
    crop=st.integers(1, 8),
    flip=st.floats(0, 1),
)
def test_draws_stay_inside(seed, size, crop, flip):
    drawn = draw(
        ViewPolicy(crop="random", flip=flip, jitter=JITTER), size, crop, np.random.default_rng(seed)
    )
    assert 0 <= drawn.top <= size - crop and 0 <= drawn.left <= size - crop
    names = [name for name, _ in drawn.colour]
    assert names == ["gray"] or sorted(names) == ["brightness", "contrast", "hue", "saturation"]
    spans = {
        "brightness": (0.5, 1.5),
        "contrast": (0.6, 1.4),
        "saturation": (0.7, 1.3),
        "hue": (-0.25, 0.25),
    }
    for name, value in drawn.colour:
        low, high = spans.get(name, (1, 1))
        assert low <= value <= high
    assert drawn == draw(
        ViewPolicy(crop="random", flip=flip, jitter=JITTER), size, crop, np.random.default_rng(seed)
    )


def test_shares_of_a_thousand_draws():
    random = np.random.default_rng(0)
    policy = ViewPolicy(crop="random", flip=0.5, jitter=JITTER)
    draws = [draw(policy, 10, 8, random) for _ in range(1000)]
    assert {(d.top, d.left) for d in draws} == {(t, left) for t in range(3) for left in range(3)}
    assert 0.45 < np.mean([d.flip for d in draws]) < 0.55
    assert 0.26 < np.mean([d.colour == (("gray", 1.0),) for d in draws]) < 0.34
    firsts = {d.colour[0][0] for d in draws}
    assert firsts == {"gray", "brightness", "contrast", "saturation", "hue"}


def test_a_forbidden_flip_never_happens_and_a_sure_one_always():
    random = np.random.default_rng(0)
    for flip in (0.0, 1.0):
        policy = ViewPolicy(crop="centre", flip=flip)
        assert {draw(policy, 9, 5, random) for _ in range(200)} == {Draw(2, 2, bool(flip))}


def test_support_and_query_have_draws_of_their_own():
    policy = ViewPolicy(crop="random", flip=0.5, jitter=JITTER)
    both = AugmentationSpec(support=policy, query=policy)
    support, again, query = (
        live_draws(both, side, 7, 20, 100, 80) for side in ("support", "support", "query")
    )
    assert support == again and not set(support) & set(query)
    # The clips of a side differ too, and another episode has other draws.
    assert len(set(support)) == 20 and not set(support) & set(
        live_draws(both, "support", 8, 20, 100, 80)
    )
    # Each side follows its own policy.
    apart = AugmentationSpec(support=policy, query=ViewPolicy(crop="centre", flip=0.0))
    assert live_draws(apart, "support", 7, 20, 100, 80) == support
    assert live_draws(apart, "query", 7, 20, 100, 80) == [Draw(10, 10)] * 20


def test_a_crop_that_does_not_fit_is_refused():
    with pytest.raises(FsarError, match="cannot crop 7 pixels from frames of 6 x 6"):
        draw(None, 6, 7)
