"""Say what there is to know of one table, figure, data set, backbone, head, metric, mask provider
or run."""

from __future__ import annotations

import argparse
from pathlib import Path

from fsar_core.cli.options import configuration
from fsar_core.documentation.things import tell
from fsar_core.study import Study


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration.arguments(parser)
    parser.add_argument("name", metavar="NAME", help="as `fsar list` has it, or the id of a run")
    parser.add_argument("--workflow", type=Path, default=Path("workflow"))


def run(args: argparse.Namespace) -> None:
    print("\n".join(tell(Study(configuration.load(args), args.workflow), args.name)))
