"""Train a small backbone on the training classes of a frame store, with weights and history as
files."""

from __future__ import annotations

import argparse

from fsar_core.cli.options import labels as label_options
from fsar_core.specs import BackboneTrainingSpec


def arguments(parser: argparse.ArgumentParser) -> None:
    label_options.arguments(parser, "BackboneTrainingSpec", "frames", "the frame store")


def run(args: argparse.Namespace) -> None:
    from fsar_core.training.on_labels import train_backbone_on

    spec = BackboneTrainingSpec.parse(args.spec)
    print(train_backbone_on(spec, args.frames, **label_options.settings(args)))
