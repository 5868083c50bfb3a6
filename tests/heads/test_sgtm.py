"""SGTM against its equations, the paper's parameter count, and what must hold whatever the weights."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fsar_core.components.registry import build, entry
from fsar_core.errors import FsarError
from fsar_core.heads.sgtm import SGTM
from fsar_core.layers.frame_classifier import FrameClassifier
from fsar_core.layers.temporal_masking import (
    GUIDED,
    MaskDecoder,
    TemporalMask,
    at_places,
    scattered,
    visible_places,
)
from fsar_core.layers.transformer import PositionedTransformer, Transformer, TransformerBlock
from tests.oracles import sgtm as oracle

TINY = dict(dim=8, frames=4, width=4, heads=2, masked=2)
PARAMETERS = entry("heads", "sgtm").parameters
STRATEGIES = PARAMETERS["mask"].choices[:-1]
RESNET50 = 23_508_032
# What expresses the rows of the paper's ablations.
ROWS = {
    "Table 3, baseline": dict(mask=None, encoder_layers=0),
    "Table 3, 1": dict(mask=None),
    "Table 3, 2": dict(mask="random"),
    "Table 3, ours": dict(),
    "Table 4, highest": dict(mask="top"),
    "Table 4, lowest": dict(mask="bottom"),
    "Table 4, middle": dict(mask="middle"),
    **{
        f"Table 5, {weight}": dict(reconstruction_weight=weight)
        for weight in (0, 0.1, 0.3, 0.5, 0.7, 0.9)
    },
    **{f"Figure 4, {masked}": dict(masked=masked) for masked in (0, 2, 4, 6)},
}


def random_state(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter away from its initial value, so that none can be forgotten unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.state_dict().values():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.5 + 0.2)
    return module


def head_of(seed: int = 0, dtype=torch.float64, **params) -> SGTM:
    return random_state(SGTM(**TINY | params), seed).to(dtype)


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def episode(
    batch=1, way=2, shot=1, query=2, frames=4, dim=8, grid=(2, 3), seed=1, dtype=torch.float64
):
    generator = torch.Generator().manual_seed(seed)
    support = torch.randn(batch, way, shot, frames, dim, *grid, generator=generator, dtype=dtype)
    return support, torch.randn(batch, query, frames, dim, *grid, generator=generator, dtype=dtype)


def scores_of(support: torch.Tensor, query: torch.Tensor, seed: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return dict(
        support_saliency=torch.randn(support.shape[:4], generator=generator),
        query_saliency=torch.randn(query.shape[:3], generator=generator),
    )


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def hidden_frames(mask: torch.Tensor) -> list[set[int]]:
    return [set(row.nonzero().flatten().tolist()) for row in mask]


class TestParameters:
    """The 37.2 M of section 4.2."""

    def test_all_with_resnet50(self):
        with torch.device("meta"):
            head = SGTM(2048, classes=64)
        assert count(head) == 13_699_136
        assert count(head) + RESNET50 == 37_207_168
        assert abs(count(head) + RESNET50 - 37.2e6) < 0.005 * 37.2e6

    def test_the_decomposition(self):
        with torch.device("meta"):
            head = SGTM(2048, classes=64)
        block = 8 * 512**2 + 11 * 512
        assert {name: count(module) for name, module in head.named_children()} == {
            "classifier": 512 * 2048 + 512 + 513 * 64,
            "encoder": 2 * block,
            "decoder": 2 * block + 512,
            "metric": 2 * block,
            "mask": 0,
        }
        assert block == 2_102_784 and count(head.classifier) == 1_081_920

    def test_what_is_trained_and_what_a_test_uses(self):
        with torch.device("meta"):
            head = SGTM(2048, classes=64)
            assert sum(p.numel() for p in head.parameters() if p.requires_grad) == 12_617_216
            assert count(SGTM(2048)) == 12_617_216
            assert count(SGTM(2048, mask=None)) == 4 * 2_102_784
            assert count(SGTM(2048, mask=None, encoder_layers=0)) == 2 * 2_102_784

    @pytest.mark.parametrize(
        "settings, millions",
        [({"width": 256}, 28.0), ({"mlp_ratio": 4}, 43.5), ({"width": 1024}, 75.0)],
    )
    def test_other_widths_do_not_fit(self, settings, millions):
        with torch.device("meta"):
            total = (count(SGTM(2048, classes=64, **settings)) + RESNET50) / 1e6
        assert total == pytest.approx(millions, abs=0.4) and abs(total - 37.2) > 0.005 * 37.2


class TestTemporalMask:
    @pytest.mark.parametrize("strategy", GUIDED)
    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_it_hides_the_frames_of_the_oracle(self, strategy, data):
        """Scores from a few values, so that ties are common; the frames hidden and visible are a partition."""
        frames = data.draw(st.integers(1, 9))
        masked = data.draw(st.sampled_from(range(0, frames, 2 if strategy == "saliency" else 1)))
        row = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 3.0]), min_size=frames, max_size=frames)
        scores = data.draw(st.lists(row, min_size=1, max_size=4))
        mask = TemporalMask(frames, masked, strategy)(
            torch.zeros(len(scores), frames, 2), torch.tensor(scores)
        )
        assert hidden_frames(mask) == [oracle.hidden(row, masked, strategy) for row in scores]
        assert (mask.sum(1) == masked).all()

    @pytest.mark.parametrize(
        "strategy, hidden",
        [
            ("saliency", {1, 6, 0, 4}),
            ("top", {1, 6, 2, 7}),
            ("bottom", {4, 0, 5, 3}),
            ("middle", {2, 7, 3, 5}),
        ],
    )
    def test_eight_frames_of_which_four_are_hidden(self, strategy, hidden):
        scores = torch.tensor([[-5.0, 9.0, 4.0, 1.0, -7.0, 0.0, 8.0, 3.0]])
        assert hidden_frames(TemporalMask(8, 4, strategy)(torch.zeros(1, 8, 2), scores)) == [hidden]

    def test_the_visible_half_of_saliency_is_what_middle_hides(self):
        scores = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
        videos = torch.zeros(20, 8, 2)
        assert torch.equal(
            TemporalMask(8, 4, "saliency")(videos, scores),
            ~TemporalMask(8, 4, "middle")(videos, scores),
        )

    @pytest.mark.parametrize(
        "strategy, hidden", [("saliency", {0, 3}), ("top", {0, 1}), ("bottom", {2, 3})]
    )
    def test_of_equal_frames_the_earlier_is_more_salient(self, strategy, hidden):
        assert hidden_frames(
            TemporalMask(4, 2, strategy)(torch.zeros(1, 4, 2), torch.zeros(1, 4))
        ) == [hidden]

    @pytest.mark.parametrize("masked", [0, 2, 4, 6])
    def test_ratios_of_figure_4(self, masked):
        scores = torch.randn(3, 8)
        mask = TemporalMask(8, masked, "saliency")(torch.zeros(3, 8, 2), scores)
        ranks = scores.argsort(dim=1, descending=True)
        for row, order in zip(hidden_frames(mask), ranks.tolist()):
            t1 = masked // 2
            assert row == set(order[:t1]) | set(order[8 - t1 :])

    def test_random_choices_are_all_alike_likely_and_follow_torchs_generator(self):
        mask, videos = TemporalMask(4, 2, "random"), torch.zeros(6000, 4, 2)
        torch.manual_seed(5)
        first = mask(videos)
        assert not torch.equal(first, mask(videos))
        torch.manual_seed(5)
        assert torch.equal(first, mask(videos))
        found = hidden_frames(first)
        shares = [found.count(set(pair)) / 6000 for pair in combinations(range(4), 2)]
        assert shares == pytest.approx([1 / 6] * 6, abs=0.02)

    def test_scores_whose_sigmoid_is_one_are_still_ranked(self):
        scores = torch.tensor([[40.0, 90.0, 50.0, 70.0]])
        mask, videos = TemporalMask(4, 2, "top"), torch.zeros(1, 4, 2)
        assert (scores.sigmoid() == 1).all()
        assert hidden_frames(mask(videos, scores)) == [{1, 3}]
        assert hidden_frames(mask(videos, scores.sigmoid())) == [{0, 1}]


class TestPlaces:
    @settings(max_examples=80, deadline=None)
    @given(data=st.data())
    def test_visible_and_hidden_places_are_a_partition_and_scatter_undoes_the_choice(self, data):
        frames, parts = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
        masked = data.draw(st.integers(0, frames - 1))
        gone = data.draw(
            st.lists(
                st.permutations(range(frames)).map(lambda p: set(p[:masked])),
                min_size=1,
                max_size=3,
            )
        )
        hidden = torch.tensor([[t in row for t in range(frames)] for row in gone])
        places = visible_places(hidden, masked, parts)
        assert places.tolist() == [oracle.visible_places(frames, row, parts) for row in gone]
        others = visible_places(~hidden, frames - masked, parts)
        assert torch.equal(
            torch.cat([places, others], 1).sort(1).values,
            torch.arange(frames * parts).expand(len(gone), -1),
        )

        tokens = torch.arange(1.0, len(gone) * frames * parts * 2 + 1).reshape(
            len(gone), frames * parts, 2
        )
        visible, mask_token = at_places(tokens, places), torch.tensor([-1.0, -2.0])
        back = scattered(visible, places, mask_token, frames * parts)
        for v in range(len(gone)):
            rows = [tokens[v, place].numpy() for place in places[v]]
            assert [row.tolist() for row in rows] == visible[v].tolist()
            expected = oracle.scatter(rows, places[v].tolist(), mask_token.numpy(), frames * parts)
            assert back[v].tolist() == [row.tolist() for row in expected]
        where = torch.ones(len(gone), frames * parts).scatter(1, places, 0.0).bool()
        assert torch.equal(back[~where], tokens[~where]) and (back[where] == mask_token).all()

    def test_tokens_are_frame_major(self):
        head = SGTM(**TINY)
        videos = torch.arange(32.0).reshape(1, 4, 8)
        tokens = head._tokens(videos)
        assert tokens[0, 2 * 3 + 1].tolist() == videos[0, 3, 4:].tolist()
        np.testing.assert_array_equal(tokens[0], oracle.tokens_of(videos[0].numpy(), 4))
        assert torch.equal(head._frames(tokens), videos)


class TestAgainstTheEquations:
    @pytest.mark.parametrize("heads, mlp_ratio", [(1, 1), (2, 2), (4, 3)])
    def test_a_block(self, heads, mlp_ratio):
        module = random_state(TransformerBlock(4, heads, mlp_ratio)).double().eval()
        tokens = torch.randn(2, 3, 4, dtype=torch.float64)
        for row, got in zip(tokens, module(tokens)):
            np.testing.assert_allclose(
                got.detach(), oracle.block(list(row.numpy()), arrays(module), heads), atol=1e-12
            )

    @pytest.mark.parametrize("layers", [0, 1, 2])
    def test_encoder_and_decoder(self, layers):
        options = dict(tokens=6, layers=layers, width=4, heads=2, position_scale=0.7)
        encoder = random_state(PositionedTransformer(**options)).double().eval()
        decoder = random_state(MaskDecoder(**options), seed=1).double().eval()
        places = torch.tensor([[0, 1, 4], [2, 3, 5]])
        latents = torch.randn(2, 3, 4, dtype=torch.float64)
        encoded, decoded = encoder(latents, places), decoder(latents, places)
        for v in range(2):
            rows, at = list(latents[v].numpy()), places[v].tolist()
            expected = oracle.encode(rows, at, arrays(encoder), 2, 0.7)
            np.testing.assert_allclose(encoded[v].detach(), expected, atol=1e-12)
            expected = oracle.decode(rows, at, 6, arrays(decoder), 2, 0.7)
            np.testing.assert_allclose(decoded[v].detach(), expected, atol=1e-12)

    def test_no_places_are_all_places_in_order(self):
        encoder = random_state(PositionedTransformer(tokens=6, width=4, heads=2)).double().eval()
        tokens = torch.randn(1, 6, 4, dtype=torch.float64)
        torch.testing.assert_close(encoder(tokens), encoder(tokens, torch.arange(6)[None]))

    @pytest.mark.parametrize(
        "params",
        [
            {},
            {"encoder_layers": 0},
            {"metric_layers": 0},
            {"mask": None},
            {"width": 8, "position_scale": 0.1},
        ],
    )
    def test_eq_6(self, params):
        head = head_of(**params).eval()
        width = params.get("width", 4)
        support, query = episode(batch=2, shot=2)
        got = head(support, query)
        assert got.support.shape == (2, 2, 2, 4, 8, 1, 1) and got.query.shape == (2, 2, 4, 8, 1, 1)
        assert got.losses == {}
        for features, found in ((support, got.support), (query, got.query)):
            videos, out = (
                features.mean((-2, -1)).flatten(0, -3).numpy(),
                found[..., 0, 0].flatten(0, -3),
            )
            for video, one in zip(videos, out.detach()):
                expected = oracle.matched(
                    video, arrays(head), width, 2, params.get("position_scale", 1.0)
                )
                np.testing.assert_allclose(one, expected, atol=1e-10)

    @pytest.mark.parametrize(
        "strategy, which", [*product(GUIDED, ("all",)), ("saliency", "masked"), ("top", "masked")]
    )
    def test_eq_3_to_5(self, strategy, which):
        head = head_of(
            mask=strategy, reconstruct=which, dropout=0.0, reconstruction_weight=0.3
        ).train()
        support, query = episode(batch=2, shot=2)
        scores = scores_of(support, query)
        got = head(support, query, **scores)
        assert set(got.losses) == {"reconstruction"}
        videos = [x.mean((-2, -1)).flatten(0, -3) for x in (support, query)]
        rows = [x.flatten(0, -2) for x in scores.values()]
        losses = [
            oracle.reconstruction(
                video.numpy(),
                oracle.hidden(row.tolist(), 2, strategy),
                arrays(head),
                4,
                2,
                1.0,
                which,
            )
            for video, row in zip(torch.cat(videos), torch.cat(rows))
        ]
        assert len(losses) == 2 * 2 * 2 + 2 * 2
        np.testing.assert_allclose(
            got.losses["reconstruction"].item(), 0.3 * np.mean(losses), rtol=1e-12
        )

    def test_mean_squared_error_of_torch(self):
        head = head_of(dropout=0.0)
        videos, hidden = (
            episode()[1].mean((-2, -1))[0],
            torch.tensor([[True, False, False, True]] * 2),
        )
        rebuilt = []
        head.decoder.register_forward_hook(lambda module, inputs, output: rebuilt.append(output))
        loss = head.reconstruction_loss(videos, hidden)
        torch.testing.assert_close(loss, nn.functional.mse_loss(head._frames(rebuilt[0]), videos))
        head.reconstruct = "masked"
        loss = head.reconstruction_loss(videos, hidden)
        torch.testing.assert_close(
            loss, nn.functional.mse_loss(head._frames(rebuilt[0])[hidden], videos[hidden])
        )

    def test_nothing_masked_rebuilds_what_is_given(self):
        head = head_of(masked=0, dropout=0.0).train()
        features = episode()
        loss = head(*features, **scores_of(*features)).losses["reconstruction"]
        videos = torch.cat([x.mean((-2, -1)).flatten(0, -3) for x in features]).numpy()
        expected = [
            oracle.reconstruction(video, set(), arrays(head), 4, 2, 1.0, "all") for video in videos
        ]
        np.testing.assert_allclose(loss.item(), 0.5 * np.mean(expected), rtol=1e-12)


class TestSaliency:
    @pytest.mark.parametrize("kernel", [1, 3])
    def test_live_is_what_a_store_of_the_same_scores_gives(self, kernel):
        live = head_of(
            saliency="live", classes=3, classifier_hidden=5, classifier_kernel=kernel, dropout=0.0
        )
        trained = random_state(FrameClassifier(8, 3, hidden=5, kernel=kernel), seed=9).double()
        live.load_classifier(trained.state_dict())
        stored = head_of(dropout=0.0)
        stored.load_state_dict(
            {k: v for k, v in live.state_dict().items() if not k.startswith("classifier")}
        )
        support, query = episode(batch=2)
        scores = [
            torch.tensor(
                [
                    oracle.actionness(video, arrays(trained))
                    for video in x.mean((-2, -1)).flatten(0, -3).numpy()
                ]
            ).unflatten(0, x.shape[:-4])
            for x in (support, query)
        ]
        got = live(support, query).losses["reconstruction"]
        torch.testing.assert_close(got, stored(support, query, *scores).losses["reconstruction"])
        # The scores matter: their opposites hide the same frames, others do not.
        turned = [x.roll(1, -1) for x in scores]
        assert abs(got - stored(support, query, *turned).losses["reconstruction"]) > 1e-6

    def test_the_classifier_is_frozen_and_scores_without_dropout(self):
        head = head_of(saliency="live", classes=3, mask="top").train()
        head.load_classifier(head.classifier.state_dict())
        assert head.training and head.encoder.training and not head.classifier.dropout.training
        assert not any(p.requires_grad for p in head.classifier.parameters())
        seen = []
        head.classifier.register_forward_hook(lambda module, inputs, output: seen.append(output))
        features = [x.requires_grad_() for x in episode()]
        head(*features), head(*features)
        assert torch.equal(seen[0], seen[1]) and not seen[0].requires_grad
        assert not head.eval().classifier.training and not head.train().classifier.training

    def test_scores_that_bfloat16_would_tie_are_told_apart(self):
        """Under autocast too the classifier computes at its own precision."""
        head = head_of(
            saliency="live",
            classes=1,
            classifier_hidden=1,
            mask="top",
            masked=1,
            dtype=torch.float32,
        )
        state = {
            name: torch.zeros_like(value) for name, value in head.classifier.state_dict().items()
        }
        state["inner.weight"][0, 0] = state["outer.weight"][0, 0] = 1.0
        head.load_classifier(state)
        features = episode(dtype=torch.float32, grid=(1, 1))
        for x in features:
            x[..., 0, 0, 0] = torch.tensor([256.0, 256.25, 256.5, 256.125])
        seen = []
        head.mask.register_forward_hook(lambda module, inputs, output: seen.append(output))
        with torch.autocast("cpu", torch.bfloat16):
            head.train()(*features)
        assert hidden_frames(seen[0]) == [{2}] * 4

    @pytest.mark.parametrize("mask", ["random", None])
    def test_a_mask_that_does_not_ask_needs_none(self, mask):
        head = head_of(mask=mask).train()
        out = head(*episode())
        assert set(out.losses) == ({"reconstruction"} if mask else set())

    def test_only_the_order_of_stored_scores_counts(self):
        head = head_of(dropout=0.0).train()
        features = episode(way=3)
        scores = scores_of(*features)
        loss = head(*features, **scores).losses["reconstruction"]
        for change in (lambda x: 3 * x + 7, torch.sigmoid, lambda x: x.double().exp()):
            same = {name: change(x) for name, x in scores.items()}
            assert head(*features, **same).losses["reconstruction"] == loss


class TestBranches:
    def calls(self, head: SGTM, **scores) -> list[tuple[str, int]]:
        """Which parts ran on how many tokens."""
        found = []

        def note(name):
            return lambda module, inputs, output: found.append((name, inputs[0].shape[1]))

        parts = ("mask", "encoder", "decoder", "metric", "classifier")
        hooks = [
            getattr(head, name).register_forward_hook(note(name))
            for name in parts
            if getattr(head, name)
        ]
        for module in head.modules():
            if (
                isinstance(module, MaskDecoder | TemporalMask | FrameClassifier)
                and not head.training
            ):
                for inner in module.modules():
                    hooks.append(inner.register_forward_hook(note(type(inner).__name__)))
        head(*episode(), **scores)
        for hook in hooks:
            hook.remove()
        return found

    @pytest.mark.parametrize("saliency", PARAMETERS["saliency"].choices)
    def test_only_encoder_and_metric_transformer_run_at_test(self, saliency):
        head = head_of(saliency=saliency, classes=3).eval()
        assert self.calls(head) == [("encoder", 8), ("metric", 8)]
        with torch.no_grad():
            before = head(*episode())
            random_state(head.decoder, seed=5), random_state(head.classifier, seed=6)
            after = head(*episode())
        assert torch.equal(before.support, after.support) and torch.equal(before.query, after.query)

    def test_training_matches_all_tokens_and_rebuilds_from_the_visible(self):
        head = head_of(saliency="live", classes=3).train()
        head.load_classifier(head.classifier.state_dict())
        assert self.calls(head) == [
            ("encoder", 8),
            ("metric", 8),
            ("classifier", 4),
            ("mask", 4),
            ("encoder", 4),
            ("decoder", 4),
        ]
        assert self.calls(head_of(mask=None).train()) == [("encoder", 8), ("metric", 8)]

    def test_hidden_frames_do_not_reach_the_reconstruction(self):
        head = head_of(dropout=0.0)
        rebuilt = []
        head.decoder.register_forward_hook(
            lambda module, inputs, output: rebuilt.append(head._frames(output))
        )
        videos = episode()[1].mean((-2, -1))[0]
        hidden = torch.tensor([[True, False, False, True]] * 2)
        head.reconstruction_loss(videos, hidden)
        for frame in range(4):
            changed = videos.clone()
            changed[:, frame] += 1.0
            head.reconstruction_loss(changed, hidden)
            assert torch.equal(rebuilt[0], rebuilt[-1]) == (frame in (0, 3))

    def test_without_weight_the_loss_it_trains_what_it_trains_without_mask(self):
        """Table 5, λ = 0, and Table 3, row 1: equal weights from equal seeds, equal dropout, equal gradients."""
        features = episode(dtype=torch.float32)
        scores, found = scores_of(*features), []
        for params in (dict(reconstruction_weight=0.0), dict(mask=None)):
            torch.manual_seed(0)
            head = SGTM(**TINY | params).train()
            torch.manual_seed(1)
            out = head(*features, **scores)
            (
                out.support.square().sum() + out.query.square().sum() + sum(out.losses.values())
            ).backward()
            grads = {n: p.grad for n, p in head.named_parameters() if not n.startswith("decoder")}
            found.append((out, grads))
        (first, first_grads), (second, second_grads) = found
        assert first.losses["reconstruction"] == 0 and second.losses == {}
        assert torch.equal(first.support, second.support) and torch.equal(first.query, second.query)
        assert first_grads.keys() == second_grads.keys()
        for name, grad in first_grads.items():
            assert torch.equal(grad, second_grads[name]), name

    @pytest.mark.parametrize("mask", STRATEGIES)
    def test_training_is_a_function_of_torchs_seed(self, mask):
        head = head_of(mask=mask, dropout=0.3).train()
        features = episode(batch=2, way=5)
        scores = scores_of(*features)
        found = []
        for seed in (3, 3, 4):
            torch.manual_seed(seed)
            out = head(*features, **scores)
            found.append((out.losses["reconstruction"].item(), out.query))
        assert found[0][0] == found[1][0] != found[2][0]
        assert torch.equal(found[0][1], found[1][1]) and not torch.equal(found[0][1], found[2][1])

    def test_random_masks_differ_from_draw_to_draw(self):
        head = head_of(mask="random", dropout=0.0).train()
        features = episode()
        losses = {head(*features).losses["reconstruction"].item() for _ in range(5)}
        assert len(losses) > 1


class TestGradients:
    @pytest.mark.parametrize(
        "params",
        [
            {},
            {"saliency": "live", "classes": 3},
            {"classes": 3, "reconstruct": "masked", "mask": "bottom"},
            {"mask": "random"},
            {"mask": None},
            {"detach_target": False},
        ],
    )
    def test_they_reach_every_trained_weight_and_no_other(self, params):
        head = head_of(dropout=0.0, **params).train()
        if head.classifier is not None:
            head.load_classifier(head.classifier.state_dict())
        features = [x.requires_grad_() for x in episode()]
        scores = {name: x.requires_grad_() for name, x in scores_of(*features).items()}
        out = head(*features, **scores)
        # Fixed random factors: the square of a LayerNorm's output, say, would hide a weight.
        weights = [torch.randn_like(x) for x in (out.support, out.query)]
        matched = (out.support * weights[0]).sum() + (out.query * weights[1]).sum()
        (matched + sum(out.losses.values())).backward()
        without = {
            n for n, p in head.named_parameters() if p.grad is None or not p.grad.count_nonzero()
        }
        assert {n for n in without if not n.startswith("classifier")} == set()
        frozen = {n for n, _ in head.named_parameters() if n.startswith("classifier")}
        assert without == frozen == {n for n, p in head.named_parameters() if not p.requires_grad}
        assert all(x.grad.count_nonzero() == x.numel() for x in features)
        assert all(x.grad is None for x in scores.values())

    @pytest.mark.parametrize("detach", [True, False])
    def test_the_target_gets_one_only_if_it_is_not_detached(self, detach):
        """Hidden frames appear in the loss as targets alone."""
        head = head_of(detach_target=detach, dropout=0.0)
        videos = episode()[1].mean((-2, -1))[0].requires_grad_()
        hidden = torch.tensor([[True, False, False, True], [False, True, True, False]])
        head.reconstruction_loss(videos, hidden).backward()
        assert (videos.grad[hidden].count_nonzero() == 0) == detach
        assert videos.grad[~hidden].count_nonzero() == videos.grad[~hidden].numel()

    def test_the_mask_branch_reaches_encoder_and_decoder_but_not_the_metric(self):
        head = head_of().train()
        features = episode()
        head(*features, **scores_of(*features)).losses["reconstruction"].backward()
        reached = {
            n.split(".")[0]
            for n, p in head.named_parameters()
            if p.grad is not None and p.grad.count_nonzero()
        }
        assert reached == {"encoder", "decoder"}

    def test_the_reconstruction_is_learnt(self):
        """A few steps on one episode halve the loss: mask, scatter and target fit together."""
        torch.manual_seed(0)
        head = SGTM(**TINY | dict(dropout=0.0)).train()
        features = episode(dtype=torch.float32, way=3)
        scores = scores_of(*features)
        optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
        losses = []
        for _ in range(60):
            loss = head(*features, **scores).losses["reconstruction"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]


class TestSymmetries:
    def test_a_batch_is_its_episodes(self):
        head = head_of(dropout=0.0).train()
        support, query = episode(batch=3, way=3, shot=2)
        scores = scores_of(support, query)
        together = head(support, query, **scores)
        losses = []
        for b in range(3):
            alone = head(
                support[b : b + 1], query[b : b + 1], **{n: x[b : b + 1] for n, x in scores.items()}
            )
            torch.testing.assert_close(alone.support[0], together.support[b])
            torch.testing.assert_close(alone.query[0], together.query[b])
            losses.append(alone.losses["reconstruction"])
        torch.testing.assert_close(torch.stack(losses).mean(), together.losses["reconstruction"])

    def test_the_order_of_videos_means_nothing(self):
        """In training: every video is masked by its own scores."""
        head = head_of(dropout=0.0).train()
        support, query = episode(way=3, shot=2, query=4)
        scores = scores_of(support, query)
        straight = head(support, query, **scores)
        way, order = [2, 0, 1], [3, 1, 0, 2]
        moved = head(
            support[:, way].flip(2),
            query[:, order],
            support_saliency=scores["support_saliency"][:, way].flip(2),
            query_saliency=scores["query_saliency"][:, order],
        )
        torch.testing.assert_close(moved.support, straight.support[:, way].flip(2))
        torch.testing.assert_close(moved.query, straight.query[:, order])
        torch.testing.assert_close(moved.losses, straight.losses)
        crossed = head(support[:, way].flip(2), query[:, order], **scores)
        assert abs(crossed.losses["reconstruction"] - straight.losses["reconstruction"]) > 1e-6

    def test_the_grid_is_averaged(self):
        head = head_of().eval()
        support, query = episode(grid=(3, 2))
        pooled = [x.mean((-2, -1), keepdim=True) for x in (support, query)]
        torch.testing.assert_close(head(support, query).query, head(*pooled).query)

    def test_the_order_of_frames_matters_through_the_positions_alone(self):
        support, query = episode()
        for scale, alike in ((0.0, True), (1.0, False)):
            head = head_of(position_scale=scale).eval()
            turned = head(support.flip(3), query.flip(2)).query.flip(2)
            assert torch.allclose(turned, head(support, query).query) == alike


class TestFreeSizes:
    @pytest.mark.parametrize("way, shot, query", [(5, 1, 3), (3, 5, 1), (1, 1, 1)])
    @pytest.mark.parametrize("grid", [(7, 7), (1, 1), (3, 6)])
    def test_one_head_takes_any_episode_and_grid(self, way, shot, query, grid):
        head = head_of(dtype=torch.float32).train()
        features = episode(1, way, shot, query, grid=grid, dtype=torch.float32)
        out = head(*features, **scores_of(*features))
        assert out.support.shape == (1, way, shot, 4, 8, 1, 1) and out.query.shape == (
            1,
            query,
            4,
            8,
            1,
            1,
        )
        assert out.losses["reconstruction"].isfinite()

    @pytest.mark.parametrize("frames, masked, width", [(1, 0, 8), (5, 4, 2), (8, 6, 1)])
    def test_other_frames_and_widths(self, frames, masked, width):
        head = head_of(frames=frames, masked=masked, width=width, heads=1).train()
        features = episode(frames=frames)
        out = head(*features, **scores_of(*features))
        assert out.support.shape[3] == frames and out.losses["reconstruction"].isfinite()

    @pytest.mark.parametrize("mask", STRATEGIES)
    def test_half_precision(self, mask):
        head = head_of(mask=mask, dtype=torch.float32).train()
        features = episode(dtype=torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            out = head(*features, **scores_of(*features))
        (
            out.support.float().mean() + out.query.float().mean() + out.losses["reconstruction"]
        ).backward()
        assert all(p.grad.isfinite().all() for p in head.parameters())

    def test_the_registry_builds_it_and_a_state_restores_it(self):
        head = build("heads", "sgtm", **TINY, classes=3)
        assert "mask.ranks" not in head.state_dict()
        other = head_of(classes=3, dtype=torch.float32)
        other.load_state_dict(head.state_dict())
        features = episode(dtype=torch.float32)
        assert torch.equal(head.eval()(*features).query, other.eval()(*features).query)


class TestDropout:
    def test_it_acts_in_training_only_after_every_dense_layer_but_the_first(self):
        head = head_of(dropout=0.4).train()
        features = episode()
        with torch.no_grad():
            assert not torch.equal(
                head(*features, **scores_of(*features)).query,
                head(*features, **scores_of(*features)).query,
            )
            assert torch.equal(head.eval()(*features).query, head.eval()(*features).query)
        block = TransformerBlock(64, 2, 2, 0.4).train()
        seen = []
        block.dropout.register_forward_hook(
            lambda module, inputs, output: seen.append((output == 0).float().mean().item())
        )
        block(torch.randn(4, 50, 64))
        assert seen == pytest.approx([0.4] * 3, abs=0.03)
        assert {m.p for m in head.modules() if isinstance(m, nn.Dropout)} == {0.4}


class TestTables:
    """Every row of the ablations is a head."""

    @pytest.mark.parametrize("row", ROWS)
    def test_a_row_trains(self, row):
        params = ROWS[row]
        head = head_of(frames=8, **dict(masked=4) | params).train()
        assert isinstance(head.metric, Transformer) and len(head.metric.blocks) == 2
        features = episode(frames=8)
        out = head(*features, **scores_of(*features))
        assert len(out.losses) == (0 if params.get("mask", "saliency") is None else 1)


class TestErrors:
    @pytest.mark.parametrize(
        "settings, words",
        [
            (
                {"mask": "tube"},
                "mask='tube' is not valid; valid: 'saliency', 'random', 'top', 'bottom', 'middle', or null",
            ),
            ({"saliency": "cache"}, "saliency='cache' is not valid; valid: 'store', 'live'"),
            (
                {"reconstruct": "visible"},
                "reconstruct='visible' is not valid; valid: 'all', 'masked'",
            ),
            ({"detach_target": "no"}, "detach_target='no' is not valid; valid: True, False"),
            ({"width": 3}, "width=3 is not valid; valid: 1, 2, 4, 8"),
            ({"heads": 3}, "heads=3 is not valid; valid: 1, 2, 4"),
            ({"mlp_ratio": 0}, "mlp_ratio=0 is not valid; valid: whole numbers from 1"),
            ({"encoder_layers": -1}, "encoder_layers=-1 is not valid; valid: whole numbers from 0"),
            (
                {"decoder_layers": 1.0},
                "decoder_layers=1.0 is not valid; valid: whole numbers from 0",
            ),
            ({"metric_layers": "2"}, "metric_layers='2' is not valid; valid: whole numbers from 0"),
            ({"masked": 3}, "masked=3 is not valid; valid: 0, 2"),
            ({"masked": 4}, "masked=4 is not valid; valid: 0, 2"),
            ({"masked": 4, "mask": "top"}, "masked=4 is not valid; valid: 0, 1, 2, 3"),
            ({"masked": -1, "mask": None}, "masked=-1 is not valid; valid: whole numbers from 0"),
            ({"frames": 0}, "frames=0 is not valid; valid: whole numbers from 1"),
            ({"dim": 0}, "dim=0 is not valid; valid: whole numbers from 1"),
            ({"dropout": 1.0}, "dropout=1.0 is not valid; valid: numbers from 0 to below 1"),
            (
                {"reconstruction_weight": -0.5},
                "reconstruction_weight=-0.5 is not valid; valid: numbers from 0",
            ),
            ({"position_scale": "1"}, "position_scale='1' is not valid; valid: numbers from 0"),
            (
                {"saliency": "live"},
                "saliency='live' needs its own classifier; set classes to the number of training classes",
            ),
            (
                {"reconstruct": "masked", "masked": 0},
                "reconstruct='masked' has nothing to rebuild with masked=0; set reconstruct='all'",
            ),
        ],
    )
    def test_a_bad_value_names_the_valid_ones(self, settings, words):
        with pytest.raises(FsarError) as caught:
            SGTM(**TINY | settings)
        assert str(caught.value) == f"sgtm: {words}"

    @pytest.mark.parametrize("mask", GUIDED)
    def test_training_without_the_saliency_it_needs(self, mask):
        head = head_of(mask=mask).train()
        features = episode(batch=2)
        scores = scores_of(*features)
        wanted = {"support": "[2, 2, 1, 4]", "query": "[2, 2, 4]"}
        for name, shape in wanted.items():
            kept = {key: x for key, x in scores.items() if not key.startswith(name)}
            with pytest.raises(FsarError) as caught:
                head(*features, **kept)
            assert str(caught.value) == (
                f"sgtm: training with mask='{mask}' and saliency='store' needs {name}_saliency {shape}, got none; "
                f"store the actionness of the frames, or set saliency='live'"
            )
        with pytest.raises(FsarError, match=r"needs query_saliency \[2, 2, 4\], got \[2, 2, 3\]"):
            head(*features, scores["support_saliency"], scores["query_saliency"][..., :3])
        assert head.eval()(*features).losses == {}

    def test_live_without_a_trained_classifier(self):
        head = head_of(saliency="live", classes=3).train()
        with pytest.raises(
            FsarError, match="saliency='live' needs a trained classifier; train one"
        ):
            head(*episode())
        assert head.eval()(*episode()).losses == {}

    def test_another_classifier(self):
        head = head_of(saliency="live", classes=3, classifier_hidden=5)
        with pytest.raises(FsarError) as caught:
            head.load_classifier(FrameClassifier(8, 4, hidden=5).state_dict())
        assert "'outer.bias': [4]}, expected {" in str(caught.value) and "\n" not in str(
            caught.value
        )
        with pytest.raises(FsarError, match="the head has no classifier to load; set classes"):
            head_of().load_classifier({})

    @pytest.mark.parametrize(
        "make, words",
        [
            ({"dim": 4}, "support has dim 4, the head was built for 8; use dim=4"),
            ({"frames": 6}, "support has 6 frames, the head was built for 4; use frames=6"),
        ],
    )
    def test_other_features_than_it_was_built_for(self, make, words):
        head = head_of().eval()
        support, query = episode(**make)
        with pytest.raises(FsarError) as caught:
            head(support, query)
        assert str(caught.value) == f"sgtm: {words}"
        with pytest.raises(FsarError) as caught:
            head(episode()[0], query)
        assert str(caught.value) == f"sgtm: {words.replace('support', 'query')}"

    def test_another_number_of_axes(self):
        support, query = episode()
        with pytest.raises(FsarError) as caught:
            head_of()(support, query[0])
        assert str(caught.value) == (
            "sgtm: query must be [batch query frames dim height width], got 5 axes: [2, 4, 8, 2, 3]"
        )
