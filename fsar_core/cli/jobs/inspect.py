"""Look into a trained run for a figure: what it attends to or what speaks for a class on chosen queries, what its metric is
given of episodes, or which masks it predicts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fsar_core.cli.jobs import _run
from fsar_core.specs import RunSpec
from fsar_core.storage.places import place
from fsar_core.storage.provenance import canonical_json

WANTED = """JSON: {"attention": [[episode, query], ...], "grid": n, "episodes": n}, {"cam": [[episode, query], ...], "evidence":
episodes, if any}, {"embedding": true} or {"masks": shown clips, "clips": measured ones at most}"""


def arguments(parser: argparse.ArgumentParser) -> None:
    _run.arguments(parser)
    parser.add_argument("--episodes", type=Path, required=True, help="frozen episodes")
    parser.add_argument("--episode-spec", required=True, help="JSON of their EpisodeSpec")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--frames", type=place, required=True, help="the frame store, for pictures")
    parser.add_argument("--masks", type=place, help="the masks store, for masks")
    parser.add_argument("--index", type=place, help="the clip index, for masks")
    parser.add_argument("--wanted", required=True, help=WANTED)
    parser.add_argument("--out", type=Path, required=True, help=".npz")


def run(args: argparse.Namespace) -> None:
    import numpy as np

    from fsar_core.cli.jobs._inspect import look
    from fsar_core.evaluation import arrays

    spec = RunSpec.parse(args.spec)
    table, inputs, found = look(args, spec, json.loads(args.wanted))
    found |= {
        "inputs": np.array(canonical_json(inputs)),
        "run": np.array(spec.run_id),
        "dataset": np.array(spec.tested_on.dataset),
        "shot": np.array(table.spec.shot),
    }
    arrays.save(args.out, found)
    print(f"{args.out}: {len(found)} arrays of {spec.run_id}")
