"""Train on the labels of a store's training clips, from files to files.

What `fsar train-backbone` and `fsar train-classifier` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fsar_core.data.index import index_identity, read_index
from fsar_core.models import backbone_weights
from fsar_core.runtime.devices import Meter, torch_device
from fsar_core.saliency.classifier import train_classifier
from fsar_core.specs import BackboneTrainingSpec, ClassifierSpec, Spec
from fsar_core.storage.bindings import check_index, store_content
from fsar_core.storage.places import Place
from fsar_core.store_kinds.saliency import pooled
from fsar_core.stores.reader import StoreReader
from fsar_core.training.train_model import save_trained, write_history
from fsar_core.training.tsn import train_backbone


@dataclass(frozen=True)
class LabeledClips:
    """The training clips of a store.

    Attributes:
        reader: of the store.
        rows: of the clips that did not fail, int64 [clips].
        names: of their classes, [clips].
        listed: names of all training classes, also of one whose clips have all failed, sorted.
        inputs: digests of index and store.
    """

    reader: StoreReader
    rows: np.ndarray
    names: np.ndarray
    listed: np.ndarray
    inputs: dict[str, str]

    @classmethod
    def open(cls, store: Place, array: str, spec: Spec, index: Place) -> LabeledClips:
        """Open a store and check that it has the clips of an index.

        Raises:
            FsarError: the store is missing, damaged, or was made from other clips.
        """
        reader = StoreReader(store, array, spec)
        clips = read_index(index)
        inputs = {"index": index_identity(clips), "features": store_content(reader)}
        check_index(index, inputs["index"], [reader])
        listed = clips[clips.split == "train"]
        sound = listed[~listed.row.isin(reader.failed)]
        names = sound["class"].to_numpy()
        return cls(reader, sound.row.to_numpy(), names, np.unique(listed["class"]), inputs)

    def labels(self, classes: Sequence[str]) -> np.ndarray:
        """Return the number of each clip's class among sorted names, int64 [clips]."""
        return np.searchsorted(classes, self.names).astype(np.int64)


def train_backbone_on(
    spec: BackboneTrainingSpec,
    frames: Place,
    index: Place,
    out: Path,
    history: Path,
    device: str = "auto",
    threads: int = 1,
) -> str:
    """Train a small backbone on the training classes of a frame store.

    Args:
        frames: the frame store.
        index: the clip index.
        out: the weights file.
        history: a CSV file, one row for each epoch.
    Returns:
        A line that says how long the device waited for data.
    """
    torch.set_num_threads(threads)
    meter = Meter()
    clips = LabeledClips.open(frames, "frames", spec.frames, index)
    labels = clips.labels(np.unique(clips.names))
    with meter.wait():
        pictures = clips.reader.read(clips.rows, threads=threads)
    state, rows = train_backbone(spec, pictures, labels, torch_device(device), meter)
    weights = {key: value.cpu() for key, value in state.items()}
    backbone_weights.save(out, weights, spec.digest)
    write_history(history, pd.DataFrame(rows))
    return meter.line(torch_device(device))


def train_classifier_on(
    spec: ClassifierSpec,
    features: Place,
    index: Place,
    out: Path,
    history: Path,
    device: str = "auto",
    threads: int = 1,
) -> str:
    """Train the classifier of frames on the training clips of a feature store.

    Args:
        features: the feature store.
        index: the clip index.
        out: the checkpoint.
        history: a CSV file, one row for each epoch.
    Returns:
        Two lines: how long the device waited for data, and how well the clips are classified.
    """
    torch.set_num_threads(threads)
    meter = Meter()
    clips = LabeledClips.open(features, "features", spec.features, index)
    # Classes are numbered among all that are listed, as a head counts them.
    labels = torch.from_numpy(clips.labels(clips.listed))
    with meter.wait():
        values = pooled(clips.reader, clips.rows, threads=threads)
    settings = spec.model_dump(exclude={"features", "version"})
    count = len(clips.listed)
    state, rows = train_classifier(
        values, labels, classes=count, device=torch_device(device), **settings
    )
    write_history(history, pd.DataFrame(rows))
    save_trained(out, spec.digest, state, clips.inputs)
    accuracy = f"{rows[-1]['accuracy']:.1%} right in the last epoch"
    summary = f"{out}: {len(clips.rows)} clips of {count} classes, {accuracy}"
    return f"{meter.line(torch_device(device))}\n{summary}"
