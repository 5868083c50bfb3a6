"""Take out of a trained run what a kind of figure shows of it.

For example attention on chosen queries, features of episodes as the metric gets them, or predicted
masks.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fsar_core.cli.options import model as model_options
from fsar_core.errors import FsarError
from fsar_core.papers.registry import kind
from fsar_core.specs import EpisodeSpec, RunSpec
from fsar_core.storage.places import place


def arguments(parser: argparse.ArgumentParser) -> None:
    model_options.arguments(parser)
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

    from fsar_core.evaluation.inspect_run import Files, inspect_run

    spec = RunSpec.parse(args.spec)
    episodes = EpisodeSpec.parse(args.episode_spec, "--episode-spec")
    trained = model_options.opened(args, spec, spec.tested_on)
    files = Files(args.episodes, args.checkpoint, args.frames, args.masks, args.index)
    wanted = json.loads(args.wanted)
    taken = inspect_run(spec, trained, episodes, files, figure_kind.inspection, wanted, args.out)
    print(trained.machine.meter.line(trained.machine.device))
    print(f"{args.out}: {len(taken)} arrays of {spec.run_id}")
