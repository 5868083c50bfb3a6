"""Saliency stores: what a job of `fsar fill` writes of a trained classifier of frames, and the features that it takes.

Rows and views are those of the feature store behind it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from fsar_core.layers.frame_classifier import FrameClassifier
from fsar_core.saliency.classifier import score
from fsar_core.specs import LAYOUT_VERSION, ClassifierSpec, SaliencySpec
from fsar_core.stores.layout import FILE_CLIPS, Plan, whole_files
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import Block


def plan(spec: SaliencySpec, clips: int, clips_per_job: int) -> Plan:
    """Shapes and jobs of a saliency store."""
    frames = spec.features.frames
    return Plan(
        layout=LAYOUT_VERSION,
        spec=spec.model_dump(mode="json"),
        clips=clips,
        views=frames.views,
        shapes={"actionness": [frames.count]},
        dtypes={"actionness": "float32"},
        clips_per_job=whole_files(clips_per_job),
    )


def pooled(reader: StoreReader, rows: np.ndarray, view: int = 0, threads: int = 1) -> torch.Tensor:
    """float32 [rows frames dim], averaged over the grid; read a shard file's worth of clips at a time."""
    frames, dim, *_ = reader.clip_shape
    out = torch.empty(len(rows), frames, dim)
    for start in range(0, len(rows), FILE_CLIPS):
        read = reader.read(rows[start : start + FILE_CLIPS], view, threads)
        out[start : start + len(read)] = torch.from_numpy(read.astype(np.float32).mean((-2, -1)))
    return out


def trained(spec: ClassifierSpec, state: dict[str, torch.Tensor]) -> FrameClassifier:
    """The classifier of a spec with the weights of its training."""
    classes, _, _ = state["outer.weight"].shape
    dim = state["inner.weight"].shape[1]
    classifier = FrameClassifier(dim, classes, spec.hidden, spec.dropout, spec.kernel, spec.rectified)
    classifier.load_state_dict(state)
    return classifier.eval()


def blocks(
    classifier: FrameClassifier, features: StoreReader, index: pd.DataFrame, rows: range, shape: list[int]
) -> Iterator[Block]:
    """{"actionness": [clip view frames]} of `rows`, FILE_CLIPS at a time; failed clips stay failed. Only training clips have
    views beside the first.

    Args:
        shape: of one clip and view, [frames].
    """
    train = frozenset(index.row[index.split == "train"])
    with tqdm(total=len(rows), desc="saliency", unit="clip", mininterval=1) as bar:
        for start in range(rows.start, rows.stop, FILE_CLIPS):
            part = range(start, min(start + FILE_CLIPS, rows.stop))
            out = np.zeros((len(part), features.views, *shape), np.float32)
            for view in range(features.views):
                sound = [r for r in part if r not in features.failed and (view == 0 or r in train)]
                if sound:
                    chosen = np.array(sound)
                    out[chosen - start, view] = score(classifier, pooled(features, chosen, view)).numpy()
            failures = [
                {"row": r, "path": "", "problem": "failed in the feature store"} for r in part if r in features.failed
            ]
            bar.update(len(part))
            yield Block({"actionness": out}, failures)
