"""Train a small backbone on the training classes of a frame store and write its weights and history."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.data.index import index_identity, read_index
from fsar_core.specs import BackboneTrainingSpec
from fsar_core.storage.bindings import check_index
from fsar_core.storage.places import place


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", required=True, help="JSON of a BackboneTrainingSpec")
    parser.add_argument("--frames", type=place, required=True, help="the frame store")
    parser.add_argument("--index", type=place, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--history", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    import numpy as np
    import pandas as pd
    import torch

    from fsar_core.models import backbone_weights
    from fsar_core.runtime.devices import Meter, torch_device
    from fsar_core.storage.provenance import atomic_write
    from fsar_core.stores.reader import StoreReader
    from fsar_core.training.tsn import train_backbone

    spec = BackboneTrainingSpec.parse(args.spec)
    torch.set_num_threads(args.threads)
    meter = Meter()
    reader, index = StoreReader(args.frames, "frames", spec.frames), read_index(args.index)
    check_index(args.index, index_identity(index), [reader])
    train = index[(index.split == "train") & ~index.row.isin(reader.failed)]
    labels = np.unique(train["class"], return_inverse=True)[1].astype(np.int64)
    with meter.wait():
        frames = reader.read(train.row.to_numpy(), threads=args.threads)
    device = torch_device(args.device)
    state, history = train_backbone(spec, frames, labels, device, meter)
    backbone_weights.save(args.out, {key: value.cpu() for key, value in state.items()}, spec.digest)
    with atomic_write(args.history) as stream:
        pd.DataFrame(history).to_csv(stream, index=False, lineterminator="\n")
    print(meter.line(device))
