"""Train a model from files to files: what `fsar train` does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fsar_core import inputs
from fsar_core.data.index import index_identity, read_index
from fsar_core.episodes import tables
from fsar_core.episodes.sampler import Split, check
from fsar_core.models.assembly import OpenModel
from fsar_core.specs import ModelSpec
from fsar_core.storage import checkpoint
from fsar_core.storage.bindings import check_episodes, check_index
from fsar_core.storage.locks import alone
from fsar_core.storage.places import Place
from fsar_core.storage.provenance import atomic_write, environment
from fsar_core.training.loop import train


def train_model(
    opened: OpenModel,
    index: Place,
    validation: Path,
    input_paths: Mapping[str, Place],
    out: Path,
    history: Path,
    code: str = "",
) -> None:
    """Train a model and write the checkpoint of its best validation.

    Args:
        opened: the model, on the features that it is trained on.
        index: the clip index.
        validation: frozen validation episodes.
        input_paths: artifacts of the head's inputs, by the input's key.
        out: the checkpoint. `last.pt` next to it holds the state of an unfinished training.
        history: a CSV file, one row for each validation.
        code: digest of the code that trains; a training by different code is not resumed.
    Raises:
        FsarError: files are missing, damaged or do not belong together.
    """
    spec, model, compute = opened.spec, opened.model, opened.compute
    clips = read_index(index)
    identity = index_identity(clips)
    sources = inputs.open_for_training(spec, input_paths, clips)
    stores = [opened.reader]
    for source in sources:
        stores += source.stores
    check_index(index, identity, stores)
    split = _training_split(spec, clips, frozenset().union(*(store.failed for store in stores)))
    table = tables.load(validation, spec.validation)
    check_episodes(validation, table.index, opened.reader.store, {"index": identity})

    bindings = dict(opened.inputs)
    for source in sources:
        bindings |= source.digests
    bindings |= {"index": identity, "clips": split.content, "validation": table.content}

    train_rows = np.concatenate(split.rows) if model.trainable else np.empty(0, np.int64)
    rows = np.concatenate([train_rows, table.rows])
    for source in sources:
        source.attach(model.head)
        needed = rows if source.at_test else train_rows
        source.load(needed, compute.memory_gib, compute.threads, many_views=train_rows)
    bank = opened.bank(rows, many_views=train_rows)

    last = out.with_name("last.pt")
    with alone(out.with_name("train.lock"), f"train {spec.model_id}"):
        state, rows_of_history = train(
            spec, model, bank, split, table, last, opened.machine, code, sources, bindings
        )
        write_history(history, pd.DataFrame(rows_of_history).assign(model=spec.model_id))
        save_trained(out, spec.digest, state, bindings)
        last.unlink(missing_ok=True)


def _training_split(spec: ModelSpec, clips: pd.DataFrame, failed: frozenset[int]) -> Split:
    """Return the training clips of an index; raise FsarError if they are too few for an episode."""
    split = Split.from_index(clips, "train", failed)
    validation = spec.validation
    check(
        split,
        validation.way,
        spec.train_shot,
        spec.training.query,
        group_disjoint=validation.group_disjoint,
    )
    return split


def write_history(path: Path, table: pd.DataFrame) -> None:
    """Write the history of a training as a CSV file."""
    with atomic_write(path) as stream:
        table.to_csv(stream, index=False, lineterminator="\n")


def save_trained(path: Path, digest: str, state: dict, bindings: Mapping[str, str]) -> None:
    """Write the checkpoint of a finished training.

    Args:
        digest: of the spec that was trained.
        state: tensors by name, on any device.
        bindings: digests of what the training depends on.
    """
    value = {
        "run": digest,
        "model": {name: tensor.cpu() for name, tensor in state.items()},
        "environment": environment(),
        "inputs": dict(bindings),
    }
    checkpoint.save(path, value)
