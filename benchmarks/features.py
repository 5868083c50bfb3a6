"""How much of a feature job is the backbone's forward.

    python benchmarks/features.py [--clips 16] [--batch 4] [--repeats 3] [--backbone resnet50] [--cut layer4] [--device cpu|cuda]
                                  [--threads N]

The job reads stored frames (8 of 256 x 256), crops, runs the backbone, writes the feature store, checksums and all. Compared
with it: the backbone's forward alone, on tensors in memory (a GPU's own), in the same batches. On a GPU in mixed precision.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _gpu import columns
from _side_by_side import Line, in_turn, time_text

from fsar_core.components.registry import build
from fsar_core.store_kinds import features as feature_store
from fsar_core.store_kinds import frames as frame_store
from fsar_core.stores.layout import create
from fsar_core.stores.manifest import seal
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import Block, write_job
from tests.builders import toy_feature_spec, toy_frame_spec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4, help="clips of one forward pass")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--cut", default="layer4")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device, mixed = torch.device(args.device), args.device == "cuda"
    layout = torch.channels_last if mixed else torch.contiguous_format
    backbone = build("backbones", args.backbone).eval().to(device)
    values = np.random.default_rng(0).integers(
        0, 256, (min(args.clips, 64), 1, 8, 64, 64, 3), np.uint8
    )
    values = values.repeat(4, axis=3).repeat(
        4, axis=4
    )  # blocks, so that zstd has the work that it has with pictures
    blocks = [values[: args.clips - start] for start in range(0, args.clips, 64)]
    frames_spec = toy_frame_spec(size=256)
    spec = toy_feature_spec(
        cut=args.cut, crop=224, dtype="float16" if mixed else "float32"
    ).model_copy(update={"frames": frames_spec})
    with tempfile.TemporaryDirectory() as scratch:
        frames, store = Path(scratch) / "frames", Path(scratch) / "features"
        plan = frame_store.plan(frames_spec, pd.DataFrame(index=range(args.clips)), args.clips)
        create(frames, plan)
        write_job(
            frames,
            0,
            [Block({"frames": block}, []) for block in blocks],
            frames / "receipts" / "0.json",
        )
        seal(frames, 0)
        features = feature_store.plan(spec, backbone.cpu(), args.clips, args.clips)
        images = torch.from_numpy(values[:, 0, :, 16:240, 16:240]).movedim(-1, 2).flatten(0, 1)
        images = images.contiguous(memory_format=layout).to(device)

        def job() -> None:
            shutil.rmtree(store, ignore_errors=True)
            create(store, features)
            reader, shape = StoreReader(frames, "frames", frames_spec), features.shapes["features"]
            how = dict(mixed_precision=mixed, threads=args.threads if mixed else 1)
            made = feature_store.blocks(
                spec,
                backbone,
                reader,
                frozenset(),
                shape,
                features.rows(0),
                args.batch,
                device,
                **how,
            )
            write_job(store, 0, made, store / "receipts" / "0.json", args.threads if mixed else 1)

        @torch.inference_mode()
        def forward() -> None:
            backbone.to(device, memory_format=layout)
            with torch.autocast(device.type, enabled=mixed):
                for block in blocks:
                    for start in range(0, len(block), args.batch):
                        backbone.to_cut(
                            images[start * 8 : min(start + args.batch, len(block)) * 8], args.cut
                        )

        whole, alone = in_turn(job, forward, repeats=args.repeats)
        gpu = columns(forward, statistics.median(whole), device, args.clips)
    figures = [time_text(statistics.median(times) / args.clips) for times in (whole, alone)]
    share = [part / all_of_it for part, all_of_it in zip(alone, whole)]
    what = f"features of a clip, {args.backbone} {args.cut}: share of the forward"
    Line(what, figures[0], "the forward alone", figures[1], share, "at least 0.95", gpu).show()


if __name__ == "__main__":
    main()
