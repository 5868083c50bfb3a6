"""How well a head that learns to see instances predicts masks of clips whose masks it was never shown.

Source: own; the measure that goes with I2ST, Eq. 1-3. Intersection over union (IoU) of the predicted mask with the true one,
both at the decoder's resolution and cut at 0.5, the mean over the frames of a clip. Beside it that of a guess which knows where
instances usually are: the mean true mask of other training clips, frame by frame, cut where it overlaps those most. Because a
regressed mask may be right and faint, the head is measured at such a cut of its own as well.

The clips are training clips that are held out (`fsar_core.data.held_out`): training has seen their features and
classes, and never their masks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fsar_core.data.held_out import held_out
from fsar_core.episodes.loader import FeatureBank, FrameBank
from fsar_core.episodes.sampler import Split
from fsar_core.errors import FsarError
from fsar_core.evaluation.opened_run import OpenedRun
from fsar_core.inputs.instance_masks import MaskSource
from fsar_core.layers.instance_perception import resized
from fsar_core.models.episode_model import EpisodeModel
from fsar_core.runtime.devices import Machine

CUT = 0.5
LEVELS = 100  # cuts that are tried for the mean mask
BATCH = 16  # clips

Cut = Bool[Tensor, "clips frames height width"]


def inspect(run: OpenedRun, wanted: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return `mask_quality` of held-out clips, their classes, and the provider of the true masks.

    Args:
        wanted: masks, how many clips are shown; clips, how many are measured at most.
    """
    spec = run.spec
    index, store = run.open_masks()
    failed = run.trained.reader.failed | store.failed
    measured, others = choose(index, failed, spec.masks_held_out, spec.seed, wanted["clips"])
    masks = MaskSource(store, spec.features).load(others, memory_gib=0, threads=run.threads)
    bank = run.bank(np.concatenate([measured, others]))
    arrays = mask_quality(
        run.model, bank, masks, run.pictures, measured, others, wanted["masks"], run.machine
    )
    return arrays | {
        "classes": index["class"].to_numpy(str)[measured],
        "provider": np.array(spec.masks.provider.name),
    }


def choose(
    index: pd.DataFrame, failed: frozenset[int], share: float | None, seed: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of sound training clips whose masks are held out, and of others: at most so many of each, evenly spaced among all, so
    that every class keeps its share. FsarError where either is empty.

    Args:
        failed: rows without features or masks.
        share, seed: of the training, as in `held_out`.
    """
    sound = np.sort(np.concatenate(Split.from_index(index, "train", failed).rows))
    kept_back = np.isin(sound, held_out(index, share, seed))
    chosen = tuple(_spread(rows, most) for rows in (sound[kept_back], sound[~kept_back]))
    if not all(map(len, chosen)):
        raise FsarError(
            f"{len(chosen[0])} sound clips with held-out masks and {len(chosen[1])} others: nothing can be compared; change "
            f"`masks.held_out`, or see what failed in the masks store"
        )
    return chosen


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)]


def overlap(predicted: Cut, true: Cut) -> Float[Tensor, " clips"]:
    """Intersection over union, the mean over the frames in which either has something; NaN for a clip without such a frame."""
    both, either = ((predicted & true).sum((-2, -1)), (predicted | true).sum((-2, -1)))
    return torch.where(either > 0, both.double() / either, torch.nan).nanmean(-1)


def best_cut(guess: Float[Tensor, "_clips frames height width"], true: Cut) -> float:
    """Where a guess, one for each clip or one for all, is cut so that it overlaps the true masks most: of LEVELS values from 0 up
    to its maximum."""
    levels = torch.linspace(0, max(float(guess.max()), 0.0), LEVELS + 1)[:-1].tolist()
    found = [float(overlap((guess > level).expand_as(true), true).nanmean()) for level in levels]
    return levels[int(np.argmax(np.nan_to_num(found)))]


@torch.inference_mode()
def mask_quality(
    model: EpisodeModel,
    bank: FeatureBank,
    masks: MaskSource,
    pictures: FrameBank,
    measured: np.ndarray,
    others: np.ndarray,
    shown: int,
    machine: Machine,
) -> dict[str, np.ndarray]:
    """Predicted against true masks in the test view.

    Args:
        measured: rows of held-out clips.
        others: rows of training clips that the mean mask is of, and that decide the cuts.
        shown: of the measured clips, how many are given whole, evenly spaced.

    Returns:
        rows [clips]; float64 [clips] iou (of the head, cut at 0.5), tuned_iou (cut where it does best on the others) and mean_iou
        (of the mean mask, cut likewise); level and mean_level (these cuts), others (their number); for the shown ones, under
        "<number>.": row, frames uint8 [frames 3 height width], true and predicted float32 [frames mask_height mask_width].
    """
    model.eval()
    predicted, true = _predicted_and_true(model, bank, masks, measured, machine)
    predicted_others, usual = _predicted_and_true(model, bank, masks, others, machine)
    mean, seen = usual.mean(0, keepdim=True), true > CUT
    level, mean_level = (best_cut(guess, usual > CUT) for guess in (predicted_others, mean))
    parts = {
        "rows": measured,
        "iou": overlap(predicted > CUT, seen).numpy(),
        "tuned_iou": overlap(predicted > level, seen).numpy(),
        "mean_iou": overlap((mean > mean_level).expand_as(seen), seen).numpy(),
        "level": np.array(level),
        "mean_level": np.array(mean_level),
        "others": np.array(len(others)),
    }
    for number, place in enumerate(_spread(np.arange(len(measured)), shown)):
        frames = pictures.prepared(pictures.clips(measured[[[place]]]), "query", [None])[0, 0]
        parts |= {
            f"{number}.row": np.array(measured[place]),
            f"{number}.frames": frames.numpy(),
            f"{number}.true": true[place].numpy(),
            f"{number}.predicted": predicted[place].numpy(),
        }
    return parts


def _predicted_and_true(
    model: EpisodeModel, bank: FeatureBank, masks: MaskSource, rows: np.ndarray, machine: Machine
) -> tuple[Tensor, Tensor]:
    """Both float32 [clips frames mask_height mask_width], at the decoder's resolution."""
    predicted, true = [], []
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        clips = bank.prepared(bank.clips(part[None]), "query", [None]).to(machine.device)
        predicted.append(
            model.head.decoder(model.head.encoder(model.through_tail(clips)))[0].float().cpu()
        )
        whole = masks.of_test_view(part)
        true.append(
            resized(whole.flatten(0, 1), *predicted[0].shape[-2:]).unflatten(0, whole.shape[:2])
        )
    return torch.cat(predicted), torch.cat(true)
