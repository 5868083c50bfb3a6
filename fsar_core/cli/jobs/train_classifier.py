"""Train the classifier of frames on the training clips of a feature store and write its checkpoint and history."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.data.index import index_identity, read_index
from fsar_core.specs import ClassifierSpec
from fsar_core.storage.bindings import check_index, store_content
from fsar_core.storage.places import place


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", required=True, help="JSON of a ClassifierSpec")
    parser.add_argument("--features", type=place, required=True, help="the feature store")
    parser.add_argument("--index", type=place, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--history", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    import numpy as np
    import pandas as pd
    import torch

    from fsar_core.runtime.devices import Meter, torch_device
    from fsar_core.saliency.classifier import train_classifier
    from fsar_core.storage import checkpoint
    from fsar_core.storage.provenance import atomic_write, environment
    from fsar_core.store_kinds.saliency import pooled
    from fsar_core.stores.reader import StoreReader

    spec = ClassifierSpec.parse(args.spec)
    torch.set_num_threads(args.threads)
    device, meter = torch_device(args.device), Meter()
    reader, index = StoreReader(args.features, "features", spec.features), read_index(args.index)
    inputs = {"index": index_identity(index), "features": store_content(reader)}
    check_index(args.index, inputs["index"], [reader])
    listed = index[index.split == "train"]
    train = listed[~listed.row.isin(reader.failed)]
    # Classes are numbered among all that are listed, as a head counts them.
    names = np.unique(listed["class"])
    labels = torch.from_numpy(np.searchsorted(names, train["class"]).astype(np.int64))
    with meter.wait():
        features = pooled(reader, train.row.to_numpy(), threads=args.threads)
    settings = spec.model_dump(exclude={"features", "version"})
    state, history = train_classifier(features, labels, classes=len(names), device=device, **settings)
    with atomic_write(args.history) as stream:
        pd.DataFrame(history).to_csv(stream, index=False, lineterminator="\n")
    value = {"run": spec.digest, "model": state, "environment": environment(), "inputs": inputs}
    checkpoint.save(args.out, value)
    print(meter.line(device))
    last = history[-1]
    print(f"{args.out}: {len(train)} clips of {len(names)} classes, {last['accuracy']:.1%} right in the last epoch")
