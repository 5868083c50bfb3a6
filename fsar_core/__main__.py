"""`fsar VERB ...`, also `python -m fsar_core VERB ...`: one verb a stage, each a file in fsar_core/cli."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from pathlib import Path

from fsar_core import __version__
from fsar_core.errors import FsarError, did_you_mean, printable_output

VERBS = {path.stem.replace("_", "-"): path.stem for path in sorted((Path(__file__).parent / "cli").glob("[a-z]*.py"))}

# What people type; `fsar --help` tells them first.
PEOPLES = (
    "list",
    "show",
    "check",
    "status",
    "cost",
    "init-dataset",
    "import-split",
    "verify",
    "repair",
    "clean",
    "docs",
)


@printable_output()
def main(argv: list[str] | None = None) -> int:
    """Run one verb. Returns 0, or 2 after one line on standard error for a mistake of the user's."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print(_help())
            return 0
        if argv[0] in ("--version", "-V"):
            print(f"fsar {__version__}")
            return 0
        if argv[0] not in VERBS:
            raise FsarError(f"unknown verb '{argv[0]}'{did_you_mean(argv[0], VERBS)}")
        module = importlib.import_module(f"fsar_core.cli.{VERBS[argv[0]]}")
        parser = argparse.ArgumentParser(prog=f"fsar {argv[0]}", description=module.__doc__, allow_abbrev=False)
        parser.color = False  # of Python 3.14: colors are escape sequences, which would be written out
        module.arguments(parser)
        module.run(parser.parse_args(argv[1:]))
        return 0
    except FsarError as error:
        return report(error)
    except OSError as error:
        # A full disk or a forbidden folder is no bug of ours; anything else keeps its traceback.
        if error.errno in _USERS_ERRNO:
            return report(
                FsarError(
                    f"{error.filename or 'its output'}: {error.strerror}; free space or change the folder's rights"
                )
            )
        raise


_USERS_ERRNO = {13, 28, 30, 122}  # EACCES, ENOSPC, EROFS, EDQUOT


def report(error: FsarError) -> int:
    """One line on standard error, and into the file that the `snakemake` front reads (FSAR_ERRORS)."""
    line = f"fsar: error: {error}"
    with contextlib.suppress(OSError):  # standard error may go to a log on a full disk
        print(line, file=sys.stderr, flush=True)
    target = os.environ.get("FSAR_ERRORS")
    if target:
        with contextlib.suppress(OSError), open(target, "a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(line + "\n")
    return 2


def _help() -> str:
    lines = [f"fsar {__version__}: few-shot action recognition from cached features"]
    for title, verbs in (
        ("verbs:", PEOPLES),
        ("verbs that the workflow calls:", [v for v in VERBS if v not in PEOPLES]),
    ):
        lines += ["", title]
        for verb in verbs:
            text = (Path(__file__).parent / "cli" / f"{VERBS[verb]}.py").read_text(encoding="utf-8")
            said = " ".join(text.split(chr(34) * 3)[1].split("\n\n")[0].split())
            lines.append(f"  {verb:17} {said}")
    return "\n".join([*lines, "", "`fsar VERB --help` explains one; tables are made with snakemake: see README.md"])


if __name__ == "__main__":
    sys.exit(main())
