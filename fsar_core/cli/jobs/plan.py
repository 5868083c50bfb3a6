"""Plan a store: decide its arrays, create them empty with their final shape, write plan.json."""

from __future__ import annotations

import argparse

from fsar_core.storage.places import place
from fsar_core.stores import jobs, layout


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", required=True, help="JSON of the spec of a store of any kind")
    parser.add_argument("--store", type=place, required=True)
    parser.add_argument("--index", type=place, required=True)
    parser.add_argument("--clips-per-job", type=int, required=True)


def run(args: argparse.Namespace) -> None:
    jobs.plan(layout.parse_spec(args.spec), args.store, args.index, args.clips_per_job)
