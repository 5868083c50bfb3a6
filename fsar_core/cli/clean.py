"""Remove stores, episodes, models, runs, tables and report pages that no configuration uses; shows
first what and how much."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fsar_core.cli.options import configuration
from fsar_core.maintenance import clean
from fsar_core.stores.access import InUse
from fsar_core.study import Study


def arguments(parser: argparse.ArgumentParser) -> None:
    configuration.arguments(parser)
    parser.add_argument(
        "--preset",
        nargs="+",
        help="what these use is kept; default: the preset of the configuration",
    )
    parser.add_argument("--workflow", type=Path, default=Path("workflow"))
    parser.add_argument("--yes", action="store_true", help="remove without a question")
    parser.add_argument(
        "--min-age",
        type=float,
        default=1.0,
        help="hours since the last change; younger is left alone",
    )


def run(args: argparse.Namespace) -> None:
    config = configuration.load(args)
    presets = args.preset or [config.preset]
    studies = [Study(configuration.with_preset(config, name), args.workflow) for name in presets]
    gone, left = clean.unused(studies, args.min_age * 3600)
    for item in left:
        print(f"left alone  {_size(item.bytes)}  {item.path}: {item.reason}")
    for item in gone:
        print(f"unused      {_size(item.bytes)}  {item.path}")
    size = _size(sum(item.bytes for item in gone)).strip()
    files = sum(item.files for item in gone)
    total = f"{len(gone)} unused, {size} in {files} files"
    print(f"{total}; kept is what {', '.join(presets)} uses")
    if not gone or not _agreed(args.yes):
        return
    clean.check_idle(Path.cwd())
    for item in gone:
        try:
            clean.remove(item)
        except InUse as error:  # since it was listed
            print(f"left alone  {_size(item.bytes)}  {item.path}: in use by {error.holder}")
    print("removed")


def _agreed(yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        print("nothing removed; `--yes` removes it")
        return False
    return input("Remove it? [y/N] ").strip().lower() in ("y", "yes")


def _size(count: int) -> str:
    return f"{count / 2**30:8.2f} GiB" if count >= 2**30 else f"{count / 2**20:8.2f} MiB"
