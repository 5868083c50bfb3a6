"""Train a run's head on cached features; the best of its validations is kept."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.cli.options import inputs as input_options
from fsar_core.cli.options import model as model_options
from fsar_core.specs import ModelSpec
from fsar_core.storage.places import place


def arguments(parser: argparse.ArgumentParser) -> None:
    model_options.arguments(parser)
    input_options.arguments(parser, "the artifact of another input that the spec names")
    parser.add_argument("--index", type=place, required=True)
    parser.add_argument("--masks", type=place, help="the masks store, if the spec has one")
    parser.add_argument("--saliency", type=place, help="the saliency store, if the spec has one")
    parser.add_argument(
        "--classifier", type=Path, help="the trained classifier of frames, if the spec has one"
    )
    parser.add_argument("--validation", type=Path, required=True, help="frozen validation episodes")
    parser.add_argument(
        "--code",
        default="",
        help="digest of the training code; a training by other code is not resumed",
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--history", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    from fsar_core.training.train_model import train_model

    spec = ModelSpec.parse(args.spec)
    opened = model_options.opened(args, spec, spec.features)
    paths = {"masks": args.masks, "saliency": args.saliency, "classifier": args.classifier}
    train_model(
        opened,
        args.index,
        args.validation,
        {**paths, **dict(args.input)},
        args.checkpoint,
        args.history,
        args.code,
    )
    print(opened.machine.meter.line(opened.machine.device))
