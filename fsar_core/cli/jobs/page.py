"""Write a page of a paper's report, for example its training curves or the effects of modules."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.papers.jobs import parse
from fsar_core.papers.registry import kind, kinds
from fsar_core.rendering import html


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", required=True, choices=kinds("report"))
    parser.add_argument("--paper", required=True)
    parser.add_argument(
        "--spec", required=True, help="JSON of the page, as its kind gathers it from a study"
    )
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    page = parse(kind("report", args.kind), args.spec)
    html.write(args.out, page.render(args.paper))
