"""What every prompted teacher does alike, by one whose masks can be told beforehand: a pixel's logit is its red value less 100,
times the length of the prompt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fsar_core.components.mask_provider import ClipFrames
from fsar_core.errors import FsarError
from fsar_core.mask_providers._prompted import PRECISIONS, PromptedTeacher

PROMPTS = ["run", "brush hair"]


class Red(PromptedTeacher):
    """Counts what it is shown and writes down how."""

    def __init__(
        self, precision="float32", threshold=None, template="{class}", batch_frames=8, fail=None
    ):
        super().__init__(precision, threshold, template, PROMPTS, "cpu", batch_frames)
        self.lengths = torch.tensor([float(len(text)) for text in self.prompts])
        self.batches, self.products, self.fail = [], [], fail

    def look(self, frames, texts):
        assert frames.dtype == torch.uint8 and texts.dtype == torch.int64 and frames.shape[1] == 3
        if isinstance(self.fail, Exception):
            raise self.fail
        self.batches.append(len(frames))
        self.products.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
        logits = (frames[:, 0].float() - 100) / 50 * self.lengths[texts][:, None, None]
        score = logits.flatten(1).mean(1)
        return (
            (logits + torch.tensor(self.fail or 0.0), score)
            if self.fail != "score"
            else (logits, score * torch.inf)
        )


def clip_of(taken, prompt="run", seed=0, size=5) -> ClipFrames:
    """A clip whose frame of one number is always the same picture, as in a frame store."""
    taken = np.asarray(taken)
    pictures = np.random.default_rng(seed).integers(
        0, 256, (taken.max() + 1, size, size, 3), dtype=np.uint8
    )
    return ClipFrames({}, taken, pictures[taken], prompt)


def expected(clip: ClipFrames, prompt: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    logits = (clip.frames[..., 0].astype(np.float64) - 100) / 50 * len(prompt or clip.prompt)
    return np.round(255 / (1 + np.exp(-logits))), logits.mean((-2, -1))


CLIPS = [
    clip_of([[0, 2, 4]]),
    clip_of([[0, 1, 2], [2, 1, 1]], "brush hair", seed=1),
    clip_of([[3, 3, 3], [3, 0, 1]], seed=2),
]


@pytest.mark.parametrize("batch_frames", [1, 2, 5, 100])
def test_masks_and_scores_whatever_the_batch(batch_frames):
    teacher = Red(batch_frames=batch_frames)
    found = teacher(CLIPS)
    for clip, made in zip(CLIPS, found, strict=True):
        masks, score = expected(clip)
        assert made.masks.dtype == np.uint8 and made.masks.shape == clip.frames.shape[:-1]
        np.testing.assert_allclose(made.masks, masks, atol=1)
        assert made.score.dtype == np.float32 and made.score.shape == clip.taken.shape
        np.testing.assert_allclose(made.score, score, rtol=1e-5, atol=1e-5)
    # 3 + 3 + 3 pictures: what several views have in common is looked at once.
    assert sum(teacher.batches) == 9 and max(teacher.batches) == min(batch_frames, 9)


def test_soft_masks_are_rounded_to_the_nearest_level():
    """Of all 256 red values, exactly; only those whose probability is next to the middle of two levels may go either way."""
    pictures = np.zeros((1, 1, 16, 16, 3), np.uint8)
    pictures[..., 0] = np.arange(256).reshape(16, 16)
    (found,) = Red()([ClipFrames({}, np.array([[0]]), pictures, "run")])
    level = 255 / (1 + np.exp(-(pictures[..., 0].astype(np.float64) - 100) / 50 * len("run")))
    sure = np.abs(level % 1 - 0.5) > 1e-3
    assert sure.sum() > 250 and (np.floor(level) != np.round(level)).sum() > 50
    np.testing.assert_array_equal(found.masks[sure], np.round(level[sure]))


def test_no_clips_are_no_masks():
    assert Red()([]) == []


def test_a_threshold_makes_hard_masks():
    for threshold in (0.0, 0.3, 0.5, 1.0):
        found = Red(threshold=threshold)(CLIPS)
        for clip, made in zip(CLIPS, found):
            logits = (clip.frames[..., 0].astype(np.float32) - 100) / 50 * len(clip.prompt)
            np.testing.assert_array_equal(
                made.masks, np.where(1 / (1 + np.exp(-logits)) > threshold, 255, 0)
            )
    assert set(np.unique(Red(threshold=0.5)(CLIPS)[0].masks)) == {0, 255}


def test_the_template_is_around_the_class():
    teacher = Red(template="a {class}!")
    assert teacher.prompts == ["a run!", "a brush hair!"]
    np.testing.assert_allclose(
        teacher(CLIPS[:1])[0].score, expected(CLIPS[0], "a run!")[1], rtol=1e-5
    )


@pytest.mark.parametrize(("precision", "dtype"), PRECISIONS.items())
def test_the_precision_of_matrix_products(precision, dtype):
    teacher = Red(precision)
    teacher(CLIPS)
    assert set(teacher.products) == {dtype or torch.float32}


@pytest.mark.parametrize("fail", [float("nan"), float("inf"), "score"])
def test_masks_that_are_no_numbers_are_refused(fail):
    with pytest.raises(
        FsarError, match=r"^red: masks that are no numbers; .* set `precision: bf16` or `float32`"
    ):
        Red("fp16", fail=fail)(CLIPS)


def test_too_little_memory_is_told():
    with pytest.raises(
        FsarError,
        match=r"^red: 2 frames of one forward pass do not fit .* lower `batch_frames` .*\(now 2\)",
    ):
        Red(batch_frames=2, fail=torch.OutOfMemoryError("CUDA out of memory"))(CLIPS)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (
            {"precision": "half"},
            r"^red: precision='half' is not valid; valid: 'float32', 'bf16', 'fp16'$",
        ),
        (
            {"threshold": 1.5},
            r"^red: threshold=1\.5 is not valid; valid: numbers from 0 to 1, or null$",
        ),
        (
            {"template": "class"},
            r"^red: the template 'class' has no \{class\}; say where the class text goes$",
        ),
    ],
)
def test_wrong_options(wrong, line):
    with pytest.raises(FsarError, match=line):
        Red(**wrong)
