"""I2ST against its equations, the paper's parameter counts, and what must hold whatever the weights."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fsar_core.errors import FsarError
from fsar_core.heads.i2st import I2ST, contrastive_loss
from fsar_core.layers.instance_perception import (
    InstancePerceptionDecoder,
    InstancePerceptionEncoder,
    mask_loss,
)
from fsar_core.layers.joint_attention import (
    FusionBranch,
    GlobalFusion,
    MultiHeadAttention,
    SpatialTemporalAttention,
)
from fsar_core.metrics.global_local import GlobalLocal
from tests.oracles import i2st as oracle

RESNET50 = 23_508_032
SETTINGS = [
    dict(zip(("fusion", "instance", "residual", "positions"), values))
    for values in (
        ("self", True, True, "learned"),
        ("self", True, False, "sinusoid"),
        ("cross", True, True, "sinusoid"),
        ("cross", True, False, "learned"),
        ("self", False, True, "learned"),
        ("cross", False, False, "sinusoid"),
    )
]
BRANCHES = [{}, {"temporal": False}, {"spatial": False}]
CLASSES = 5


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors of a few kilobytes: waiting for other threads would take longer than the sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_state(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter away from its initial value, so that none can be forgotten unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.state_dict().values():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.5 + 0.2)
    return module


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def episode(
    batch=1, way=2, shot=1, query=2, frames=3, dim=4, grid=(2, 3), seed=1, dtype=torch.float64
):
    generator = torch.Generator().manual_seed(seed)
    support = torch.randn(batch, way, shot, frames, dim, *grid, generator=generator, dtype=dtype)
    return support, torch.randn(batch, query, frames, dim, *grid, generator=generator, dtype=dtype)


def extras(support, query, seed=2) -> dict[str, torch.Tensor]:
    """All that a training step can give beside the features."""
    generator = torch.Generator().manual_seed(seed)
    masks = {"support_masks": support.shape[:4], "query_masks": query.shape[:3]}
    ids = {"support_classes": support.shape[:3], "query_classes": query.shape[:2]}
    return {
        "labels": torch.randint(support.shape[1], query.shape[:2], generator=generator),
        **{
            name: torch.rand(*size, 9, 14, generator=generator, dtype=support.dtype)
            for name, size in masks.items()
        },
        **{name: torch.randint(CLASSES, size, generator=generator) for name, size in ids.items()},
    }


def small(seed=0, **settings) -> I2ST:
    """A double-precision head of 4 channels with random weights, in training without dropout."""
    defaults = dict(dim=4, frames=3, heads=2, r=2, classes=CLASSES, dropout=0.0, ffn_dropout=0.0)
    return random_state(I2ST(**defaults | settings), seed).double()


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class TestParameters:
    """Table 8, and the parts that the docstring names."""

    @pytest.mark.parametrize(
        "settings, exactly, printed",
        [
            ({}, 106_857_729, 130.2e6),
            ({"temporal": False}, 64_898_305, 88.5e6),
            ({"spatial": False}, 64_898_305, 88.5e6),
        ],
    )
    def test_table_8_within_half_a_percent(self, settings, exactly, printed):
        with torch.device("meta"):
            head = I2ST(2048, width=256, classes=64, **settings)
        assert count(head) == exactly
        assert abs(RESNET50 + exactly - printed) < 0.005 * printed

    @pytest.mark.parametrize(
        "settings, giga", [({}, 8.88), ({"temporal": False}, 4.76), ({"spatial": False}, 4.73)]
    )
    def test_operations_of_a_frame(self, settings, giga):
        """Table 8 prints 17.1 G with 8.2 G for the backbone."""
        with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
            I2ST(2048, **settings).eval()(
                *(torch.empty(1, 1, *more, 8, 2048, 7, 7) for more in ((1,), ()))
            )
        assert counter.get_total_flops() / 16 / 1e9 == pytest.approx(giga, abs=0.005)

    def test_the_parts(self):
        with torch.device("meta"):
            assert count(InstancePerceptionEncoder(2048)) == 5_835_264
            assert count(InstancePerceptionDecoder(2048)) == 168_641
            assert (
                count(MultiHeadAttention(2048))
                == count(MultiHeadAttention(2048, width=256))
                == 16_783_360
            )
            assert count(FusionBranch(2048)) == 41_959_424 == 2 * 16_783_360 + 8_392_704
            assert count(FusionBranch(2048, fusion="cross")) == 16_783_360 + 8_392_704
            assert count(FusionBranch(2048, instance=False)) == 16_783_360 + 8_392_704
            assert count(SpatialTemporalAttention(2048)) == 2 * 41_959_424
            assert count(GlobalFusion(2048)) == 16_803_840 == 16_783_360 + 10 * 2048
            assert count(GlobalFusion(2048, positions="sinusoid")) == 16_783_360 + 2048

    def test_the_switches(self):
        with torch.device("meta"):
            whole = count(I2ST(2048, classes=64))
            assert whole - count(I2ST(2048)) == 64 * 2049
            assert whole - count(I2ST(2048, classes=64, fusion="cross")) == 2 * 16_783_360
            assert (
                whole - count(I2ST(2048, classes=64, instance=False))
                == 2 * 16_783_360 + 5_835_264 + 168_641
            )
            assert whole == count(I2ST(2048, classes=64, residual=False))
            # An attention grows with its inner width alone: three projections into it, one out of it.
            wide = count(MultiHeadAttention(2048, heads=8, width=512))
            assert wide - count(MultiHeadAttention(2048)) == 4 * 2048 * 2048


class TestAgainstTheEquations:
    @pytest.mark.parametrize("grid", [(2, 3), (1, 1)])
    def test_encoder_and_decoder(self, grid):
        frames = episode(grid=grid)[1][0]
        for part, expected in (
            (InstancePerceptionEncoder(4, 2), "encoder"),
            (InstancePerceptionDecoder(4, 1), "decoder"),
        ):
            module = random_state(part).double()
            got = module(frames).detach()
            for at in np.ndindex(frames.shape[:2]):
                wanted = getattr(oracle, expected)(frames[at].numpy(), arrays(module))
                np.testing.assert_allclose(got[at], wanted, atol=1e-10)

    def test_channels_of_the_decoder(self):
        """dim / 4r, and never so few that all could be dead."""
        assert InstancePerceptionDecoder(128, 2).layers[0].out_channels == 16
        assert InstancePerceptionDecoder(8, 8).layers[0].out_channels == 8

    @pytest.mark.parametrize("residual", [True, False])
    @pytest.mark.parametrize("width", [None, 3])
    def test_attention_of_itself_and_of_others(self, residual, width):
        module = random_state(MultiHeadAttention(4, 2, width, residual)).double().eval()
        here, there = torch.randn(
            2, 2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
        )
        there = there[:, :3]
        for got, source in ((module(here), here), (module(here, there), there)):
            for b in range(2):
                expected = oracle.multi_head_attention(
                    here[b].numpy(), source[b].numpy(), arrays(module), 2, residual
                )
                np.testing.assert_allclose(got[b].detach(), expected, atol=1e-10)

    @pytest.mark.parametrize("branches", BRANCHES)
    @pytest.mark.parametrize("settings", SETTINGS)
    def test_the_head(self, settings, branches):
        head = small(**settings, **branches).eval()
        support, query = episode(way=2, shot=2, query=1)
        out = head(support, query)
        fixed = {"heads": 2, "residual": settings["residual"], "fusion": settings["fusion"]}
        for features, got, axes in ((support, out.support, 3), (query, out.query, 2)):
            for at in list(np.ndindex(features.shape[:axes]))[-2:]:
                expected = oracle.video(features[at].numpy(), arrays(head), **fixed)
                np.testing.assert_allclose(got[at][..., 0, 0].detach(), expected, atol=1e-8)

    @pytest.mark.parametrize("size", [(16, 24), (9, 13), (8, 12), (5, 3), (9, 7), (1, 1)])
    def test_mask_loss(self, size):
        """The decoder gives 8x12 here: masks larger by a whole or a broken factor, equal, smaller, and in between."""
        decoder = random_state(InstancePerceptionDecoder(4, 1)).double()
        instances = episode()[1]
        masks = torch.rand(
            *instances.shape[:3],
            *size,
            generator=torch.Generator().manual_seed(4),
            dtype=torch.float64,
        )
        expected = oracle.mask_loss(
            list(instances.flatten(0, 2).numpy()),
            list(masks.flatten(0, 2).numpy()),
            arrays(decoder),
        )
        assert mask_loss(decoder, [(instances, masks)]).item() == pytest.approx(expected, rel=1e-5)

    def test_losses_of_a_training_step(self):
        """Each is the oracle's, times its weight, of all videos of all episodes."""
        weights = {"mask_weight": 0.7, "contrastive_weight": 0.3, "class_weight": 0.2}
        head = small(**weights)
        support, query = episode(batch=2, way=2, shot=2, query=3)
        aux = extras(support, query)
        out = head(support, query, **aux)
        support_out, query_out = (x[..., 0, 0].detach().numpy() for x in (out.support, out.query))
        contrast = [
            oracle.contrastive_loss(support_out[b], query_out[b], aux["labels"][b].tolist())
            for b in range(2)
        ]
        assert out.losses["contrastive"].item() == pytest.approx(0.3 * sum(contrast) / 2)
        videos = [*support_out.reshape(-1, 4, 4), *query_out.reshape(-1, 4, 4)]
        ids = aux["support_classes"].flatten().tolist() + aux["query_classes"].flatten().tolist()
        parts = arrays(head)
        linear = {name: parts[f"classifier.{name}"] for name in ("weight", "bias")}
        assert out.losses["class"].item() == pytest.approx(
            0.2 * oracle.class_loss(videos, ids, linear), rel=1e-5
        )
        frames, masks = [], []
        for features, given in ((support, aux["support_masks"]), (query, aux["query_masks"])):
            frames += [
                oracle.encoder(f.numpy(), oracle.part(parts, "encoder"))
                for f in features.flatten(0, -4)
            ]
            masks += list(given.flatten(0, -3).numpy())
        expected = oracle.mask_loss(frames, masks, oracle.part(parts, "decoder"))
        assert out.losses["mask"].item() == pytest.approx(0.7 * expected, rel=1e-5)

    def test_the_classes_of_an_episode_are_told_by_head_and_metric_together(self):
        """Eq. 6 on what Eq. 5 gives, down to the logits."""
        head = small().eval()
        support, query = episode(way=2, shot=2, query=2)
        out = head(support, query)
        got = GlobalLocal()(out.support[..., 0, 0], out.query[..., 0, 0])[0]
        support, query = (
            [oracle.video(v.numpy(), arrays(head), 2).tolist() for v in x.flatten(0, -5)]
            for x in (support, query)
        )
        expected = oracle.global_local_logits(
            [support[:2], support[2:]], query, oracle.matching.bimhm_logits
        )
        np.testing.assert_allclose(got.detach(), expected, atol=1e-8)


