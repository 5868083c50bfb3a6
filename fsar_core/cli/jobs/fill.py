"""Fill one job's rows of a planned store and write the receipt."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.cli.options import inputs as input_options
from fsar_core.storage.places import place
from fsar_core.stores import kinds, layout


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", required=True, help="JSON of the spec of a store of any kind")
    parser.add_argument("--store", type=place, required=True)
    parser.add_argument("--index", type=place, required=True)
    parser.add_argument("--job", type=int, required=True)
    parser.add_argument("--receipt", type=place, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="frames, masks: the folder of the data set")
    parser.add_argument(
        "--timeout", type=float, default=60.0, help="frames: seconds that a clip may take"
    )
    parser.add_argument("--frames", type=place, help="features, masks: the frame store")
    parser.add_argument("--features", type=place, help="saliency: the feature store")
    input_options.arguments(parser, "other kinds: another store or file that they are made from")
    parser.add_argument(
        "--weights", help="a file (saliency: the classifier), or a name that the backbone knows"
    )
    parser.add_argument("--weights-root", type=Path, help="features: where named weights are kept")
    parser.add_argument(
        "--batch-clips", type=int, default=16, help="features: clips of one forward pass"
    )
    parser.add_argument(
        "--batch-frames", type=int, default=8, help="masks: frames of one forward pass"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--precision",
        choices=["full", "mixed"],
        default="full",
        help="features: mixed on a GPU only",
    )


def run(args: argparse.Namespace) -> None:
    from fsar_core.stores.jobs import fill

    options = kinds.FillOptions(
        threads=args.threads,
        device=args.device,
        folder=args.folder,
        timeout=args.timeout,
        frames=args.frames,
        features=args.features,
        inputs=dict(args.input),
        weights=args.weights,
        weights_root=args.weights_root,
        batch_clips=args.batch_clips,
        batch_frames=args.batch_frames,
        mixed_precision=args.precision == "mixed",
    )
    spec = layout.parse_spec(args.spec)
    fill(spec, args.store, args.index, args.job, args.receipt, options)
