"""Assemble the model of a spec on the features that it works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from fsar_core.components.registry import build, entry
from fsar_core.episodes.loader import FeatureBank, FrameBank
from fsar_core.errors import FsarError
from fsar_core.models import backbone_weights
from fsar_core.models.episode_model import EpisodeModel, build_model
from fsar_core.runtime.devices import Machine, torch_device
from fsar_core.specs import FeatureSpec, ModelSpec, RunSpec
from fsar_core.storage import checkpoint
from fsar_core.storage.bindings import changed, remake, store_content
from fsar_core.stores.reader import StoreReader

if TYPE_CHECKING:
    import numpy as np

    from fsar_core.storage.places import Place


@dataclass(frozen=True)
class Compute:
    """How a job computes. Results depend on it by rounding at most.

    Attributes:
        device: `cpu`, `cuda`, or `auto`: a GPU where there is one.
        threads: of the CPU.
        mixed_precision: whether a GPU computes in half precision where it is safe.
        memory_gib: features that may be held in memory.
        evaluation_batch: test episodes of one forward pass; None: by their size.
    """

    device: str = "auto"
    threads: int = 1
    mixed_precision: bool = False
    memory_gib: float = 2.0
    evaluation_batch: int | None = None


@dataclass(frozen=True)
class OpenModel:
    """A model on opened features.

    Attributes:
        spec: of the model.
        features: that it works on here; of another data set than `spec.features` in some tests.
        model: with its initial weights until `load` is called.
        machine: where it computes.
        reader: of the feature store, at the cut `frames` of the frame store.
        inputs: digests of what the model computes on and with: features, index, weights.
        compute: settings of the job.
    """

    spec: ModelSpec
    features: FeatureSpec
    model: EpisodeModel
    machine: Machine
    reader: StoreReader
    inputs: dict[str, str]
    compute: Compute

    def bank(self, rows: np.ndarray, many_views: np.ndarray | None = None) -> FeatureBank:
        """Return the features of some clips, read into memory as far as they fit.

        Args:
            rows: of which view 0 is used.
            many_views: rows of which every stored view is used (training clips).
        """
        settings = self.compute
        common = (self.reader, rows, settings.memory_gib, settings.threads, many_views)
        with self.machine.meter.wait():
            if self.features.cut != "frames":
                return FeatureBank(*common, device=self.machine.device)
            augmentation = self.features.augmentation
            return FrameBank(*common, crop=self.features.crop, augmentation=augmentation)

    def load(self, path: Path, run: RunSpec) -> dict[str, str]:
        """Load the checkpoint of a run and move the model to the machine's device.

        Returns:
            Digests of everything that a result follows from, without the episodes.
        Raises:
            FsarError: the checkpoint is missing, damaged, of another run, or was trained on other
                features or with other backbone weights than it is to be tested with.
        """
        trained = checkpoint.load(path, run.model.digest)
        recorded = dict(trained.get("inputs", {}))
        if run.tested_on != run.features:
            # Another data set has its own store and index; the backbone is the same.
            recorded = {name: value for name, value in recorded.items() if name == "weights"}
        differs = changed(recorded, self.inputs)
        if differs:
            raise FsarError(
                f"{path}: trained with other {' and '.join(differs)} than {self.reader.store} has; "
                f"{remake('train_head', path)}"
            )
        self.model.load_learned(trained["model"])
        self.model.to(self.machine.device)
        return {**self.inputs, "model": checkpoint.content(trained["model"])}


def open_model(
    spec: ModelSpec,
    store: Place,
    weights: str | None = None,
    weights_root: Path | None = None,
    features: FeatureSpec | None = None,
    compute: Compute | None = None,
) -> OpenModel:
    """Open the features of a model and build it, with initial weights.

    Args:
        store: the feature store; at the cut `frames` the frame store.
        weights: of the backbone, a file or a published name; needed if a tail follows the cut.
        weights_root: where published weights are kept.
        features: spec of the store; None for the features that the model is trained on.
        compute: settings of the job.
    Raises:
        FsarError: store or weights are missing, damaged or of another spec, or do not belong
            together.
    """
    features = features or spec.features
    compute = compute or Compute()
    torch.set_num_threads(compute.threads)
    reader, grid, dtype = _open_features(store, features)
    names = reader.inputs.keys() & {"index", "weights"}
    inputs = {"features": store_content(reader), **{name: reader.inputs[name] for name in names}}

    tail, dim = torch.nn.Identity(), grid[0]
    if features.cut != entry("backbones", features.backbone.name).attributes["cuts"][-1]:
        sha256 = backbone_weights.checked_sha256(weights, features.backbone, weights_root)
        if sha256 is not None:
            _check_weights(weights, sha256, store, inputs)
            inputs["weights"] = sha256
        tail = _tail(features, weights, weights_root)
        with torch.inference_mode():
            dim = tail(torch.zeros(1, *grid, dtype=dtype)).shape[1]

    model = build_model(spec, tail, dim, frames=reader.clip_shape[0])
    machine = Machine(
        torch_device(compute.device), compute.mixed_precision, compute.evaluation_batch
    )
    return OpenModel(spec, features, model, machine, reader, inputs, compute)


def _open_features(
    store: Place, features: FeatureSpec
) -> tuple[StoreReader, list[int], torch.dtype]:
    """Return the reader of a store, and channels, height, width and type of a frame's features."""
    if features.cut == "frames":
        reader = StoreReader(store, "frames", features.frames)
        return reader, [3, features.crop, features.crop], torch.uint8
    reader = StoreReader(store, "features", features)
    return reader, list(reader.clip_shape[1:]), torch.float32


def _tail(features: FeatureSpec, weights: str | None, weights_root: Path | None) -> torch.nn.Module:
    """Return the part of the backbone that follows the cut, in evaluation mode."""
    backbone = build(
        "backbones",
        features.backbone.name,
        weights=weights,
        weights_root=weights_root,
        **features.backbone.params,
    )
    return backbone.tail(features.cut).eval()


def _check_weights(weights: str | None, sha256: str, store: Place, inputs: dict[str, str]) -> None:
    """Raise FsarError if the tail would get other weights than what comes before the cut."""
    if changed(inputs, {"weights": sha256}):
        raise FsarError(
            f"{weights}: not the weights that {store} was made with, and the tail behind "
            f"the cut needs the same; restore them, or "
            f"{remake('fill_features', store / 'manifest.json')}"
        )
