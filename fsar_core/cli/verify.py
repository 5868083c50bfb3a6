"""Check every byte of stores, clip indices, episodes, models and results against their
checksums."""

from __future__ import annotations

import argparse
import shlex

from fsar_core.cli.options import configuration
from fsar_core.errors import FsarError
from fsar_core.maintenance import verify
from fsar_core.storage.places import place


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        type=place,
        nargs="*",
        help="stores, folders of runs, single files; default: everything",
    )
    configuration.arguments(parser)


def run(args: argparse.Namespace) -> None:
    paths = list(dict.fromkeys(map(verify.unit_of, args.paths)))
    paths = paths or verify.everything(configuration.load(args).roots)
    bad = []
    for path in paths:
        found = verify.check(path)
        bad += [path] if found.faults else []
        for line in found.faults or [found.note]:
            print(f"{path}: {line}", flush=True)
    if bad:
        command = f"fsar repair {shlex.join(map(str, bad))}"
        raise FsarError(f"{len(bad)} of {len(paths)} checked are damaged; mend with `{command}`")
    print(f"{len(paths)} checked, none damaged")
