"""Saliency stores: the actionness that a trained classifier of frames gives.

Rows and views are those of the feature store behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from fsar_core.data.index import index_identity
from fsar_core.specs import LAYOUT_VERSION, ClassifierSpec, SaliencySpec
from fsar_core.storage.bindings import check_trained_on
from fsar_core.stores.inputs import SPLIT_COLUMNS, file_digest, job_inputs, shards_digest
from fsar_core.stores.kinds import FillJob, StoreKind, Task
from fsar_core.stores.layout import FILE_CLIPS, Plan, whole_files
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import Block

if TYPE_CHECKING:
    import torch

    from fsar_core.layers.frame_classifier import FrameClassifier


class Saliency(StoreKind):
    """Actionness of every frame of every clip."""

    spec_type = SaliencySpec
    title = "saliency store"
    requires: ClassVar = {"features": "the feature store", "weights": "the classifier's checkpoint"}

    def needs(self, spec: SaliencySpec, graph: Any) -> dict[str, list[Any]]:
        return {
            "features": [graph.of(spec.features)],
            "classifier": [graph.of(spec.classifier)],
        }

    def clips_per_job(self, spec: SaliencySpec, study: Any) -> int:
        return study.preset.saliency.clips_per_job

    def frame_bytes(self, spec: SaliencySpec) -> float:
        return np.dtype(np.float32).itemsize

    def check(self, spec: SaliencySpec, checks: Any) -> None:
        checks.check_features(spec.features)

    def plan(self, spec: SaliencySpec, index: pd.DataFrame, clips_per_job: int) -> Plan:
        return plan(spec, len(index), clips_per_job)

    def task(self, job: FillJob) -> Task:
        spec, options = job.spec, job.options
        inputs = job_inputs(
            job.plan,
            job.index,
            job.rows,
            SPLIT_COLUMNS,
            features=shards_digest(options.features, job.rows),
            weights=file_digest(options.weights),
        )

        def work() -> Iterator[Block]:
            import torch

            from fsar_core.storage import checkpoint

            torch.set_num_threads(options.threads)
            weights = Path(options.weights)
            saved = checkpoint.load(weights, spec.classifier.digest)
            recorded = saved.get("inputs", {})
            check_trained_on(weights, recorded, index_identity(job.index), "train_classifier")
            classifier = trained(spec.classifier, saved["model"])
            features = StoreReader(options.features, "features", spec.features)
            shape = job.plan.shapes["actionness"]
            return blocks(classifier, features, job.index, job.rows, shape)

        return Task(inputs, work)


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
    """Return features averaged over their grid, float32 [rows frames dim].

    The clips of one shard file are read at a time.
    """
    import torch

    frames, dim, *_ = reader.clip_shape
    out = torch.empty(len(rows), frames, dim)
    for start in range(0, len(rows), FILE_CLIPS):
        read = reader.read(rows[start : start + FILE_CLIPS], view, threads)
        out[start : start + len(read)] = torch.from_numpy(read.astype(np.float32).mean((-2, -1)))
    return out


def trained(spec: ClassifierSpec, state: dict[str, torch.Tensor]) -> FrameClassifier:
    """The classifier of a spec with the weights of its training."""
    from fsar_core.layers.frame_classifier import FrameClassifier

    classes, _, _ = state["outer.weight"].shape
    dim = state["inner.weight"].shape[1]
    classifier = FrameClassifier(
        dim, classes, spec.hidden, spec.dropout, spec.kernel, spec.rectified
    )
    classifier.load_state_dict(state)
    return classifier.eval()


def blocks(
    classifier: FrameClassifier,
    features: StoreReader,
    index: pd.DataFrame,
    rows: range,
    shape: list[int],
) -> Iterator[Block]:
    """Yield actionness [clip view frames] of `rows`, FILE_CLIPS at a time.

    Failed clips stay failed. Only training clips have more than one view.

    Args:
        shape: of one clip and view, [frames].
    """
    from fsar_core.saliency.classifier import score

    train = frozenset(index.row[index.split == "train"])
    with tqdm(total=len(rows), desc="saliency", unit="clip", mininterval=1) as bar:
        for start in range(rows.start, rows.stop, FILE_CLIPS):
            part = range(start, min(start + FILE_CLIPS, rows.stop))
            out = np.zeros((len(part), features.views, *shape), np.float32)
            for view in range(features.views):
                sound = [r for r in part if r not in features.failed and (view == 0 or r in train)]
                if sound:
                    chosen = np.array(sound)
                    out[chosen - start, view] = score(
                        classifier, pooled(features, chosen, view)
                    ).numpy()
            failures = [
                {"row": r, "path": "", "problem": "failed in the feature store"}
                for r in part
                if r in features.failed
            ]
            bar.update(len(part))
            yield Block({"actionness": out}, failures)
