"""Plan a store: decide its arrays, create them empty with their final shape, write plan.json."""

from __future__ import annotations

import argparse

from fsar_core.data.index import read_index
from fsar_core.storage.locks import alone
from fsar_core.storage.places import place
from fsar_core.stores import layout


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", required=True, help="JSON of a FrameSpec, FeatureSpec, MaskSpec or SaliencySpec")
    parser.add_argument("--store", type=place, required=True)
    parser.add_argument("--index", type=place, required=True)
    parser.add_argument("--clips-per-job", type=int, required=True)


def run(args: argparse.Namespace) -> None:
    spec = layout.parse_spec(args.spec)
    index = read_index(args.index)
    if spec.kind == "frames":
        from fsar_core.store_kinds import frames as frame_store

        plan = frame_store.plan(spec, index, args.clips_per_job)
    elif spec.kind == "masks":
        from fsar_core.store_kinds import masks as masks_store

        plan = masks_store.plan(spec, index, args.clips_per_job)
    elif spec.kind == "saliency":
        from fsar_core.store_kinds import saliency as saliency_store

        plan = saliency_store.plan(spec, len(index), args.clips_per_job)
    else:
        from fsar_core.components.registry import build
        from fsar_core.store_kinds.features import plan as plan_features

        # The shape of a cut does not depend on the weights, so none are needed yet.
        backbone = build("backbones", spec.backbone.name, **spec.backbone.params)
        plan = plan_features(spec, backbone, len(index), args.clips_per_job)
    with alone(args.store / "locks" / "store.lock", "plan"):
        layout.create(args.store, plan)
