"""Count parameters, or measure memory, time and operations, of the rows of a table."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.cli.options import json_spec


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--spec",
        required=True,
        help="JSON: rows of [name, head, metric or null], dim and frames; what is measured also "
        "names the episode",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    from fsar_core.evaluation.complexity import write_costs

    spec = json_spec.with_keys(args.spec, "rows")
    rows = write_costs(spec, args.out, args.device, args.threads)
    print(f"{args.out}: {rows} rows")
