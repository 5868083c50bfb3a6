"""Options of verbs that work with a model, and the model that they describe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fsar_core.specs import FeatureSpec, ModelSpec
from fsar_core.storage.places import place

if TYPE_CHECKING:
    from fsar_core.models.assembly import OpenModel


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `train`, `evaluate` and `inspect`."""
    parser.add_argument("--spec", required=True, help="JSON of a ModelSpec (train) or RunSpec")
    parser.add_argument(
        "--features",
        type=place,
        required=True,
        help="the feature store; at the cut `frames` the frame store",
    )
    parser.add_argument("--weights", help="of the backbone; needed if a tail follows the cut")
    parser.add_argument("--weights-root", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--mixed-precision", action="store_true")
    parser.add_argument(
        "--memory-gib", type=float, default=2.0, help="features that may be held in memory"
    )
    parser.add_argument(
        "--evaluation-batch",
        type=_batch,
        default=None,
        help="test episodes of one forward pass; auto: by their size",
    )


def opened(args: argparse.Namespace, spec: ModelSpec, features: FeatureSpec) -> OpenModel:
    """Open the features that the options name and build the model.

    Args:
        features: what the model works on here.
    """
    from fsar_core.models.assembly import Compute, open_model

    compute = Compute(
        device=args.device,
        threads=args.threads,
        mixed_precision=args.mixed_precision,
        memory_gib=args.memory_gib,
        evaluation_batch=args.evaluation_batch,
    )
    return open_model(spec, args.features, args.weights, args.weights_root, features, compute)


def _batch(text: str) -> int | None:
    return None if text == "auto" else int(text)
