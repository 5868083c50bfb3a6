"""Take out of a trained run what a kind of figure shows of it.

For example attention on chosen queries, features of episodes as the metric gets them, or predicted
masks.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fsar_core.cli.jobs import _run
from fsar_core.errors import FsarError
from fsar_core.papers.registry import kind
from fsar_core.specs import EpisodeSpec, RunSpec
from fsar_core.storage.bindings import check_episodes
from fsar_core.storage.places import place
from fsar_core.storage.provenance import canonical_json


def arguments(parser: argparse.ArgumentParser) -> None:
    _run.arguments(parser)
    parser.add_argument("--episodes", type=Path, required=True, help="frozen episodes")
    parser.add_argument("--episode-spec", required=True, help="JSON of their EpisodeSpec")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--frames", type=place, required=True, help="the frame store, for pictures")
    parser.add_argument("--masks", type=place, help="the masks store, for masks")
    parser.add_argument("--index", type=place, help="the clip index, for masks")
    parser.add_argument("--kind", required=True, help="kind of the figure")
    parser.add_argument(
        "--wanted",
        required=True,
        help="JSON: what to take out, as `wanted` of the figure kind returns it",
    )
    parser.add_argument("--out", type=Path, required=True, help=".npz")


def run(args: argparse.Namespace) -> None:
    figure_kind = kind("figures", args.kind)
    if not figure_kind.inspection:
        raise FsarError(f"figures of kind '{args.kind}' take nothing out of trained runs")
    _inspect(args, figure_kind.inspection)


def _inspect(args: argparse.Namespace, inspection: str) -> None:
    """Call an inspection ("module:function") and write its arrays."""
    import pkgutil

    import numpy as np

    from fsar_core.episodes import tables
    from fsar_core.evaluation import arrays
    from fsar_core.evaluation.opened_run import OpenedRun
    from fsar_core.stores.reader import StoreReader

    spec = RunSpec.parse(args.spec)
    trained = _run.opened(args, spec, spec.tested_on)
    inputs = trained.load(args.checkpoint, spec)
    table = tables.load(args.episodes, EpisodeSpec.parse(args.episode_spec))
    frames = StoreReader(args.frames, "frames", spec.tested_on.frames)
    for reader in (trained.reader, frames):
        check_episodes(args.episodes, table.index, reader.store, reader.inputs)
    opened = OpenedRun(
        spec=spec,
        trained=trained,
        table=table,
        frames=frames,
        masks=args.masks,
        index=args.index,
    )
    taken = pkgutil.resolve_name(inspection)(opened, json.loads(args.wanted))
    print(trained.machine.meter.line(trained.machine.device))
    taken |= {
        "inputs": np.array(canonical_json(inputs | {"episodes": table.content})),
        "run": np.array(spec.run_id),
        "dataset": np.array(spec.tested_on.dataset),
        "shot": np.array(table.spec.shot),
    }
    arrays.save(args.out, taken)
    print(f"{args.out}: {len(taken)} arrays of {spec.run_id}")
