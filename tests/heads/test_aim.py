"""AIM against its block written out, its number of parameters, and its start at the frozen transformer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fsar_core.errors import FsarError
from fsar_core.heads.aim import AIM
from fsar_core.layers.vision_transformer import Block, ClassToken
from tests.heads import adapting
from tests.oracles import adapters as oracle
from tests.oracles.dmgal import part


def test_parameters_of_vit_b16():
    with torch.device("meta"):
        tail = nn.Sequential(*(Block(768, 12) for _ in range(12)), ClassToken(768)).requires_grad_(
            False
        )
        head = AIM(tail)
    assert adapting.trained(head) == 12 * 3 * (2 * 768 * 192 + 192 + 768) + 8 * 768 == 10_657_536


def test_it_starts_as_the_frozen_transformer():
    adapting.assert_starts_as_the_frozen_transformer(adapting.head("aim", frames=adapting.FRAMES))


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_head_is_the_block_written_out(scale):
    head = adapting.head("aim", frames=adapting.FRAMES, scale=scale)
    adapting.shaken(head.adapters)
    head.frame_embedding.data.normal_()
    features = adapting.episode(shot=2)

    def through(video: np.ndarray) -> np.ndarray:
        video = video + head.frame_embedding.detach().numpy()
        for i in range(2):
            block, adapters = (
                part(adapting.arrays(head.tail), str(i)),
                adapting.arrays(head.adapters[i]),
            )
            video = oracle.aim_block(video, block, adapters, adapting.HEADS, scale)
        return video

    support, query = (adapting.videos_of(x) for x in features)
    expected = np.array([[through(video) for video in shots] for shots in support])
    adapting.assert_equals(head, features, expected, np.array([through(video) for video in query]))


def test_at_the_start_the_last_projections_and_the_embedding_learn_and_then_the_rest():
    head = adapting.head("aim", frames=adapting.FRAMES)
    learning = {
        name
        for name, grad in adapting.gradients(head, adapting.episode()).items()
        if grad.count_nonzero()
    }
    adapters = ("temporal", "spatial", "joint")
    ends = {
        f"adapters.{i}.{name}.up.{x}"
        for i in range(2)
        for name in adapters
        for x in ("weight", "bias")
    }
    assert learning == ends | {"frame_embedding"}
    adapting.shaken(head.adapters)
    assert all(
        grad.count_nonzero() for grad in adapting.gradients(head, adapting.episode()).values()
    )


def test_the_order_of_frames_matters_by_the_embedding_alone():
    """Attention over the frames is blind to their order."""
    head = adapting.head("aim", frames=adapting.FRAMES)
    adapting.shaken(head.adapters)
    support, query = adapting.episode(way=3, shot=2, query=4)

    def difference() -> float:
        return (
            (head(support, query).query - head(support, query.flip(2)).query.flip(2))
            .abs()
            .max()
            .item()
        )

    assert difference() < 1e-12
    head.frame_embedding.data.normal_()
    assert difference() > 1e-3


def test_frames_see_each_other():
    head = adapting.head("aim", frames=adapting.FRAMES)
    adapting.shaken(head.adapters)
    support, query = adapting.episode()
    changed = query.clone()
    changed[:, :, 0] *= -1
    moved = (head(support, changed).query - head(support, query).query).abs().amax((0, 1, 3, 4, 5))
    assert (moved > 1e-6).all()


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"r": 3}, "aim: r=3 is not valid; valid: 1, 2, 4, 8"),
        ({"frames": 0}, "aim: frames=0 is not valid; valid: whole numbers from 1"),
    ],
)
def test_a_bad_value_names_the_valid_ones(settings, words):
    with pytest.raises(FsarError) as caught:
        AIM(adapting.tail(), **settings)
    assert str(caught.value) == words


def test_another_number_of_frames_is_refused():
    with pytest.raises(FsarError) as caught:
        adapting.head("aim", frames=8)(*adapting.episode())
    assert str(caught.value) == "aim: 3 frames, the head was built for 8; use frames=3"
