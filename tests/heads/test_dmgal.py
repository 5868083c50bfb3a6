"""DMGAL against its equations, the paper's parameter counts, and what must hold whatever the weights."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import nn

from fsar_core.errors import FsarError
from fsar_core.heads.dmgal import (
    DMGAL,
    CrossMotionGuidedAttention,
    SelfMotionGuidedAttention,
    TemporalChannelMixer,
)
from fsar_core.layers.motion import BidirectionalMotion, motion_guided_attention
from fsar_core.layers.positions import sinusoid
from tests.heads.memory import LargestTensor
from tests.oracles import dmgal as oracle

VARIANTS = ("paper", "released")
END_FRAMES = ("zero", "valid")
SCOPES = ("frame_wise", "frame_all")
PHI3 = ("3x3", "3x1x1")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors of a few kilobytes: waiting for other threads would take longer than the sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_state(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and statistic away from its initial value, so that none can be forgotten unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.randn(value.shape, generator=generator) * 0.5 + 0.2)
            if name.endswith("running_var"):
                value.abs_().add_(0.5)
    return module


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def episode(
    batch=1, way=2, shot=1, query=2, frames=4, dim=4, grid=(3, 5), seed=1, dtype=torch.float64
):
    generator = torch.Generator().manual_seed(seed)
    support = torch.randn(batch, way, shot, frames, dim, *grid, generator=generator, dtype=dtype)
    return support, torch.randn(batch, query, frames, dim, *grid, generator=generator, dtype=dtype)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class TestParameters:
    """Table VII, and the parts of the 35.48 M of DMGAL-FT."""

    @pytest.mark.parametrize(
        "r2, expected", [(2, 22_055_938), (4, 6_056_450), (8, 1_792_258), (16, 594_050)]
    )
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_c_mga_is_table_vii(self, r2, expected, variant):
        with torch.device("meta"):
            assert count(CrossMotionGuidedAttention(2048, r2, variant=variant)) == expected

    @pytest.mark.parametrize("r2, millions", [(2, 22.04), (4, 6.04), (8, 1.78), (16, 0.58)])
    def test_c_mga_with_the_kernel_of_the_text_is_not(self, r2, millions):
        with torch.device("meta"):
            assert (
                round(count(CrossMotionGuidedAttention(2048, r2, phi3="3x1x1")) / 1e6, 2)
                == millions
            )

    def test_s_mga_and_mixer(self):
        with torch.device("meta"):
            assert count(SelfMotionGuidedAttention(2048, r1=8)) == 1_791_745
            assert count(TemporalChannelMixer(dim=2048, frames=8)) == 8_392_848

    def test_dmgal_is_their_sum(self):
        with torch.device("meta"):
            assert count(DMGAL(2048)) == 1_791_745 + 8_392_848 + 1_792_258
            assert count(DMGAL(2048, s_mga=False)) == 1_792_258
            assert count(DMGAL(2048, c_mga=None)) == 1_791_745 + 8_392_848
            assert count(DMGAL(2048, s_mga=False, c_mga=None)) == 0


class TestAgainstTheEquations:
    @pytest.mark.parametrize("variant", VARIANTS)
    @pytest.mark.parametrize("grid", [(3, 5), (1, 4)])
    def test_motion(self, variant, grid):
        module = random_state(BidirectionalMotion(4, 2, variant)).double().eval()
        video = episode(grid=grid)[1][0]
        got = module(video)
        for v, clip in enumerate(video):
            expected = oracle.motion(clip.numpy(), arrays(module), variant)
            for i, pair in enumerate(expected):
                for direction, maps in zip(("backward", "forward"), got):
                    wanted = (
                        np.zeros((grid[0] * grid[1], 2))
                        if pair[direction] is None
                        else pair[direction]
                    )
                    np.testing.assert_allclose(maps[v, i].detach(), wanted, atol=1e-12)
        assert torch.count_nonzero(got[0][:, -1]) == torch.count_nonzero(got[1][:, 0]) == 0

    @pytest.mark.parametrize("variant, end_frames, phi3", list(product(VARIANTS, END_FRAMES, PHI3)))
    def test_s_mga(self, variant, end_frames, phi3):
        module = (
            random_state(SelfMotionGuidedAttention(4, 2, variant, phi3, end_frames)).double().eval()
        )
        video = episode()[1][0]
        for clip, got in zip(video, module(video)):
            expected = oracle.self_motion_guided_attention(
                clip.numpy(), arrays(module), variant, end_frames
            )
            np.testing.assert_allclose(got.detach(), expected, atol=1e-12)

    def test_mixer(self):
        module = random_state(TemporalChannelMixer(4, frames=3)).double()
        support, _ = episode(batch=2, frames=3, grid=(2, 3))
        got = module(support)
        for at in np.ndindex(support.shape[:3]):
            expected = oracle.temporal_channel_mixer(support[at].numpy(), arrays(module))
            np.testing.assert_allclose(got[at].detach(), expected, atol=1e-12)

    @pytest.mark.parametrize(
        "variant, end_frames, scope", list(product(VARIANTS, END_FRAMES, SCOPES))
    )
    def test_c_mga(self, variant, end_frames, scope):
        phi3 = "3x3" if end_frames == "zero" else "3x1x1"
        module = (
            random_state(CrossMotionGuidedAttention(4, 2, scope, variant, phi3, end_frames))
            .double()
            .eval()
        )
        support, query = episode(way=2, shot=2, frames=3, grid=(2, 3))
        got_support, got_query = module(support, query)
        expected_support, expected_query = oracle.cross_motion_guided_attention(
            support[0].numpy(), query[0].numpy(), arrays(module), variant, end_frames, scope
        )
        np.testing.assert_allclose(got_support[0].detach(), expected_support, atol=1e-10)
        np.testing.assert_allclose(got_query[0].detach(), expected_query, atol=1e-10)

    @pytest.mark.parametrize("channels", [1, 5, 8])
    def test_positions(self, channels):
        got = sinusoid(7, channels, like=torch.zeros((), dtype=torch.float64))
        np.testing.assert_allclose(got, oracle.sinusoid(7, channels), atol=1e-12)
        assert (
            sinusoid(300, channels, like=torch.zeros((), dtype=torch.bfloat16)).dtype
            == torch.bfloat16
        )

    def test_dmgal_is_s_mga_then_mixer_then_c_mga(self):
        head = random_state(DMGAL(4, r1=2, r2=2, frames=4)).double().eval()
        support, query = episode()
        parts = {type(module): module for module in head.modules()}
        first, mixer = parts[SelfMotionGuidedAttention], parts[TemporalChannelMixer]
        expected = parts[CrossMotionGuidedAttention](mixer(first(support)), mixer(first(query)))
        got = head(support, query)
        torch.testing.assert_close((got.support, got.query), expected)
        assert got.losses == {}

    @pytest.mark.parametrize(
        "option", [("variant", VARIANTS), ("end_frames", END_FRAMES), ("phi3", PHI3)]
    )
    @pytest.mark.parametrize("parts", [{"s_mga": False}, {"c_mga": None}])
    def test_every_option_reaches_both_modules(self, option, parts):
        """With equal weights, the two values of an option give different results."""
        name, values = option
        outs = []
        for value in values:
            settings = {"end_frames": "valid", "variant": "released"} | {name: value} | parts
            head = random_state(DMGAL(4, 2, 2, 4, **settings)).double().eval()
            outs.append(head(*episode()).query)
        assert (outs[0] - outs[1]).abs().max() > 1e-3


class TestClosedForms:
    @pytest.mark.parametrize("variant, scope", list(product(VARIANTS, SCOPES)))
    def test_c_mga_is_exactly_the_identity_at_the_start(self, variant, scope):
        support, query = episode(dtype=torch.float32)
        head = DMGAL(4, 2, 2, 4, s_mga=False, c_mga=scope, variant=variant).eval()
        out = head(support, query)
        assert torch.equal(out.support, support)
        assert torch.equal(out.query, query)

    def test_s_mga_is_exactly_the_identity_at_the_start_so_that_only_the_mixer_acts(self):
        support, query = episode(dtype=torch.float32)
        head = DMGAL(4, 2, 2, 4, c_mga=None).eval()
        assert torch.equal(head.self_attention(query), query)
        out = head(support, query)
        torch.testing.assert_close(out.support, head.mixer(support))
        assert (out.query - query).abs().max() > 1e-2

    @staticmethod
    def still(module, support, query):
        """Φ2 the identity and all frames equal: no motion. Φ3 the identity: the values are the features."""
        for name in ("motion.phi2.weight", "phi3.conv.weight"):
            weight = module.get_parameter(name).data
            weight.zero_()[:, 0, 1, 1] = 1.0
        return support[:, :, :, :1].expand_as(support), query[:, :, :1].expand_as(query)

    @pytest.mark.parametrize(
        "variant, scope, end_frames", list(product(VARIANTS, SCOPES, END_FRAMES))
    )
    def test_without_motion_c_mga_adds_the_mean_of_the_support(self, variant, scope, end_frames):
        module = (
            random_state(CrossMotionGuidedAttention(4, 2, scope, variant, end_frames=end_frames))
            .double()
            .eval()
        )
        support, query = self.still(module, *episode(batch=2, shot=2))
        # Shifts would give the frames that have neighbours a constant motion of their own.
        for norm in (module.motion.scales.fine[1], module.motion.scales.coarse[1]):
            norm.running_mean.zero_(), norm.bias.data.zero_()
        if scope == "frame_all" and end_frames == "valid":
            module.norm.bias.data.zero_()
        _, out = module(support, query)
        mean = support.mean((1, 2, 5, 6))[:, None, :, :, None, None]
        torch.testing.assert_close(out, query + module.lambda_1 * mean + module.lambda_2 * query)

    def test_without_motion_s_mga_attends_by_the_positions(self):
        module = SelfMotionGuidedAttention(4, 2, variant="paper").double().eval()
        module.lambda_.data.fill_(0.7)
        _, query = self.still(module, *episode())
        code = 0.1 * torch.from_numpy(oracle.sinusoid(15, 2))
        weights = (2 * code @ code.T / 2**0.5).softmax(-1)
        rows = rearrange(
            query, "batch query frames dim height width -> batch query frames (height width) dim"
        )
        attended = rearrange(weights @ rows, "b q f (h w) d -> b q f d h w", h=3)
        torch.testing.assert_close(module(query), query + 0.7 * attended)

    def test_released_zero_map_is_half_uniform_attention(self):
        """In the last frame of "zero", one half is the mean of all values and the other half is what "valid" gives."""
        outs = {}
        for end_frames in END_FRAMES:
            module = CrossMotionGuidedAttention(4, 2, variant="released", end_frames=end_frames)
            module = random_state(module).double().eval()
            module.lambda_1.data.fill_(1.0), module.lambda_2.data.zero_()
            support, query = self.still(module, *episode())
            support, query = episode()
            outs[end_frames] = (module(support, query)[1] - query)[0]
        mean = support.mean((1, 2, 5, 6))[0, :, :, None, None]
        for end in (0, -1):
            torch.testing.assert_close(
                outs["zero"][:, end], (outs["valid"][:, end] + mean[end]) / 2
            )
        torch.testing.assert_close(outs["zero"][:, 1:-1], outs["valid"][:, 1:-1])
        assert (outs["zero"][:, -1] - outs["valid"][:, -1]).abs().max() > 1e-3

    def test_a_zero_map_is_a_constant_in_the_sum_of_the_paper(self):
        support, query = episode()
        zero, valid = (
            random_state(CrossMotionGuidedAttention(4, 2, end_frames=end_frames))
            .double()
            .eval()(support, query)[1]
            for end_frames in END_FRAMES
        )
        torch.testing.assert_close(zero, valid)

    def test_five_shots_of_one_class_are_attended_to_as_five_classes(self):
        module = random_state(CrossMotionGuidedAttention(4, 2)).double().eval()
        support, query = episode(way=5)
        as_shots = rearrange(support, "batch way 1 ... -> batch 1 way ...")
        torch.testing.assert_close(module(as_shots, query)[1], module(support, query)[1])

    def test_the_sum_of_two_score_matrices_is_one_attention(self):
        generator = torch.Generator().manual_seed(0)
        q, k = (torch.randn(2, 1, 3, n, 6, generator=generator) for n in (4, 7))
        values = torch.randn(1, 3, 7, 5, generator=generator)
        settings = {"end_frames": "zero", "dropout": 0.0}
        got = motion_guided_attention(tuple(q), tuple(k), values, variant="paper", **settings)
        scores = (q @ k.transpose(-1, -2)).sum(0) / 6**0.5
        torch.testing.assert_close(got, scores.softmax(-1) @ values)


class TestTraining:
    @pytest.mark.parametrize("variant, scope", list(product(VARIANTS, SCOPES)))
    @pytest.mark.parametrize("end_frames, phi3", [("zero", "3x3"), ("valid", "3x1x1")])
    def test_gradients_reach_every_parameter(self, variant, scope, end_frames, phi3):
        head = DMGAL(8, 2, 2, 4, c_mga=scope, variant=variant, phi3=phi3, end_frames=end_frames)
        for name, parameter in head.named_parameters():
            if "lambda" in name:
                parameter.data.fill_(0.5)
        out = head(*episode(dim=8, dtype=torch.float32))
        (out.support.square().mean() + out.query.square().mean()).backward()
        without = [
            n
            for n, p in head.named_parameters()
            if p.grad is None or torch.count_nonzero(p.grad) == 0
        ]
        assert without == []

    def test_at_the_start_only_the_lambdas_of_an_attention_learn(self):
        head = DMGAL(8, 2, 2, 4)
        out = head(*episode(dim=8, dtype=torch.float32))
        (out.support.square().mean() + out.query.square().mean()).backward()
        learning = {n for n, p in head.named_parameters() if torch.count_nonzero(p.grad)}
        assert {n for n in learning if "mixer" not in n} == {
            "self_attention.lambda_",
            "cross_attention.lambda_1",
            "cross_attention.lambda_2",
        }

    @pytest.mark.parametrize("variant, times", [("paper", 1), ("released", 2)])
    def test_dropout_acts_in_training_only(self, variant, times, monkeypatch):
        """On the weights of both attentions, and on the tokens of S-MGA alone."""
        calls = []
        attention = F.scaled_dot_product_attention

        def record(q, k, v, dropout_p, scale):
            calls.append((dropout_p, (q == 0).double().mean().item()))
            return attention(q, k, v, dropout_p=dropout_p, scale=scale)

        monkeypatch.setattr(F, "scaled_dot_product_attention", record)
        torch.manual_seed(0)
        head = random_state(DMGAL(64, 1, 1, 4, variant=variant, dropout=0.4))
        features = episode(dim=64, dtype=torch.float32)
        first, second = head(*features), head(*features)
        assert not torch.equal(first.support, second.support)
        calls.clear()
        head(*features)
        assert [p for p, _ in calls] == [0.4] * 3 * times
        tokens = [share for _, share in calls]
        assert tokens == pytest.approx([0.4] * 2 * times + [0.0] * times, abs=0.03)
        calls.clear()
        head.eval()(*features)
        assert [p for p, _ in calls] == [0.0] * 3 * times
        assert [share for _, share in calls] == pytest.approx([0.0] * 3 * times, abs=0.03)

    def test_batch_norm_sees_support_and_query_apart(self):
        head = random_state(DMGAL(8, 2, 2, 4, dropout=0.0)).train()
        support, query = episode(dim=8, dtype=torch.float32)
        first = head(support, query).support
        torch.testing.assert_close(head(support, 9 * query + 4).support, first)
        steps = [m.num_batches_tracked for m in head.modules() if isinstance(m, nn.BatchNorm2d)]
        # random_state leaves the counters of steps alone: two calls, support and query in each.
        assert [int(step) for step in steps] == [4] * 6

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_half_precision_is_finite(self, variant):
        head = random_state(DMGAL(16, frames=4, variant=variant))
        with torch.autocast("cpu", torch.bfloat16):
            out = head(*episode(dim=16, dtype=torch.float32))
        (out.support.float().mean() + out.query.float().mean()).backward()
        assert out.support.isfinite().all() and out.query.isfinite().all()
        assert all(p.grad.isfinite().all() for p in head.parameters())


class TestMemory:
    @pytest.mark.parametrize(
        "variant, scope, training", list(product(VARIANTS, SCOPES, (False, True)))
    )
    def test_no_query_gets_its_own_copy_of_the_support(self, variant, scope, training):
        way, shot, query, frames, dim, patches = 5, 2, 6, 4, 64, 4
        features = episode(1, way, shot, query, frames, dim, (2, 2), dtype=torch.float32)
        head = DMGAL(dim, frames=frames, s_mga=False, c_mga=scope, variant=variant).train(training)
        with LargestTensor() as record:
            head(*features)
        support_numel = features[0].numel()
        seen = frames if scope == "frame_all" else 1
        scores = frames * query * patches * way * shot * patches * seen
        assert record.largest == max(support_numel, scores)
        assert record.largest < query * support_numel

    def test_the_record_notices_such_a_copy(self):
        support, _ = episode(1, 5, 2, 6, 4, 64, (2, 2), dtype=torch.float32)
        with LargestTensor() as record:
            repeat(support, "batch way shot ... -> batch query way shot ...", query=6)
        assert record.largest == 6 * support.numel()


class TestFreeSizes:
    @pytest.mark.parametrize("grid", [(7, 7), (14, 14), (4, 4), (3, 6), (1, 1)])
    @pytest.mark.parametrize("way, shot, query", [(5, 1, 3), (3, 5, 1)])
    def test_one_head_takes_any_episode_and_grid(self, grid, way, shot, query):
        head = random_state(DMGAL(4, 2, 2, frames=2)).eval()
        features = episode(1, way, shot, query, 2, 4, grid, dtype=torch.float32)
        out = head(*features)
        assert out.support.shape == features[0].shape
        assert out.query.shape == features[1].shape
        assert out.query.isfinite().all()
        assert not torch.equal(out.query, features[1])

    @pytest.mark.parametrize("variant, scope", list(product(VARIANTS, SCOPES)))
    def test_a_batch_is_its_episodes(self, variant, scope):
        head = random_state(DMGAL(4, 2, 2, 4, c_mga=scope, variant=variant)).double().eval()
        support, query = episode(batch=3, way=3, shot=2)
        out = head(support, query)
        for b in range(3):
            single = head(support[b : b + 1], query[b : b + 1])
            torch.testing.assert_close(out.support[b], single.support[0])
            torch.testing.assert_close(out.query[b], single.query[0])

    def test_frame_wise_looks_at_no_other_frame_but_the_neighbours(self):
        """Frame 0 of a query sees frames 0 and 1 of the support, through motion; under frame_all it sees all."""
        support, query = episode(frames=5)
        changed = support.clone()
        changed[:, :, :, 3:] += 1.0
        moved = {}
        for scope in SCOPES:
            module = random_state(CrossMotionGuidedAttention(4, 2, scope)).double().eval()
            difference = module(support, query)[1] - module(changed, query)[1]
            moved[scope] = difference.abs().amax((0, 1, 3, 4, 5)) > 1e-9
        assert moved["frame_wise"].tolist() == [False, False, True, True, True]
        assert moved["frame_all"].tolist() == [True] * 5


class TestMixer:
    def test_it_goes_with_s_mga_unless_said_otherwise(self):
        """Which parts there are: the paper's S-MGA holds the mixer; either can stand alone."""

        def parts(**settings):
            head = DMGAL(8, c_mga=None, **settings)
            return {name.split(".")[0] for name, _ in head.named_parameters()}

        assert parts() == parts(mixer=True) == {"self_attention", "mixer"}
        assert parts(mixer=False) == {"self_attention"}
        assert parts(s_mga=False) == set()
        assert parts(s_mga=False, mixer=True) == {"mixer"}

    def test_the_mixer_alone_is_eq_8_and_9(self):
        torch.manual_seed(0)
        head = DMGAL(8, s_mga=False, c_mga=None, mixer=True).eval()
        support, query = torch.randn(1, 2, 1, 8, 8, 3, 3), torch.randn(1, 2, 8, 8, 3, 3)
        out = head(support, query)
        torch.testing.assert_close(out.support, head.mixer(support))
        torch.testing.assert_close(out.query, head.mixer(query))