class TestClosedForms:
    def test_equal_patches_need_no_attention(self):
        """On a grid of one value each MHA gives x + out(value(norm x)), the same in every patch: any size, one result."""
        head = small(instance=False, temporal=False).eval()
        support, query = episode(grid=(1, 1))
        wide = [x.expand(*x.shape[:-2], 5, 2) for x in (support, query)]
        torch.testing.assert_close(head(*wide).query, head(support, query).query)

    def test_with_zero_projections_the_frames_are_the_mean_features_and_their_instances(self):
        head = small(positions="sinusoid")
        for name, parameter in head.named_parameters():
            if ".out." in name or ".layers.3." in name:
                parameter.data.zero_()
            if name in ("encoder.layers.4.weight", "fusion.token"):
                parameter.data.zero_()
        head.encoder.layers[4].bias.data.fill_(0.25)
        _, query = episode()
        got = head(*episode()).query[..., 0, 0] - torch.from_numpy(oracle.sinusoid(4, 4))
        torch.testing.assert_close(got[:, :, 1:], 2 * query.mean((-2, -1)) + 2 * 0.25)
        torch.testing.assert_close(got[:, :, 0], torch.zeros_like(got[:, :, 0]))

    def test_contrastive_loss_of_equal_clips_is_twice_the_logarithm_of_way(self):
        clips = torch.ones(1, 3, 2, 4, 5)
        labels = torch.tensor([[0, 2]])
        assert contrastive_loss(clips, clips[:, :2, 0], labels).item() == pytest.approx(
            2 * np.log(3)
        )

    def test_contrastive_loss_falls_when_frames_meet_the_other_token(self):
        one, two = torch.eye(2)
        support = torch.stack([one.expand(1, 4, 2), two.expand(1, 4, 2)])[None]
        query = one.expand(1, 1, 4, 2)
        right, wrong = (
            contrastive_loss(support, query, torch.tensor([[n]])).item() for n in (0, 1)
        )
        assert right < 2 * np.log(1 + np.exp(-2.9)) and wrong > 5.9

    def test_a_perfect_decoder_has_no_mask_loss(self):
        decoder = InstancePerceptionDecoder(4, 1)
        decoder.layers[6].weight.data.zero_(), decoder.layers[6].bias.data.fill_(0.5)
        instances = episode(dtype=torch.float32)[1]
        masks = torch.full((*instances.shape[:3], 30, 31), 0.5)
        assert mask_loss(decoder, [(instances, masks)]).item() == 0
        assert mask_loss(decoder, [(instances, masks + 0.5)]).item() == pytest.approx(0.25)

    @pytest.mark.parametrize("size", [(9, 14), (3, 2)])
    def test_masks_with_nan_count_for_nothing(self, size):
        """As if their frames were not there, backward too; one unknown pixel makes a mask unknown."""
        decoder = InstancePerceptionDecoder(4, 1)
        instances = episode(dtype=torch.float32)[1].requires_grad_()
        masks = torch.rand(*instances.shape[:3], *size, generator=torch.Generator().manual_seed(4))
        known = torch.tensor([[[True, False, True], [False, True, True]]])
        masks[0, 0, 1], masks[0, 1, 0, 0, 0] = torch.nan, torch.nan
        loss = mask_loss(decoder, [(instances, masks)])
        loss.backward()
        assert loss.item() == pytest.approx(
            mask_loss(decoder, [(instances[known][None], masks[known][None])]).item()
        )
        assert (
            instances.grad.isfinite().all() and (instances.grad.flatten(3).any(-1) == known).all()
        )

    def test_no_known_mask_is_no_loss(self):
        decoder, (support, query) = InstancePerceptionDecoder(4, 1), episode(dtype=torch.float32)
        pairs = [
            (side, torch.full((*side.shape[:-3], 9, 14), torch.nan)) for side in (support, query)
        ]
        loss = mask_loss(decoder, pairs)
        loss.backward()
        assert loss.item() == 0 and all((p.grad == 0).all() for p in decoder.parameters())


