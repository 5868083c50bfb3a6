"""IPM: features plus instance embeddings, and the mask loss that shapes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fsar_core.components.registry import build
from fsar_core.errors import FsarError
from fsar_core.heads.ipm import IPM
from tests.heads.test_i2st import arrays, count, episode, extras, random_state
from tests.oracles import i2st as oracle


def small(**settings) -> IPM:
    return random_state(IPM(**dict(dim=4, r=2) | settings)).double()


def test_parameters_are_those_of_encoder_and_decoder():
    with torch.device("meta"):
        assert count(IPM(2048)) == 5_835_264 + 168_641


@pytest.mark.parametrize("grid", [(2, 3), (4, 4)])
def test_oracle(grid):
    head, (support, query) = small().eval(), episode(shot=2, grid=grid)
    out = head(support, query)
    weights = oracle.part(arrays(head), "encoder")
    for features, got in ((support, out.support), (query, out.query)):
        assert got.shape == features.shape
        for frame, found in zip(features.flatten(0, -4), got.flatten(0, -4).detach()):
            np.testing.assert_allclose(
                found - frame, oracle.encoder(frame.numpy(), weights), atol=1e-10
            )


def test_mask_loss_of_both_sides_times_its_weight():
    features = episode(way=2, query=6)
    head, aux = small(mask_weight=0.3), extras(*features)
    parts, frames, masks = arrays(head), [], []
    for x, given in zip(features, (aux["support_masks"], aux["query_masks"])):
        frames += [
            oracle.encoder(f.numpy(), oracle.part(parts, "encoder")) for f in x.flatten(0, -4)
        ]
        masks += list(given.flatten(0, -3).numpy())
    losses = head(*features, **aux).losses
    assert set(losses) == {"mask"}
    expected = 0.3 * oracle.mask_loss(frames, masks, oracle.part(parts, "decoder"))
    assert losses["mask"].item() == pytest.approx(expected, rel=1e-5)


def test_the_decoder_runs_in_training_with_masks_only():
    calls, head, features = [], small(), episode()
    aux = extras(*features)
    head.decoder.register_forward_hook(lambda *_: calls.append(1))
    without = head(*features)
    assert without.losses == {} and head.eval()(*features, **aux).losses == {} and calls == []
    assert small(mask_weight=0)(*features, **aux).losses == {}
    out = head.train()(*features, **aux)
    assert calls == [1, 1] and torch.equal(out.query, without.query)
    assert (
        set(head(*features, query_masks=aux["query_masks"]).losses) == {"mask"} and len(calls) == 3
    )


def test_zero_embeddings_leave_the_features():
    head, features = small(), episode()
    for parameter in head.encoder.layers[4].parameters():
        parameter.data.zero_()
    out = head(*features)
    assert torch.equal(out.support, features[0]) and torch.equal(out.query, features[1])


def test_gradients_reach_every_parameter():
    torch.manual_seed(0)
    head, features = IPM(8, r=2), episode(dim=8, grid=(4, 4), dtype=torch.float32)
    out = head(*features, **extras(*features))
    (out.query.square().mean() + sum(out.losses.values())).backward()
    assert [n for n, p in head.named_parameters() if torch.count_nonzero(p.grad) == 0] == []


@pytest.mark.parametrize("metric", ["otam", "bimhm", "sca"])
def test_any_metric_follows(metric):
    """OTAM+IPM of Table 4, and one that compares grids."""
    features = episode(dim=8, dtype=torch.float32)
    out = IPM(8)(*features)
    module = build("matching", metric, **({"dim": 8} if metric == "sca" else {}))
    pair = (
        (out.support, out.query)
        if module.spatial
        else (out.support.mean((-2, -1)), out.query.mean((-2, -1)))
    )
    assert module(*pair).shape == (1, 2, 2)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"r": 3}, "r=3 is not valid; valid: 1, 2, 4, 8"),
        ({"dim": 0}, "dim=0 is not valid; valid: whole numbers from 1"),
        ({"mask_weight": -0.5}, "mask_weight=-0.5 is not valid; valid: numbers from 0"),
    ],
)
def test_a_bad_value_names_the_valid_ones(settings, words):
    with pytest.raises(FsarError) as caught:
        IPM(**{"dim": 8} | settings)
    assert str(caught.value) == f"ipm: {words}"


def test_other_features_than_it_was_built_for():
    support, query = episode(dim=8, dtype=torch.float32)
    with pytest.raises(
        FsarError, match=r"^ipm: query has dim 4, the head was built for 8; use dim=4$"
    ):
        IPM(8)(support, query[:, :, :, :4])
    with pytest.raises(FsarError, match=r"^ipm: masks must be \[1 2 3 mask_height mask_width\]"):
        IPM(8)(support, query, query_masks=torch.rand(1, 2, 1, 5, 5))
