"""Train a run's head on cached features; the best of its validations is kept."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core import inputs
from fsar_core.cli.jobs import _run
from fsar_core.data.index import index_identity, read_index
from fsar_core.specs import ModelSpec
from fsar_core.storage.bindings import check_episodes, check_index
from fsar_core.storage.locks import alone
from fsar_core.storage.places import Place, place


def arguments(parser: argparse.ArgumentParser) -> None:
    _run.arguments(parser)
    parser.add_argument("--index", type=place, required=True)
    parser.add_argument("--masks", type=place, help="the masks store, where the spec has one")
    parser.add_argument("--saliency", type=place, help="the saliency store, where the spec has one")
    parser.add_argument("--classifier", type=Path, help="the trained classifier of frames, where the spec has one")
    parser.add_argument(
        "--input",
        type=_named_path,
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="the store of any other input in the spec; may be repeated",
    )
    parser.add_argument("--validation", type=Path, required=True, help="frozen validation episodes")
    parser.add_argument(
        "--code", default="", help="digest of the training code; a training by other code is not resumed"
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--history", type=Path, required=True)


def _named_path(text: str) -> tuple[str, Place]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"'{text}' is no NAME=PATH")
    return name, place(path)


def run(args: argparse.Namespace) -> None:
    import numpy as np
    import pandas as pd

    from fsar_core.episodes import tables
    from fsar_core.episodes.sampler import Split, check
    from fsar_core.storage import checkpoint
    from fsar_core.storage.provenance import atomic_write, environment
    from fsar_core.training.loop import train

    spec = ModelSpec.parse(args.spec)
    prepared = _run.prepare(args, spec, spec.features)
    bank, model, machine = prepared.bank, prepared.model, prepared.machine
    index = read_index(args.index)
    paths = {"masks": args.masks, "saliency": args.saliency, "classifier": args.classifier, **dict(args.input)}
    sources = [each.open(paths.get(each.key), spec, index) for each in inputs.of_model(spec)]
    identity = index_identity(index)
    check_index(args.index, identity, [prepared.reader, *(store for source in sources for store in source.stores)])
    failed = prepared.reader.failed.union(*(source.failed for source in sources))
    split = Split.from_index(index, "train", failed)
    way, disjoint = spec.validation.way, spec.validation.group_disjoint
    check(split, way, spec.train_shot, spec.training.query, group_disjoint=disjoint)
    validation = tables.load(args.validation, spec.validation)
    check_episodes(args.validation, validation.index, args.features, {"index": identity})
    digests = dict(prepared.inputs)
    for source in sources:
        digests |= source.digests
    digests |= {"index": identity, "clips": split.content, "validation": validation.content}
    train_rows = np.concatenate(split.rows) if model.trainable else np.empty(0, np.int64)
    rows = np.concatenate([train_rows, validation.rows])
    last = args.checkpoint.with_name("last.pt")
    for source in sources:
        source.attach(model.head)
        source.load(train_rows, args.memory_gib, args.threads, many_views=train_rows)
    features = bank(rows, many_views=train_rows)
    with alone(args.checkpoint.with_name("train.lock"), f"train {spec.model_id}"):
        state, history = train(
            spec, model, features, split, validation, last, machine, args.code, sources, digests
        )
        with atomic_write(args.history) as stream:
            table = pd.DataFrame(history).assign(model=spec.model_id)
            table.to_csv(stream, index=False, lineterminator="\n")
        state = {key: value.cpu() for key, value in state.items()}
        value = {"run": spec.digest, "model": state, "environment": environment(), "inputs": digests}
        checkpoint.save(args.checkpoint, value)
        last.unlink(missing_ok=True)
    print(machine.meter.line(machine.device))
