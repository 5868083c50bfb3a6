"""Φ_cls against Eq. 1-2, and its training on sets whose solution is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fsar_core.errors import FsarError
from fsar_core.layers.frame_classifier import FrameClassifier, actionness, saliency
from fsar_core.saliency.classifier import score, train_classifier, video_logits
from tests.oracles import sgtm as oracle

FAST = dict(epochs=12, batch=8, lr=0.01, hidden=16, dropout=0.2)


def random_classifier(**params) -> FrameClassifier:
    torch.manual_seed(0)
    return FrameClassifier(**dict(dim=5, classes=3, hidden=4) | params).double().eval()


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def toy_clips(classes: int, clips: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips of 4 frames, noise in twice as many channels as classes; the odd frames of a clip show its class."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(clips) % classes
    features = 0.3 * torch.randn(clips, 4, 2 * classes, generator=generator)
    features[torch.arange(clips), 1, labels] += 2.0
    features[torch.arange(clips), 3, labels] += 2.0
    return features, labels


@pytest.fixture(scope="module")
def separable() -> tuple[torch.Tensor, torch.Tensor]:
    return toy_clips(classes=3, clips=42)


class TestScores:
    @pytest.mark.parametrize("rectified", [True, False])
    @pytest.mark.parametrize("kernel", [1, 3, 5])
    def test_eq_1_and_2(self, kernel, rectified):
        module = random_classifier(kernel=kernel, rectified=rectified)
        videos = torch.randn(2, 3, 4, 5, dtype=torch.float64)
        scores = module(videos)
        assert scores.shape == (2, 3, 4, 3) and (scores.min() == 0) == rectified
        for at in np.ndindex(2, 3):
            video = videos[at].numpy()
            np.testing.assert_allclose(
                scores[at].detach(),
                oracle.class_scores(video, arrays(module), rectified),
                atol=1e-12,
            )
            expected = np.array(oracle.actionness(video, arrays(module), rectified))
            np.testing.assert_allclose(actionness(scores)[at].detach(), expected, atol=1e-12)
            np.testing.assert_allclose(
                saliency(scores)[at].detach(), 1 / (1 + np.exp(-expected)), atol=1e-12
            )

    def test_a_kernel_of_one_frame_sees_no_other(self):
        videos = torch.randn(2, 4, 5, dtype=torch.float64)
        changed = videos.clone()
        changed[:, 2] += 1.0
        moved = {}
        for kernel in (1, 3):
            module = random_classifier(kernel=kernel)
            moved[kernel] = (module(videos) != module(changed)).any(-1).any(0).tolist()
        assert moved[1] == [False, False, True, False]
        assert moved[3][2] and sum(moved[3]) > 1

    def test_large_scores_tie_in_the_sigmoid_and_not_in_the_actionness(self):
        scores = torch.tensor([30.0, 60.0, 40.0, 50.0])[:, None].expand(4, 2)
        assert (saliency(scores) == 1).all()
        assert actionness(scores).tolist() == [60.0, 120.0, 80.0, 100.0]

    def test_a_video_has_the_mean_scores_of_its_frames(self):
        scores = torch.tensor([[1.0, 2.0], [5.0, -4.0]])
        assert video_logits(scores).tolist() == [3.0, -1.0]

    def test_dropout_acts_in_training_only(self):
        module = random_classifier(dropout=0.9, hidden=64)
        videos = torch.randn(1, 4, 5, dtype=torch.float64)
        assert torch.equal(module(videos), module(videos))
        module.train()
        assert not torch.equal(module(videos), module(videos))

    def test_parameters_of_the_fit_to_37_2_m(self):
        with torch.device("meta"):
            module = FrameClassifier(2048, 64)
        assert (
            sum(p.numel() for p in module.parameters())
            == 2048 * 512 + 512 + 512 * 64 + 64
            == 1_081_920
        )


class TestTraining:
    @pytest.mark.parametrize("loss", ["cross_entropy", "binary"])
    @pytest.mark.parametrize("precision", [torch.float32, torch.float16])
    def test_a_separable_set_is_learnt(self, separable, loss, precision):
        features, labels = separable
        rectified = loss != "binary"
        state, history = train_classifier(
            features.to(precision), labels, loss=loss, rectified=rectified, **FAST
        )
        assert [row["epoch"] for row in history] == list(range(12))
        assert history[-1]["loss"] < 0.3 * history[0]["loss"]
        assert history[-1]["accuracy"] > 0.95 > history[0]["accuracy"]
        classifier = FrameClassifier(6, 3, hidden=16, rectified=rectified).eval()
        classifier.load_state_dict(state)
        assert (video_logits(classifier(features)).argmax(1) == labels).all()
        # Whichever frames show the class tell it, the others do not.
        by_frame = (classifier(features).argmax(-1) == labels[:, None]).float().mean(0)
        assert by_frame[[1, 3]].min() == 1.0 and by_frame[[0, 2]].max() < 0.8

    def test_labels_that_say_nothing_are_not(self, separable):
        """On clips that were not trained on; otherwise the test above could not fail."""
        features, labels = separable
        shuffled = labels[torch.randperm(42, generator=torch.Generator().manual_seed(0))]
        state, _ = train_classifier(features[:21], shuffled[:21], **FAST)
        classifier = FrameClassifier(6, 3, hidden=16).eval()
        classifier.load_state_dict(state)
        assert (
            video_logits(classifier(features[21:])).argmax(1) == labels[21:]
        ).float().mean() < 0.8

    def test_it_is_a_function_of_its_arguments(self, separable):
        options = FAST | dict(epochs=2)
        first, first_history = train_classifier(*separable, **options)
        torch.manual_seed(77)
        np.random.seed(77)
        second, second_history = train_classifier(*separable, **options)
        assert (
            all(torch.equal(first[key], second[key]) for key in first)
            and first_history == second_history
        )
        for change in (
            dict(seed=1),
            dict(batch=7),
            dict(dropout=0.0),
            dict(weight_decay=0.5),
            dict(lr=0.02),
        ):
            other, _ = train_classifier(*separable, **options | change)
            assert not torch.equal(first["outer.weight"], other["outer.weight"]), change

    def test_every_clip_counts_once_an_epoch(self, separable):
        """Also those of a last, smaller batch: without learning, the loss is the mean over all clips."""
        features, labels = separable
        options = FAST | dict(epochs=3, lr=0.0, dropout=0.0)
        state, history = train_classifier(features, labels, **options)
        classifier = FrameClassifier(6, 3, hidden=16).eval()
        classifier.load_state_dict(state)
        logits = video_logits(classifier(features))
        assert [row["loss"] for row in history] == pytest.approx(
            [nn.functional.cross_entropy(logits, labels).item()] * 3
        )
        hits = (logits.argmax(1) == labels).float().mean().item()
        assert [row["accuracy"] for row in history] == pytest.approx([hits] * 3)

    def test_binary_loss_is_one_question_a_class(self, separable):
        features, labels = separable
        options = FAST | dict(epochs=1, lr=0.0, dropout=0.0)
        state, history = train_classifier(
            features, labels, loss="binary", rectified=False, **options
        )
        classifier = FrameClassifier(6, 3, hidden=16, rectified=False).eval()
        classifier.load_state_dict(state)
        p = video_logits(classifier(features)).sigmoid().detach().numpy()
        expected = 0.0
        for clip, label in enumerate(labels):
            for c in range(3):
                expected -= np.log(p[clip, c] if c == label else 1 - p[clip, c]) / len(labels)
        assert history[0]["loss"] == pytest.approx(expected, rel=1e-4)

    def test_a_softmax_does_not_see_what_the_actionness_sums(self, separable):
        """The gradient at the output weights, summed over the classes, is zero; that of the binary loss is not, nor that
        behind the last ReLU."""
        features, labels = separable
        classifier = random_classifier(dim=6, hidden=16, rectified=False)
        wanted = nn.functional.one_hot(labels, 3).double()

        def logits(rectified):
            classifier.rectified = rectified
            return video_logits(classifier(features.double()))

        for loss, blind in (
            (nn.functional.cross_entropy(logits(False), labels), True),
            (nn.functional.cross_entropy(logits(True), labels), False),
            (nn.functional.binary_cross_entropy_with_logits(logits(False), wanted), False),
        ):
            (grad,) = torch.autograd.grad(loss, classifier.outer.weight, retain_graph=True)
            assert grad.abs().max() > 1e-3
            assert (grad.sum(0).abs().max() < 1e-12) == blind

    @pytest.mark.parametrize("rectified", [True, False])
    def test_frames_that_show_a_class_come_first_behind_the_last_relu_alone(self, rectified):
        """Of 8 classes, on clips that were not trained on. Without it, the frames that show nothing come first."""
        features, labels = toy_clips(classes=8, clips=160)
        share = []
        for seed in range(3):
            state, _ = train_classifier(
                features[:80], labels[:80], rectified=rectified, seed=seed, **FAST
            )
            classifier = FrameClassifier(16, 8, hidden=16, rectified=rectified)
            classifier.load_state_dict(state)
            scores = score(classifier, features[80:])
            share.append((scores[:, [1, 3], None] > scores[:, None, [0, 2]]).float().mean().item())
        assert min(share) > 0.6 if rectified else max(share) < 0.1

    def test_more_classes_than_labels_name(self, separable):
        state, _ = train_classifier(*separable, **FAST | dict(epochs=1), classes=7)
        assert state["outer.bias"].shape == (7,)
        assert state.keys() == FrameClassifier(6, 7).state_dict().keys()


class TestScoring:
    @pytest.mark.parametrize("batch", [1, 4, 5, 99])
    def test_batches_change_nothing(self, separable, batch):
        features, _ = separable
        classifier = random_classifier(dim=6, kernel=3).float()
        expected = actionness(classifier(features)).detach()
        got = score(classifier, features, batch)
        torch.testing.assert_close(got, expected)
        assert got.shape == (42, 4) and got.dtype == torch.float32 and not got.requires_grad

    def test_it_scores_in_evaluation_mode_and_leaves_the_mode(self, separable):
        features, _ = separable
        classifier = random_classifier(dim=6, dropout=0.9, hidden=32).float().train()
        assert torch.equal(score(classifier, features), score(classifier, features))
        assert classifier.training and classifier.dropout.training
        score(classifier.eval(), features)
        assert not classifier.training

    def test_half_precision_features(self, separable):
        features, _ = separable
        classifier = random_classifier(dim=6).float()
        torch.testing.assert_close(
            score(classifier, features.half()), score(classifier, features.half().float())
        )


class TestErrors:
    @pytest.mark.parametrize(
        "settings, words",
        [
            ({"dim": 0}, "dim=0 is not valid; valid: whole numbers from 1"),
            ({"classes": 0}, "classes=0 is not valid; valid: whole numbers from 1"),
            ({"hidden": 1.5}, "hidden=1.5 is not valid; valid: whole numbers from 1"),
            ({"kernel": 2}, "kernel=2 is not valid; valid: odd numbers"),
            ({"kernel": 0}, "kernel=0 is not valid; valid: whole numbers from 1"),
            ({"dropout": 1.0}, "dropout=1.0 is not valid; valid: numbers from 0 to below 1"),
            ({"dropout": "0.1"}, "dropout='0.1' is not valid; valid: numbers from 0 to below 1"),
        ],
    )
    def test_a_bad_value_names_the_valid_ones(self, settings, words):
        with pytest.raises(FsarError) as caught:
            FrameClassifier(**dict(dim=5, classes=3) | settings)
        assert str(caught.value) == f"saliency: {words}"

    @pytest.mark.parametrize(
        "change, words",
        [
            (
                {"features": torch.zeros(4, 2, 5, 1, 1)},
                "features must be [clips frames dim] and labels [clips]",
            ),
            ({"features": torch.zeros(3, 2, 5)}, "clips at least 1, got [3, 2, 5] and [4]"),
            (
                {"features": torch.zeros(0, 2, 5), "labels": torch.zeros(0).long()},
                "got [0, 2, 5] and [0]",
            ),
            ({"labels": torch.zeros(4)}, "labels must be int64, got torch.float32"),
            ({"labels": torch.tensor([0, 1, -1, 2])}, "labels run from -1 to 2, expected 0 to 2"),
            ({"classes": 2}, "labels run from 0 to 2, expected 0 to 1; number the classes anew"),
            (
                {"loss": "binary"},
                "loss='binary' needs scores below 0; set rectified=False, or loss='cross_entropy'",
            ),
            ({"loss": "focal"}, "loss='focal' is not valid; valid: 'cross_entropy', 'binary'"),
            ({"epochs": 0}, "epochs=0 is not valid; valid: whole numbers from 1"),
            ({"batch": 0}, "batch=0 is not valid; valid: whole numbers from 1"),
        ],
    )
    def test_what_does_not_fit_is_one_line(self, change, words):
        good = dict(features=torch.zeros(4, 2, 5), labels=torch.tensor([0, 1, 2, 0]))
        with pytest.raises(FsarError) as caught:
            train_classifier(**good | change)
        assert str(caught.value).startswith("saliency: ") and words in str(caught.value)
        assert "\n" not in str(caught.value)