class TestErrors:
    @pytest.mark.parametrize(
        "settings, words",
        [
            ({"variant": "text"}, "variant='text' is not valid; valid: 'paper', 'released'"),
            (
                {"c_mga": "frame-wise"},
                "c_mga='frame-wise' is not valid; valid: 'frame_wise', 'frame_all', or null; "
                "did you mean 'frame_wise'?",
            ),
            (
                {"phi3": "3x3x3"},
                "phi3='3x3x3' is not valid; valid: '3x3', '3x1x1'; did you mean '3x3'?",
            ),
            ({"end_frames": "skip"}, "end_frames='skip' is not valid; valid: 'zero', 'valid'"),
            ({"s_mga": "yes"}, "s_mga='yes' is not valid; valid: True, False"),
            ({"r1": 3}, "r1=3 is not valid; valid: 1, 2, 4, 8"),
            ({"r2": 0}, "r2=0 is not valid; valid: whole numbers from 1, or null"),
            ({"frames": 1}, "frames=1 is not valid; valid: whole numbers from 2"),
            ({"dim": 0}, "dim=0 is not valid; valid: whole numbers from 1"),
            ({"dropout": 1.0}, "dropout=1.0 is not valid; valid: numbers from 0 to below 1"),
            ({"dropout": "0.1"}, "dropout='0.1' is not valid; valid: numbers from 0 to below 1"),
        ],
    )
    def test_a_bad_value_names_the_valid_ones(self, settings, words):
        with pytest.raises(FsarError) as caught:
            DMGAL(**{"dim": 8} | settings)
        assert str(caught.value) == f"dmgal: {words}"

    def test_an_unused_module_is_checked_too(self):
        with pytest.raises(FsarError, match="variant='text'"):
            DMGAL(8, s_mga=False, c_mga=None, variant="text")

    @pytest.mark.parametrize(
        "make, words",
        [
            ({"dim": 4}, "support has dim 4, the head was built for 8; use dim=4"),
            ({"frames": 6}, "support has 6 frames, the head was built for 4; use frames=6"),
        ],
    )
    def test_other_features_than_it_was_built_for(self, make, words):
        head = DMGAL(8, 2, 2, 4)
        support, query = episode(**{"dim": 8, "dtype": torch.float32} | make)
        with pytest.raises(FsarError) as caught:
            head(support, query)
        assert str(caught.value) == f"dmgal: {words}"
        good, _ = episode(dim=8, dtype=torch.float32)
        with pytest.raises(FsarError) as caught:
            head(good, query)
        assert str(caught.value) == f"dmgal: {words.replace('support', 'query')}"

    def test_another_number_of_axes(self):
        support, query = episode(dim=8, dtype=torch.float32)
        with pytest.raises(FsarError) as caught:
            DMGAL(8, 2, 2, 4)(support, query[0])
        assert str(caught.value) == (
            "dmgal: query must be [batch query frames dim height width], got 5 axes: [2, 4, 8, 3, 5]"
        )


