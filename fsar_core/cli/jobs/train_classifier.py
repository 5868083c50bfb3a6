"""Train the classifier of frames on the training clips of a feature store and write its checkpoint
and history."""

from __future__ import annotations

import argparse

from fsar_core.cli.options import labels as label_options
from fsar_core.specs import ClassifierSpec


def arguments(parser: argparse.ArgumentParser) -> None:
    label_options.arguments(parser, "ClassifierSpec", "features", "the feature store")


def run(args: argparse.Namespace) -> None:
    from fsar_core.training.on_labels import train_classifier_on

    spec = ClassifierSpec.parse(args.spec)
    print(train_classifier_on(spec, args.features, **label_options.settings(args)))