class TestSymmetries:
    @pytest.mark.parametrize("settings", SETTINGS)
    def test_a_batch_is_its_videos(self, settings):
        head = small(**settings).eval()
        support, query = episode(batch=2, way=3, shot=2)
        out = head(support, query)
        for b, n, k in np.ndindex(2, 3, 2):
            single = head(support[b : b + 1, n : n + 1, k : k + 1], query[b : b + 1])
            torch.testing.assert_close(single.support[0, 0, 0], out.support[b, n, k])
            torch.testing.assert_close(single.query[0], out.query[b])

    def test_permuting_ways_and_queries_changes_no_loss(self):
        head = small()
        support, query = episode(way=3, shot=2, query=4)
        aux = extras(support, query)
        before = head(support, query, **aux).losses
        way, order = torch.tensor([2, 0, 1]), torch.tensor([1, 3, 0, 2])
        moved = {
            name: x[:, way if name.startswith("support") else order] for name, x in aux.items()
        }
        moved["labels"] = way.argsort()[moved["labels"]]
        after = head(support[:, way], query[:, order], **moved).losses
        assert set(before) == {"mask", "contrastive", "class"}
        for name, value in before.items():
            torch.testing.assert_close(after[name], value)
        assert (
            head(support[:, way], query, **aux).losses["contrastive"] - before["contrastive"]
        ).abs() > 1e-5

    def test_the_order_of_patches_means_nothing_without_instances(self):
        head = small(instance=False).eval()
        support, query = episode()
        torch.testing.assert_close(
            head(support, query.flip(-1, -2)).query, head(support, query).query
        )
        head = small().eval()
        assert (
            head(support, query.flip(-1, -2)).query - head(support, query).query
        ).abs().max() > 1e-3

    @pytest.mark.parametrize(
        "branches, sees", [({"temporal": False}, False), ({"spatial": False}, True)]
    )
    def test_only_the_temporal_branch_sees_other_frames(self, branches, sees):
        attention = small(**branches).eval().attention
        _, query = episode()
        changed = query.clone()
        changed[:, :, 2] += torch.tensor([1.0, 0.0, 0.5, -2.0])[:, None, None]
        moved = (attention(changed[0], changed[0]) - attention(query[0], query[0])).abs().amax(
            (0, 2)
        ) > 1e-9
        assert moved.tolist() == [sees, sees, True]

    def test_the_order_of_frames_counts_by_the_positions(self):
        head = small().eval()
        support, query = episode()
        assert (
            head(support, query.flip(2)).query[:, :, 0] - head(support, query).query[:, :, 0]
        ).abs().max() > 1e-3
        head.fusion.positions.data.copy_(head.fusion.positions.data[:1].expand(4, 4))
        back = head(support, query.flip(2)).query[:, :, [0, 3, 2, 1]]
        torch.testing.assert_close(back, head(support, query).query)


