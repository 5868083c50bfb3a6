"""Run a command with GPUs of its own: `fsar lease -n 1 -- COMMAND ...` waits for free
devices and becomes COMMAND."""

from __future__ import annotations

import argparse

from fsar_core.runtime.devices import lease


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n",
        type=int,
        required=True,
        metavar="COUNT",
        help="devices; 0 runs the command without any",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --")


def run(args: argparse.Namespace) -> None:
    lease(args.n, args.command[1:] if args.command[:1] == ["--"] else args.command)