class TestWhatItAttendsTo:
    """`weights` and `association` are for people to look at; what the modules do with them is known."""

    @pytest.mark.parametrize("variant, end_frames", list(product(VARIANTS, END_FRAMES)))
    def test_s_mga_adds_the_values_by_these_weights(self, variant, end_frames):
        module = (
            random_state(SelfMotionGuidedAttention(4, 2, variant, end_frames=end_frames))
            .double()
            .eval()
        )
        video = episode()[1]
        weights = module.weights(video)
        assert weights.shape == (1, 2, 4, 15, 15)
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
        attended = weights @ module.phi3(video[0])[None]
        attended = rearrange(attended, "b q frames (h w) dim -> b q frames dim h w", h=3)
        torch.testing.assert_close(module(video), video + module.lambda_ * attended)

    @pytest.mark.parametrize(
        "scope, variant, end_frames", list(product(SCOPES, VARIANTS, END_FRAMES))
    )
    def test_c_mga_adds_the_values_by_these_weights(self, scope, variant, end_frames):
        module = (
            random_state(CrossMotionGuidedAttention(4, 2, scope, variant, end_frames=end_frames))
            .double()
            .eval()
        )
        support, query = episode(batch=2, way=3, shot=2)
        weights = module.weights(support, query)
        assert weights.shape == (2, 2, 4, 15, 4 if scope == "frame_all" else 1, 3, 2, 15)
        total = weights.sum((-4, -3, -2, -1))
        torch.testing.assert_close(total, torch.ones_like(total))
        values = module.phi3(support.flatten(0, 2)).unflatten(
            0, (2, 3, 2)
        )  # batch way shot frames patches dim
        expected = torch.zeros(2, 2, 4, 15, 4, dtype=torch.float64)
        for i in range(4):
            for j in range(4) if scope == "frame_all" else (i,):
                of_frame = weights[:, :, i, :, j if scope == "frame_all" else 0]
                expected[:, :, i] += torch.einsum(
                    "bqpwsk,bwskd->bqpd", of_frame, values[:, :, :, j]
                )
        changed = module(support, query)[1] - query
        own = module.phi3(query.flatten(0, 1)).unflatten(0, (2, 2))
        expected = module.lambda_1 * expected + module.lambda_2 * own
        torch.testing.assert_close(
            changed, rearrange(expected, "b q frames (h w) dim -> b q frames dim h w", h=3)
        )

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_association_is_attention_from_each_frame_to_the_next(self, variant):
        module = random_state(SelfMotionGuidedAttention(4, 2, variant)).double().eval()
        clip = episode(grid=(4, 6))[1][0, 0]
        got = module.association(clip[None, None], grid=2)
        assert got.shape == (1, 1, 3, 4, 4)
        pooled = []
        for pair in oracle.motion(clip.numpy(), arrays(module.motion), variant):
            found = {}
            for direction, tokens in pair.items():
                maps = (
                    np.zeros((4, 6, 2)) if tokens is None else np.asarray(tokens).reshape(4, 6, 2)
                )
                blocks = [
                    maps[2 * y : 2 * y + 2, 3 * x : 3 * x + 3].mean((0, 1))
                    for y in range(2)
                    for x in range(2)
                ]
                found[direction] = np.array(blocks)
            pooled.append(found)
        for i in range(3):
            scores = {
                d: pooled[i][d] @ pooled[i + 1][d].T / 2**0.5 for d in ("backward", "forward")
            }
            softmax = lambda s: np.exp(s) / np.exp(s).sum(-1, keepdims=True)  # noqa: E731
            expected = (
                softmax(sum(scores.values()))
                if variant == "paper"
                else sum(map(softmax, scores.values())) / 2
            )
            np.testing.assert_allclose(got[0, 0, i].detach(), expected, atol=1e-12)

    @pytest.mark.parametrize(
        "options, names",
        [
            (
                {},
                {
                    "self_support",
                    "self_query",
                    "association_support",
                    "association_query",
                    "lambda_self",
                    "cross",
                    "lambda_cross",
                },
            ),
            ({"s_mga": False}, {"cross", "lambda_cross"}),
            (
                {"c_mga": None},
                {
                    "self_support",
                    "self_query",
                    "association_support",
                    "association_query",
                    "lambda_self",
                },
            ),
            ({"s_mga": False, "c_mga": None}, set()),
        ],
    )
    def test_a_head_shows_the_attentions_that_it_has(self, options, names):
        head = random_state(DMGAL(4, 2, 2, frames=4, **options)).double().eval()
        support, query = episode(way=3)
        found = head.attention(support, query)
        assert set(found) == names
        if "cross" in names:
            mixed = [head.mixer(head.self_attention(side)) for side in (support, query)]
            torch.testing.assert_close(found["cross"], head.cross_attention.weights(*mixed))
            assert found["lambda_cross"] == head.cross_attention.lambda_1
        if "lambda_self" in names:
            torch.testing.assert_close(found["self_support"], head.self_attention.weights(support))
            assert found["association_query"].shape == (1, 2, 3, 9, 9)