class TestSwitches:
    def test_every_switch_changes_the_result(self):
        base = small().eval()(*episode()).query
        for settings in (
            {"spatial": False},
            {"temporal": False},
            {"instance": False},
            {"fusion": "cross"},
            {"residual": False},
            {"positions": "sinusoid"},
            {"heads": 1},
        ):
            head = small(**settings).eval()
            # The shared weights are those of the whole head, so that what differs is the switch.
            head.load_state_dict(small().state_dict(), strict=False)
            assert (head(*episode()).query - base).abs().max() > 1e-3, settings

    @pytest.mark.parametrize("name", ["mask", "contrastive", "class"])
    def test_a_weight_scales_its_loss_and_zero_leaves_it_out(self, name):
        features = episode()
        aux = extras(*features)
        found = {w: small(**{f"{name}_weight": w})(*features, **aux) for w in (0, 0.1, 0.4)}
        torch.testing.assert_close(found[0.4].losses[name], 4 * found[0.1].losses[name])
        assert set(found[0].losses) == {"mask", "contrastive", "class"} - {name}
        assert torch.equal(found[0].query, found[0.4].query)
        for other in set(found[0].losses):
            torch.testing.assert_close(found[0].losses[other], found[0.4].losses[other])

    def test_losses_come_with_what_they_need_and_change_no_feature(self):
        features = episode()
        aux, head = extras(*features), small()
        plain = head(*features)
        assert plain.losses == {}
        for given, name in (
            ({"support_masks"}, "mask"),
            ({"query_masks"}, "mask"),
            ({"labels"}, "contrastive"),
            ({"support_classes"}, "class"),
            ({"query_classes"}, "class"),
        ):
            out = head(*features, **{key: aux[key] for key in given})
            assert set(out.losses) == {name}, given
            assert torch.equal(out.query, plain.query) and torch.equal(out.support, plain.support)
        assert set(small(classes=None)(*features, **aux).losses) == {"mask", "contrastive"}
        assert set(small(instance=False)(*features, **aux).losses) == {"contrastive", "class"}

    @pytest.mark.parametrize("name, keys", [("mask", "masks"), ("class", "classes")])
    def test_both_sides_count(self, name, keys):
        """The loss of support and query is the mean of both by their number of clips: here 2 and 6."""
        features = episode(way=2, query=6)
        aux, head = extras(*features), small()
        sides = [
            head(*features, **{k: aux[k]}).losses[name]
            for k in (f"support_{keys}", f"query_{keys}")
        ]
        torch.testing.assert_close(
            head(*features, **aux).losses[name], (2 * sides[0] + 6 * sides[1]) / 8
        )

    def test_the_decoder_runs_in_training_with_masks_only(self):
        calls = []
        head, features = small(), episode()
        aux = extras(*features)
        head.decoder.register_forward_hook(lambda *_: calls.append("decoder"))
        head.classifier.register_forward_hook(lambda *_: calls.append("classifier"))
        head(*features)
        assert head.eval()(*features, **aux).losses == {}
        assert calls == []
        head.train()(*features, **aux)
        assert calls == ["decoder", "decoder", "classifier"]

    def test_dropout_acts_in_training_only_and_where_it_is_said_to(self):
        torch.manual_seed(0)
        features = episode(dtype=torch.float32)
        for settings in ({"dropout": 0.5}, {"ffn_dropout": 0.5}):
            head = small(**settings).float()
            assert not torch.equal(head(*features).query, head(*features).query)
            assert torch.equal(
                head.eval()(*features).query, small().float().eval()(*features).query
            )
        rates = [
            m.p
            for m in I2ST(8, heads=2, dropout=0.3, ffn_dropout=0.1).modules()
            if isinstance(m, nn.Dropout)
        ]
        assert sorted(rates) == [0.1] * 4 + [0.3] * 5


