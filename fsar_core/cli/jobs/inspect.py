"""Look into a trained run for a figure: what it attends to or what speaks for a class on chosen
queries, what its metric is given of episodes, or which masks it predicts."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.cli.options import model as model_options
from fsar_core.specs import EpisodeSpec, RunSpec
from fsar_core.storage.places import place

WANTED = """JSON: {"attention": [[episode, query], ...], "grid": n, "episodes": n},
{"cam": [[episode, query], ...], "evidence": episodes, if any}, {"embedding": true} or
{"masks": shown clips, "clips": measured ones at most}"""


def arguments(parser: argparse.ArgumentParser) -> None:
    model_options.arguments(parser)
    parser.add_argument("--episodes", type=Path, required=True, help="frozen episodes")
    parser.add_argument("--episode-spec", required=True, help="JSON of their EpisodeSpec")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--frames", type=place, required=True, help="the frame store, for pictures")
    parser.add_argument("--masks", type=place, help="the masks store, for masks")
    parser.add_argument("--index", type=place, help="the clip index, for masks")
    parser.add_argument("--wanted", required=True, help=WANTED)
    parser.add_argument("--out", type=Path, required=True, help=".npz")


def run(args: argparse.Namespace) -> None:
    from fsar_core.evaluation.inspect_run import Files, Wanted, inspect_run

    spec = RunSpec.parse(args.spec)
    episodes = EpisodeSpec.parse(args.episode_spec, "--episode-spec")
    wanted = Wanted.parse(args.wanted, "--wanted")
    opened = model_options.opened(args, spec, spec.tested_on)
    files = Files(args.episodes, args.checkpoint, args.frames, args.masks, args.index)
    found = inspect_run(spec, opened, episodes, files, wanted, args.out)
    print(opened.machine.meter.line(opened.machine.device))
    print(f"{args.out}: {len(found)} arrays of {spec.run_id}")
