"""The thin front under the name `snakemake`.

Snakemake's parser takes every word after `--resources` for a resource, so the natural line
`snakemake --cores 32 --resources gpu=4 results/tables/table2.csv` fails in every version. This
front puts the words that cannot be resources back among the targets and hands everything else to
Snakemake untouched. At the end it repeats the one-line errors of failed jobs, which Snakemake's own
report buries, and exits with status 2 for them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from fsar_core.errors import printable

SPACE = 256 * 1024  # bytes: with less than this, what fails has most likely failed for it
OPTIONS = (
    "--resources",
    "--res",
    "--config",
    "-C",
    "--set-threads",
    "--set-resources",
    "--set-resource-scopes",
    "--set-scatter",
    "--consider-ancient",
    "--groups",
    "--group-components",
    "--default-resources",
    "--default-res",
)


def untangle(argv: list[str]) -> list[str]:
    """Return the words with targets moved where Snakemake's parser takes them for targets.

    These are words without `=` after an option of NAME=VALUE pairs; they go to the front, or after
    a `--`.
    """
    targets: list[str] = []
    rest: list[str] = []
    inside = False
    for position, word in enumerate(argv):
        if word == "--":
            return [*rest, "--", *targets, *argv[position + 1 :]]
        if word.startswith("-"):
            inside = word in OPTIONS
        elif inside and "=" not in word:
            targets.append(word)
            continue
        rest.append(word)
    return [*targets, *rest]


def _full(folder: Path) -> str | None:
    """What to say of a disk on which Snakemake itself could write nothing any more."""
    free = shutil.disk_usage(folder).free if folder.is_dir() else SPACE
    if free >= SPACE:
        return None
    return (
        f"fsar: error: {folder.resolve()}: the disk is full ({free} bytes left); free space and "
        f"run the same command again"
    )


def _directory(argv: list[str]) -> Path:
    """The working directory that a command line of Snakemake names; profiles are not read."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-d", "--directory", type=Path, default=Path())
    return parser.parse_known_args(argv)[0].directory


def main() -> None:
    """Entry point of the console script `snakemake`."""
    from snakemake.cli import main as snakemake

    # The rules say `python`: the one beside this front, whether or not its environment is
    # activated.
    os.environ["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    )
    with tempfile.TemporaryDirectory(prefix="fsar-errors-") as folder:
        told = Path(folder) / "errors"
        os.environ["FSAR_ERRORS"] = str(told)
        argv = untangle(sys.argv[1:])
        try:
            snakemake(argv)
            status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
        if status == 1 and (full := _full(_directory(argv))):
            lines.append(full)
    if (
        status == 1
    ):  # jobs failed; a mistake in the configuration was told last anyway, with status 2
        for line in dict.fromkeys(lines):
            print(printable(line), file=sys.stderr)
    sys.exit(2 if lines and status else status)
