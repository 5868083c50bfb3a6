"""Train a run's head on cached features; the best of its validations is kept."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.cli.jobs import _run
from fsar_core.data.index import index_identity, read_index
from fsar_core.specs import ModelSpec
from fsar_core.storage.bindings import check_episodes, check_index, store_content
from fsar_core.storage.locks import alone
from fsar_core.storage.places import place


def arguments(parser: argparse.ArgumentParser) -> None:
    _run.arguments(parser)
    parser.add_argument("--index", type=place, required=True)
    parser.add_argument("--masks", type=place, help="the masks store, where the spec has one")
    parser.add_argument("--saliency", type=place, help="the saliency store, where the spec has one")
    parser.add_argument("--classifier", type=Path, help="the trained classifier of frames, where the spec has one")
    parser.add_argument("--validation", type=Path, required=True, help="frozen validation episodes")
    parser.add_argument(
        "--code", default="", help="digest of the training code; a training by other code is not resumed"
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--history", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    import numpy as np
    import pandas as pd

    from fsar_core.episodes import tables
    from fsar_core.episodes.sampler import Split, check
    from fsar_core.storage.provenance import atomic_write, environment, file_sha256
    from fsar_core.training import checkpoint
    from fsar_core.training.loop import train

    spec = ModelSpec.parse(args.spec)
    prepared = _run.prepare(args, spec, spec.features)
    bank, model, machine = prepared.bank, prepared.model, prepared.machine
    index, readers = read_index(args.index), _run.readers_beside(args, spec)
    identity = index_identity(index)
    check_index(args.index, identity, [prepared.reader, *readers.values()])
    failed = prepared.reader.failed.union(*(reader.failed for reader in readers.values()))
    split = Split.from_index(index, "train", failed)
    way, disjoint = spec.validation.way, spec.validation.group_disjoint
    check(split, way, spec.train_shot, spec.training.query, group_disjoint=disjoint)
    validation = tables.load(args.validation, spec.validation)
    check_episodes(args.validation, validation.index, args.features, {"index": identity})
    inputs = prepared.inputs | {kind: store_content(reader) for kind, reader in readers.items()}
    inputs |= {"index": identity, "clips": split.content, "validation": validation.content}
    train_rows = np.concatenate(split.rows) if model.trainable else np.empty(0, np.int64)
    rows = np.concatenate([train_rows, validation.rows])
    last = args.checkpoint.with_name("last.pt")
    if spec.classifier is not None:
        inputs["classifier"] = file_sha256(args.classifier)
        model.head.load_classifier(checkpoint.load(args.classifier, spec.classifier.digest)["model"])
    beside, features = _run.banks_beside(args, spec, readers, train_rows, index), bank(rows, many_views=train_rows)
    with alone(args.checkpoint.with_name("train.lock"), f"train {spec.model_id}"):
        state, history = train(
            spec, model, features, split, validation, last, machine, args.code, inputs=inputs, **beside
        )
        with atomic_write(args.history) as stream:
            table = pd.DataFrame(history).assign(model=spec.model_id)
            table.to_csv(stream, index=False, lineterminator="\n")
        state = {key: value.cpu() for key, value in state.items()}
        value = {"run": spec.digest, "model": state, "environment": environment(), "inputs": inputs}
        checkpoint.save(args.checkpoint, value)
        last.unlink(missing_ok=True)
    print(machine.meter.line(machine.device))
