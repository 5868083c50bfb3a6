"""Predicted against true masks: overlaps by hand, a head that knows the masks and one that does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fsar_core.components.head import Head
from fsar_core.data.held_out import held_out
from fsar_core.episodes.loader import FeatureBank, FrameBank
from fsar_core.errors import FsarError
from fsar_core.evaluation import mask_quality
from fsar_core.inputs.instance_masks import MaskSource
from fsar_core.specs import Component
from tests.builders import toy_index
from tests.training.toys import MACHINE, ArrayReader, model_of, run_spec


def cut(*rows) -> torch.Tensor:
    """One clip, a frame a text: `#` where the mask is."""
    return torch.tensor([[[[letter == "#" for letter in row]] for row in rows]])


def test_overlap_by_hand():
    """1 of 3 places in the first frame, 2 of 2 in the second; nothing in the third; in the fourth something that is not there."""
    predicted = cut("##..", "##..", "....", "#...")
    true = cut(".##.", "##..", "....", "....")
    assert mask_quality.overlap(predicted, true).tolist() == pytest.approx([(1 / 3 + 1 + 0) / 3])
    assert mask_quality.overlap(true, predicted).tolist() == pytest.approx([(1 / 3 + 1 + 0) / 3])
    nothing = cut("....", "....")
    assert mask_quality.overlap(
        torch.cat([nothing, true[:, :2]]), torch.cat([nothing, true[:, :2]])
    ).isnan().tolist() == [
        True,
        False,
    ]


def test_the_cut_of_the_mean_mask_by_hand():
    """Three clips of a frame of four places: [# # . .] twice and [# . . .]. Cut below 2/3 the mean overlaps by 1, 1 and 1/2, cut
    above it by 1/2, 1/2 and 1."""
    true = torch.cat([cut("##.."), cut("##.."), cut("#...")])
    mean = true.float().mean(0, keepdim=True)
    assert mask_quality.best_cut(mean, true) == 0
    level = mask_quality.best_cut(mean, torch.cat([cut("##.."), cut("#..."), cut("#...")]))
    assert 0.66 < level < 1


def test_clips_are_chosen_of_what_is_sound():
    index = toy_index({"train": 3, "val": 2, "test": 2}, clips=20)
    held = held_out(index, 0.2, 0)
    measured, others = mask_quality.choose(index, frozenset(), 0.2, 0, 1000)
    assert measured.tolist() == held.tolist() and sorted([*measured, *others]) == list(range(60))
    failed = frozenset(held[:2].tolist())
    assert mask_quality.choose(index, failed, 0.2, 0, 1000)[0].tolist() == held[2:].tolist()
    few, others = mask_quality.choose(index, frozenset(), 0.2, 0, 6)
    assert len(few) == len(others) == 6 and set(few // 20) == set(others // 20) == {0, 1, 2}
    with pytest.raises(
        FsarError,
        match=r"^0 sound clips with held-out masks and 10 others: nothing can be compared; ch",
    ):
        mask_quality.choose(index, frozenset(), 0.0, 0, 10)


FRAMES, GRID, CROP = 2, 2, 32


class Reveals(Head):
    """An encoder and a decoder that tell the first channel, four times as large."""

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Identity()

    def encode(self, clips):
        return clips

    def decoder(self, instances):
        return instances[..., 0, :, :].repeat_interleave(4, -2).repeat_interleave(4, -1)


def stores(clips=30):
    """Features whose first channel is the mask of its patch: frame 0 mostly on the left, frame 1 one patch; masks 4 pixels wider
    than their crop on every side; frames that show their clip's number."""
    random = np.random.default_rng(0)
    patches = np.zeros((clips, 1, FRAMES, GRID, GRID), np.float32)
    for clip in range(clips):
        patches[clip, 0, 0, :, int(random.random() < 0.2)] = 1
        patches[clip, 0, 1, int(random.integers(2)), int(random.integers(2))] = 1
    features = np.concatenate(
        [patches[:, :, :, None], random.random((clips, 1, FRAMES, 3, GRID, GRID))], 3
    )
    side = CROP // GRID
    masks = np.pad(patches.repeat(side, -1).repeat(side, -2), [(0, 0)] * 3 + [(4, 4)] * 2)
    frames = (
        np.zeros((clips, 1, FRAMES, CROP + 8, CROP + 8, 3), np.uint8)
        + np.arange(clips)[:, None, None, None, None, None]
    )
    return features.astype(np.float32), (255 * masks).astype(np.uint8), frames.astype(np.uint8)


def quality(head, measured, others, shown=3, masks=None):
    features, sharp_masks, frames = stores()
    masks = sharp_masks if masks is None else masks
    spec = run_spec("bimhm").model_copy(update={"head": Component(name="ipm", params={"r": 1})})
    torch.manual_seed(0)
    model = model_of(spec, dim=4)
    if head is not None:
        model.head = head
    rows = np.arange(len(features))
    cropped = spec.features.model_copy(update={"crop": CROP})
    return mask_quality.mask_quality(
        model,
        FeatureBank(ArrayReader(features), rows, 1.0),
        MaskSource(ArrayReader(masks), cropped).load(rows, 1.0),
        FrameBank(ArrayReader(frames), rows, 1.0, crop=CROP),
        measured,
        others,
        shown,
        MACHINE,
    ), features[:, 0, :, 0]


def test_a_head_that_knows_and_the_mean_mask():
    measured, others = np.arange(0, 30, 3), np.setdiff1d(np.arange(30), np.arange(0, 30, 3))
    found, patches = quality(Reveals(), measured, others)
    assert found["rows"].tolist() == measured.tolist() and found["iou"].tolist() == [1.0] * 10
    assert found["tuned_iou"].tolist() == [1.0] * 10 and found["others"] == 20
    mean = patches[others].mean(0)

    def overlaps(level, rows):
        usual, true = mean > level, patches[rows] > 0.5
        return ((usual & true).sum((-2, -1)) / (usual | true).sum((-2, -1))).mean(-1)

    np.testing.assert_allclose(found["mean_iou"], overlaps(found["mean_level"], measured))
    # No other cut does better on the clips that the mean is of.
    best = max(overlaps(level, others).mean() for level in [0.0, *np.unique(mean)[:-1]])
    assert overlaps(found["mean_level"], others).mean() == pytest.approx(best)


def test_a_faint_head_is_right_at_its_own_cut():
    class Faint(Reveals):
        def decoder(self, instances):
            return 0.2 * super().decoder(instances) - 0.05

    found, _ = quality(Faint(), np.arange(10), np.arange(10, 30))
    assert found["iou"].tolist() == [0.0] * 10 and found["tuned_iou"].tolist() == [1.0] * 10
    assert 0 <= found["level"] < 0.15


def test_a_pixel_at_the_cut_is_not_part_of_the_mask():
    class Undecided(Reveals):
        """Predicts 0.5 on the mask and 0 elsewhere."""

        def decoder(self, instances):
            return 0.5 * super().decoder(instances)

    qualities, _ = quality(Undecided(), np.arange(10), np.arange(10, 30))
    assert qualities["iou"].tolist() == [0.0] * 10
    assert qualities["tuned_iou"].tolist() == [1.0] * 10


def test_a_pixel_half_covered_by_a_true_mask_does_not_belong_to_it():
    """Stripes of one column average to exactly 0.5 at the decoder's resolution."""
    striped = np.zeros_like(stores()[1])
    striped[..., ::2] = 255
    qualities, _ = quality(Reveals(), np.arange(10), np.arange(10, 30), masks=striped)
    assert qualities["0.true"].min() == qualities["0.true"].max() == 0.5
    assert qualities["iou"].tolist() == [0.0] * 10


def test_masks_are_predicted_in_evaluation_mode():
    """A head in training would drop half of what it sees."""

    class Dropping(Reveals):
        def __init__(self):
            super().__init__()
            self.encoder = torch.nn.Dropout(0.5)

    measured, others = np.arange(10), np.arange(10, 30)
    dropping, _ = quality(Dropping().train(), measured, others)
    assert dropping["iou"].tolist() == dropping["tuned_iou"].tolist() == [1.0] * 10


def test_the_cut_is_chosen_on_the_others_alone():
    """On the measured clips a predicted mask is fainter than what the head adds to every patch of the others."""

    class Shy(Reveals):
        """Of clip n: 1 on the mask and 0.6 beside it for the others, 0.5 and 0.1 for the measured."""

        calls = 0

        def decoder(self, instances):
            found = super().decoder(instances)
            self.calls += 1
            return 0.1 + 0.4 * found if self.calls == 1 else 0.6 + 0.4 * found

    found, patches = quality(Shy(), np.arange(10), np.arange(10, 20))
    assert 0.6 <= found["level"] < 1.0
    assert found["tuned_iou"].tolist() == [0.0] * 10
    mean = patches[10:20].mean(0)
    assert found["mean_level"] < mean.max() and found["others"] == 10


def test_examples_are_spread_over_the_clips():
    measured = np.arange(5, 25)
    found, patches = quality(Reveals(), measured, np.arange(5))
    assert [int(found[f"{i}.row"]) for i in range(3)] == [5, 15, 24] and "3.row" not in found
    for number, row in enumerate((5, 15, 24)):
        assert (
            found[f"{number}.frames"].shape == (FRAMES, 3, CROP, CROP)
            and (found[f"{number}.frames"] == row).all()
        )
        large = patches[row].repeat(4, -1).repeat(4, -2)
        np.testing.assert_array_equal(found[f"{number}.predicted"], large)
        np.testing.assert_allclose(found[f"{number}.true"], large)


def test_an_untrained_head_goes_through_its_own_encoder_and_decoder():
    found, _ = quality(None, np.arange(4), np.arange(4, 30), shown=1)
    assert found["0.predicted"].shape == (FRAMES, 8, 8) and found["iou"].max() < 1
    again, _ = quality(None, np.arange(4), np.arange(4, 30), shown=1)
    assert all(np.array_equal(found[name], again[name], equal_nan=True) for name in found)
