"""Draw the frozen episodes of a spec and write their table."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.episodes.drawing import draw_episodes
from fsar_core.specs import EpisodeSpec
from fsar_core.storage.places import place


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", required=True, help="JSON of an EpisodeSpec")
    parser.add_argument("--index", type=place, required=True)
    parser.add_argument(
        "--frames",
        type=place,
        required=True,
        help="the frame store: its failed clips are left out",
    )
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    draw_episodes(EpisodeSpec.parse(args.spec), args.index, args.frames, args.out)
