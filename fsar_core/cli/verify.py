"""Check every byte of a store against its receipts and name the jobs to make again."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from fsar_core.errors import FsarError
from fsar_core.stores.verify import damaged_jobs


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", type=Path)


def run(args: argparse.Namespace) -> None:
    bad = damaged_jobs(args.store)
    if bad:
        job, reason = next(iter(bad.items()))
        files = [args.store / "manifest.json", *(args.store / "receipts" / f"{number}.json" for number in bad)]
        raise FsarError(
            f"{args.store}: {len(bad)} damaged jobs, first {job} ({reason}); mend with: rm -f {shlex.join(map(str, files))}; "
            f"then run the same snakemake command again"
        )
    print(f"{args.store}: every file is as its receipt says")