class TestTraining:
    @pytest.mark.parametrize("branches", BRANCHES)
    @pytest.mark.parametrize("settings", SETTINGS)
    def test_gradients_reach_every_parameter(self, settings, branches):
        torch.manual_seed(0)
        head = I2ST(8, frames=3, heads=2, r=2, classes=CLASSES, **settings, **branches)
        features = episode(dim=8, shot=2, grid=(4, 4), dtype=torch.float32)
        out = head(*features, **extras(*features))
        logits = GlobalLocal()(out.support[..., 0, 0], out.query[..., 0, 0])
        labels = torch.tensor([0, 1])
        (F.cross_entropy(logits[0], labels) + sum(out.losses.values())).backward()
        assert [
            n
            for n, p in head.named_parameters()
            if p.grad is None or torch.count_nonzero(p.grad) == 0
        ] == []

    def test_without_aux_only_decoder_and_class_layer_learn_nothing(self):
        head, features = small(), episode()
        out = head(*features)
        (out.query.square().sum() + out.support.square().sum()).backward()
        without = {n.split(".")[0] for n, p in head.named_parameters() if p.grad is None}
        assert without == {"decoder", "classifier"}

    @pytest.mark.parametrize("fusion", ["self", "cross"])
    def test_half_precision_is_finite_and_losses_are_not_rounded(self, fusion):
        head = I2ST(16, frames=3, classes=CLASSES, fusion=fusion)
        features = episode(dim=16, dtype=torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            out = head(*features, **extras(*features))
        assert {value.dtype for value in out.losses.values()} == {torch.float32}
        (
            sum(out.losses.values()) + out.query.float().mean() + out.support.float().mean()
        ).backward()
        assert all(p.grad.isfinite().all() for p in head.parameters())

    def test_it_learns_masks_that_its_features_show(self):
        """A few steps on one episode whose foreground is one channel bring the mask loss down to a tenth."""
        torch.manual_seed(0)
        head = I2ST(8, frames=2, heads=2, r=1, mask_weight=1.0, dropout=0.0)
        support, query = episode(frames=2, dim=8, grid=(4, 4), dtype=torch.float32)
        masks = {
            "support_masks": (support[..., 0, :, :] > 0).float(),
            "query_masks": (query[..., 0, :, :] > 0).float(),
        }
        optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
        values = []
        for _ in range(150):
            loss = head(support, query, **masks).losses["mask"]
            optimizer.zero_grad(), loss.backward(), optimizer.step()
            values.append(loss.item())
        assert values[-1] < values[0] / 10


class TestFreeSizes:
    @pytest.mark.parametrize("grid", [(7, 7), (14, 14), (4, 4), (3, 6), (1, 1)])
    @pytest.mark.parametrize("way, shot, query", [(5, 1, 3), (3, 5, 1)])
    def test_one_head_takes_any_episode_and_grid(self, grid, way, shot, query):
        head = I2ST(8, frames=2, heads=2)
        features = episode(1, way, shot, query, 2, 8, grid, dtype=torch.float32)
        out = head(*features, **extras(*features))
        assert out.support.shape == (1, way, shot, 3, 8, 1, 1)
        assert out.query.shape == (1, query, 3, 8, 1, 1)
        assert all(value.isfinite() for value in out.losses.values())

    def test_sinusoidal_positions_take_any_number_of_frames(self):
        head = I2ST(8, heads=2, positions="sinusoid").eval()
        for frames in (1, 2, 11):
            assert (
                head(*episode(frames=frames, dim=8, dtype=torch.float32)).query.shape[2]
                == frames + 1
            )


class TestErrors:
    @pytest.mark.parametrize(
        "settings, words",
        [
            ({"fusion": "add"}, "fusion='add' is not valid; valid: 'self', 'cross'"),
            (
                {"fusion": "add", "instance": False},
                "fusion='add' is not valid; valid: 'self', 'cross'",
            ),
            ({"positions": None}, "positions=None is not valid; valid: 'learned', 'sinusoid'"),
            ({"instance": "yes"}, "instance='yes' is not valid; valid: True, False"),
            ({"spatial": "yes"}, "spatial='yes' is not valid; valid: True, False"),
            ({"temporal": None}, "temporal=None is not valid; valid: True, False"),
            ({"residual": 2}, "residual=2 is not valid; valid: True, False"),
            (
                {"spatial": False, "temporal": False},
                "spatial=False with temporal=False leaves no branch; set one of them, or take the head ipm for instance "
                "perception alone",
            ),
            ({"heads": 3}, "heads=3 is not valid; valid: 1, 2, 4, 8"),
            ({"heads": 0, "width": 4}, "heads=0 is not valid; valid: whole numbers from 1"),
            ({"width": 0}, "width=0 is not valid; valid: whole numbers from 1, or null"),
            ({"r": 3}, "r=3 is not valid; valid: 1, 2, 4, 8"),
            ({"r": 3, "instance": False}, "r=3 is not valid; valid: 1, 2, 4, 8"),
            ({"dim": 0}, "dim=0 is not valid; valid: whole numbers from 1"),
            ({"frames": 0}, "frames=0 is not valid; valid: whole numbers from 1"),
            ({"classes": 0}, "classes=0 is not valid; valid: whole numbers from 1, or null"),
            ({"mask_weight": -1}, "mask_weight=-1 is not valid; valid: numbers from 0"),
            ({"class_weight": "0.1"}, "class_weight='0.1' is not valid; valid: numbers from 0"),
            (
                {"contrastive_weight": None},
                "contrastive_weight=None is not valid; valid: numbers from 0",
            ),
            ({"dropout": 1.0}, "dropout=1.0 is not valid; valid: numbers from 0 to below 1"),
            (
                {"ffn_dropout": -0.1},
                "ffn_dropout=-0.1 is not valid; valid: numbers from 0 to below 1",
            ),
        ],
    )
    def test_a_bad_value_names_the_valid_ones(self, settings, words):
        with pytest.raises(FsarError) as caught:
            I2ST(**{"dim": 8} | settings)
        assert str(caught.value) == f"i2st: {words}"

    @pytest.mark.parametrize(
        "make, words",
        [
            ({"dim": 8}, "support has dim 8, the head was built for 4; use dim=8"),
            ({"frames": 6}, "support has 6 frames, the head was built for 3; use frames=6"),
        ],
    )
    def test_other_features_than_it_was_built_for(self, make, words):
        support, query = episode(**make)
        for features, side in (((support, query), "support"), ((episode()[0], query), "query")):
            with pytest.raises(FsarError) as caught:
                small()(*features)
            assert str(caught.value) == f"i2st: {words.replace('support', side)}"

    def test_another_number_of_axes(self):
        support, query = episode()
        with pytest.raises(FsarError) as caught:
            small()(support, query[0])
        assert str(caught.value) == (
            "i2st: query must be [batch query frames dim height width], got 5 axes: [2, 3, 4, 2, 3]"
        )

    def test_masks_of_another_episode(self):
        features = episode()
        aux = extras(*features)
        with pytest.raises(FsarError) as caught:
            small()(*features, support_masks=aux["support_masks"][:, :, :, :2])
        assert str(caught.value) == (
            "i2st: masks must be [1 2 1 3 mask_height mask_width] like their features, got [1, 2, 1, 2, 9, 14]"
        )


def test_every_setting_is_in_the_table_of_settings():
    """The six settings above take every value, and every pair of fusion and instance."""
    assert {(s["fusion"], s["instance"]) for s in SETTINGS} == set(
        product(("self", "cross"), (True, False))
    )
