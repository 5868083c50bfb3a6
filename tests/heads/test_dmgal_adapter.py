"""DMGAL-Adapter against Eq. 15-17, its number of parameters, and its start at the frozen transformer."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from fsar_core.errors import FsarError
from fsar_core.heads.dmgal import CrossMotionGuidedAttention, SelfMotionGuidedAttention
from fsar_core.heads.dmgal_adapter import DMGALAdapter
from fsar_core.layers.adapters import TemporalConvolution
from fsar_core.layers.vision_transformer import Block, ClassToken, Embed
from tests.heads import adapting
from tests.heads.memory import LargestTensor
from tests.oracles import adapters as oracle
from tests.oracles.dmgal import part

ROWS = [dict(smga=smga, cmga=cmga) for smga, cmga in product((False, True), repeat=2)]
VARIANTS = ("paper", "released")
CLASS_TOKEN = ("bypass", "skip")
POSITIONS = ("before_attention", "after_mlp")


def adapted(**params) -> DMGALAdapter:
    """With random weights in its adapters."""
    module = adapting.head("dmgal_adapter", frames=adapting.FRAMES, r1=2, r2=2, **params)
    adapting.shaken(module.adapters)
    return module


class TestParameters:
    @pytest.mark.parametrize(
        "settings, count",
        [
            ({}, 11_992_717),
            ({"cmga": False}, 11_992_332),
            ({"smga": False, "cmga": False}, 3_559_680),
            ({"phi3": "3x3"}, 11_992_717 + 12 * 6 * 192),
            ({"position": "after_mlp", "class_token": "skip", "variant": "released"}, 11_992_717),
        ],
    )
    def test_of_vit_b16(self, settings, count):
        with torch.device("meta"):
            tail = nn.Sequential(
                *(Block(768, 12) for _ in range(12)), ClassToken(768)
            ).requires_grad_(False)
            assert adapting.trained(DMGALAdapter(tail, **settings)) == count

    def test_closed_forms(self):
        d, shell = 192, 2 * 768 * 192 + 768 + 192
        smga, cmga = 19 * d**2 + 16 * d + 1, 19 * d**2 + 18 * d + 2
        assert 11 * (shell + smga) + shell + cmga == 11_992_717
        assert 12 * (shell + smga) == 11_992_332
        assert 12 * (shell + 4 * d) == 3_559_680

    @pytest.mark.parametrize("row", ROWS)
    def test_each_row_of_table_vi_has_its_adapters(self, row):
        """Smga in all blocks but the last and Cmga in the last, Eq. 15 where they are left out."""
        operations = [adapter.operation for adapter in adapted(depth=3, **row).adapters]
        kinds = [
            type(operation if isinstance(operation, TemporalConvolution) else operation.layer)
            for operation in operations
        ]
        early = SelfMotionGuidedAttention if row["smga"] else TemporalConvolution
        assert kinds == [early, early, CrossMotionGuidedAttention if row["cmga"] else early]
        assert not any(
            name.startswith("compress")
            for operation in operations
            for name, _ in operation.named_parameters()
        )


class TestStart:
    @pytest.mark.parametrize("row", ROWS)
    @pytest.mark.parametrize("class_token, position", list(product(CLASS_TOKEN, POSITIONS)))
    def test_it_is_the_frozen_transformer(self, row, class_token, position):
        head = adapting.head("dmgal_adapter", **row, class_token=class_token, position=position)
        adapting.assert_starts_as_the_frozen_transformer(head)

    def test_the_last_projections_learn_first_and_then_the_rest(self):
        head = adapting.head("dmgal_adapter", r1=2, r2=2)
        learning = {
            n
            for n, grad in adapting.gradients(head, adapting.episode()).items()
            if grad.count_nonzero()
        }
        assert learning == {f"adapters.{i}.up.{x}" for i in range(2) for x in ("weight", "bias")}

    @pytest.mark.parametrize(
        "variant, class_token, position", list(product(VARIANTS, CLASS_TOKEN, POSITIONS))
    )
    def test_gradients_reach_every_weight_of_an_adapter_and_no_other(
        self, variant, class_token, position
    ):
        head = adapted(variant=variant, class_token=class_token, position=position, depth=3)
        found = adapting.gradients(head, adapting.episode(tokens=17))
        assert [name for name, grad in found.items() if not grad.count_nonzero()] == []


class TestAgainstTheEquations:
    @pytest.mark.parametrize("variant, class_token", list(product(VARIANTS, CLASS_TOKEN)))
    def test_smga_then_cmga(self, variant, class_token):
        """Two blocks: Eq. 16 in the first, Eq. 17 in the second, each before the frozen attention."""
        end_frames, phi3 = ("zero", "3x1x1") if class_token == "bypass" else ("valid", "3x3")
        head = adapted(variant=variant, class_token=class_token, end_frames=end_frames, phi3=phi3)
        features = adapting.episode(shot=2)
        first, last = (part(adapting.arrays(head.tail), str(i)) for i in range(2))
        smga, cmga = (adapting.arrays(adapter) for adapter in head.adapters)

        def through(video: np.ndarray) -> np.ndarray:
            video = oracle.smga_adapter(video, smga, class_token, variant, end_frames)
            return oracle.feed_forward(oracle.attend(video, first, adapting.HEADS), first)

        def to_the_end(video: np.ndarray) -> np.ndarray:
            return oracle.feed_forward(oracle.attend(video, last, adapting.HEADS), last)

        support, query = (adapting.videos_of(x) for x in features)
        support = np.array([[through(video) for video in shots] for shots in support])
        query = np.array([through(video) for video in query])
        support, query = oracle.cmga_adapter(support, query, cmga, class_token, variant, end_frames)
        support = np.array([[to_the_end(video) for video in shots] for shots in support])
        adapting.assert_equals(
            head, features, support, np.array([to_the_end(video) for video in query])
        )

    @pytest.mark.parametrize("class_token", CLASS_TOKEN)
    def test_the_baseline_of_table_vi_is_eq_15(self, class_token):
        head = adapted(smga=False, cmga=False, class_token=class_token, depth=1)
        features = adapting.episode()
        block, adapter = part(adapting.arrays(head.tail), "0"), adapting.arrays(head.adapters[0])

        def through(video: np.ndarray) -> np.ndarray:
            video = oracle.st_adapter(video, adapter, class_token)
            return oracle.feed_forward(oracle.attend(video, block, adapting.HEADS), block)

        support, query = (adapting.videos_of(x) for x in features)
        expected = np.array([[through(video) for video in shots] for shots in support])
        adapting.assert_equals(
            head, features, expected, np.array([through(video) for video in query])
        )

    def test_after_the_mlp_of_a_block_is_before_the_attention_of_the_next(self):
        """In all blocks but the last: its adapter comes before its attention, or the class token would not see it."""
        head = adapted(position="after_mlp")
        features = adapting.episode()
        got = head(*features)
        blocks = [
            lambda x, block=block: block(x.flatten(0, -4)).unflatten(0, x.shape[:-3])
            for block in head.blocks
        ]
        hidden = tuple(blocks[0](x)[..., 0].transpose(-1, -2) for x in features)
        for adapter in head.adapters:
            hidden = adapter(hidden)
        ends = [blocks[1](x.transpose(-1, -2)[..., None]) for x in hidden]
        read = [head.tail[-1](x.flatten(0, -4)).unflatten(0, x.shape[:-3]) for x in ends]
        torch.testing.assert_close((got.support, got.query), tuple(read))


class TestWhatSeesWhat:
    def test_a_query_sees_the_support_through_the_last_block_alone(self):
        """Of the same frame and, by motion, of its neighbours; and the support sees no query."""
        support, query = adapting.episode(frames=5)
        changed = support.clone()
        changed[:, :, :, 4:] *= -1
        for cmga in (True, False):
            head = adapted(cmga=cmga, depth=1)
            moved = (head(changed, query).query - head(support, query).query).abs().amax(
                (0, 1, 3, 4, 5)
            ) > 1e-9
            assert moved.tolist() == [False, False, False, cmga, cmga]
            torch.testing.assert_close(head(support, -query).support, head(support, query).support)

    @pytest.mark.parametrize("row", ROWS)
    def test_the_order_of_frames_matters(self, row):
        head = adapted(**row)
        support, query = adapting.episode()
        straight, turned = head(support, query).query, head(support, query.flip(2)).query.flip(2)
        assert (straight - turned).abs().max() > 1e-4

    @pytest.mark.parametrize("phi3, blind", [("3x1x1", False), ("3x3", True)])
    def test_which_kernel_sees_the_direction_of_time(self, phi3, blind):
        """Motion towards both neighbours counts alike; only a kernel over the frames tells before from after."""
        head = adapted(phi3=phi3)
        support, query = adapting.episode()
        straight, backwards = (
            head(support, query).query,
            head(support.flip(3), query.flip(2)).query.flip(2),
        )
        assert torch.allclose(straight, backwards, atol=1e-10) == blind

    def test_the_class_token_skips_or_bypasses(self):
        """What the first adapter makes of the class token does not depend on the patches; skipping, it stays as it is."""
        for class_token in CLASS_TOKEN:
            adapter = adapted(class_token=class_token).adapters[0]
            tokens = adapting.episode()[1][..., 0].transpose(-1, -2)
            others = torch.cat([tokens[..., :1, :], tokens[..., 1:, :] + 1], dim=-2)
            (got,), (with_others,) = adapter((tokens,)), adapter((others,))
            torch.testing.assert_close(got[..., 0, :], with_others[..., 0, :])
            assert torch.equal(got[..., 0, :], tokens[..., 0, :]) == (class_token == "skip")
            assert not torch.allclose(
                got[..., 1:, :] - tokens[..., 1:, :], with_others[..., 1:, :] - others[..., 1:, :]
            )

    @pytest.mark.parametrize(
        "way, shot, query, tokens", [(5, 1, 3, 5), (3, 4, 1, 10), (2, 1, 2, 2)]
    )
    def test_one_head_takes_any_episode_and_square(self, way, shot, query, tokens):
        head = adapted()
        out = head(*adapting.episode(1, way, shot, query, tokens=tokens))
        assert out.support.shape == (1, way, shot, adapting.FRAMES, adapting.DIM, 1, 1)
        assert out.query.shape == (1, query, adapting.FRAMES, adapting.DIM, 1, 1)
        assert out.query.isfinite().all()

    def test_no_query_gets_its_own_copy_of_the_support(self):
        """Ten times the queries, ten times the memory of the largest tensor and not more."""
        largest = []
        for query in (4, 40):
            head = adapted(depth=1)
            with LargestTensor() as record:
                head(*adapting.episode(1, 5, 2, query, frames=2, tokens=10))
            largest.append(record.largest)
        # Scores: frames, query patches, support patches; below them the MLP's hidden layer of the videos.
        assert largest[1] == 2 * (40 * 9) * (5 * 2 * 9)
        assert largest[0] < largest[1]

    def test_stages_before_the_blocks_are_run_too(self):
        """The cut `frames`: the whole network is the tail."""
        torch.manual_seed(0)
        embed = Embed(adapting.DIM, 4, 8)
        stages = nn.Sequential(nn.Identity(), embed, *adapting.tail().float())
        whole, behind = (DMGALAdapter(tail, frames=2).eval() for tail in (stages, stages[2:]))
        behind.adapters = whole.adapters
        support, query = torch.randn(1, 2, 1, 2, 3, 8, 8), torch.randn(1, 2, 2, 3, 8, 8)
        tokens = [embed(x.flatten(0, -4)).unflatten(0, x.shape[:-3]) for x in (support, query)]
        torch.testing.assert_close(whole(support, query).query, behind(*tokens).query)


class TestErrors:
    @pytest.mark.parametrize(
        "tail, found",
        [
            (nn.Identity(), "Identity"),
            (nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU()), "Conv2d -> ReLU"),
            (nn.Sequential(ClassToken(8)), "ClassToken"),
            (nn.Sequential(Block(8, 2)), "Block"),
            (
                nn.Sequential(Block(8, 2), nn.ReLU(), Block(8, 2), ClassToken(8)),
                "Block -> ReLU -> Block -> ClassToken",
            ),
        ],
    )
    def test_no_transformer_behind_the_cut(self, tail, found):
        with pytest.raises(FsarError) as caught:
            DMGALAdapter(tail)
        assert str(caught.value) == (
            f"dmgal_adapter: needs the blocks of a vision transformer behind the cut, found {found}; choose a backbone "
            f"that has them and its cut `tokens`"
        )

    @pytest.mark.parametrize(
        "settings, words",
        [
            ({"r1": 3}, "r1=3 is not valid; valid: 1, 2, 4, 8"),
            ({"r2": 16}, "r2=16 is not valid; valid: 1, 2, 4, 8"),
            ({"frames": 1}, "frames=1 is not valid; valid: whole numbers from 2"),
            ({"smga": "yes"}, "smga='yes' is not valid; valid: True, False"),
            (
                {"position": "before"},
                "position='before' is not valid; valid: 'before_attention', 'after_mlp'",
            ),
            ({"class_token": "drop"}, "class_token='drop' is not valid; valid: 'bypass', 'skip'"),
            (
                {"smga": False, "cmga": False, "variant": "text"},
                "variant='text' is not valid; valid: 'paper', 'released'",
            ),
        ],
    )
    def test_a_bad_value_names_the_valid_ones(self, settings, words):
        with pytest.raises(FsarError) as caught:
            DMGALAdapter(adapting.tail(), **settings)
        assert str(caught.value) == f"dmgal_adapter: {words}"

    def test_other_activations(self):
        head = adapting.head("dmgal_adapter")
        with pytest.raises(FsarError) as caught:
            head(*adapting.episode(tokens=7))
        assert str(caught.value) == "dmgal_adapter: 6 patches form no square; use square images"
        with pytest.raises(FsarError) as caught:
            head(*adapting.episode(dim=16))
        assert str(caught.value) == (
            "dmgal_adapter: features must be tokens [.. 8 tokens 1], got [16, 5, 1] for a frame"
        )
