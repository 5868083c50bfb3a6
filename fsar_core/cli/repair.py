"""Make what is damaged again, and nothing else: only the bad shards of a store, a run, a file."""

from __future__ import annotations

import argparse

from fsar_core.errors import FsarError
from fsar_core.maintenance.repair import repair
from fsar_core.storage.places import place

WORDS = (
    "stores, folders of runs or files, as `fsar verify` names them; behind `--` the options of "
    "your snakemake command, as in `fsar repair STORE -- --cores 8 --configfile mine.yaml`"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    # With all words in one argument, those behind `--` stay apart.
    parser.add_argument(
        "paths", nargs=argparse.REMAINDER, metavar="PATH ... -- OPTIONS", help=WORDS
    )


def run(args: argparse.Namespace) -> None:
    split = args.paths.index("--") if "--" in args.paths else len(args.paths)
    paths, words = args.paths[:split], args.paths[split + 1 :]
    if not paths or any(path.startswith("-") for path in paths):
        raise FsarError(f"expected {WORDS}")
    repair([place(path) for path in paths], words)
