"""`fsar VERB ...`, also `python -m fsar_core VERB ...`: each verb is a module of fsar_core.cli."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import errno
import importlib
import io
import json
import os
import select
import sys
from pathlib import Path
from typing import TextIO

from fsar_core import __version__
from fsar_core.errors import FsarError, did_you_mean, printable_output

CLI = Path(__file__).parent / "cli"
# Name of a verb -> its module in fsar_core.cli.
VERBS = {
    path.stem.replace("_", "-"): ".".join(path.relative_to(CLI).with_suffix("").parts)
    for path in sorted([*CLI.glob("[a-z]*.py"), *CLI.glob("jobs/[a-z]*.py")])
}

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


def main(argv: list[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0; 2 after one line on standard error, for a mistake of the user; 141 if the reader of a
        pipe (`| head`) is gone.
    """
    for stream in (sys.stdout, sys.stderr):
        _make_writable(stream)
    with printable_output():
        return _main(sys.argv[1:] if argv is None else argv)


def _main(argv: list[str]) -> int:
    try:
        try:
            return _run(argv)
        finally:  # here, and not when Python ends, because what fails there cannot be handled
            if sys.stdout is not None:
                sys.stdout.flush()
    except FsarError as error:
        return report(error)
    except BrokenPipeError:
        if not _reader_is_gone(sys.stdout):  # another pipe, for example to a worker: a bug of ours
            raise
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # Python flushes once more when it ends
        return _STATUS_OF_SIGPIPE
    except OSError as error:
        # What lies in the user's hands is one line; anything else is a bug and keeps its traceback.
        if error.errno not in _USERS_ERRORS:
            raise
        return report(
            FsarError(
                f"{_shortened(error.filename)}: {error.strerror}; {_USERS_ERRORS[error.errno]}"
            )
        )


_STATUS_OF_SIGPIPE = 128 + 13  # of a program that a shell saw end by this signal
_ROOM = "free space or change the folder's rights"
_USERS_ERRORS = {
    **dict.fromkeys((errno.EACCES, errno.ENOSPC, errno.EROFS, errno.EDQUOT), _ROOM),
    errno.ENAMETOOLONG: "a path may have 4,095 bytes and each name in it 255; give a shorter one",
}
_JSON_OPTIONS = ("spec", "episode_spec", "wanted")


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_help())
        return 0
    if argv[0] in ("--version", "-V"):
        print(f"fsar {__version__}")
        return 0
    if argv[0] not in VERBS:
        raise FsarError(f"unknown verb '{argv[0]}'{did_you_mean(argv[0], VERBS)}")
    module = importlib.import_module(f"fsar_core.cli.{VERBS[argv[0]]}")
    parser = argparse.ArgumentParser(
        prog=f"fsar {argv[0]}", description=module.__doc__, allow_abbrev=False
    )
    parser.color = False  # of Python 3.14: colors are escape sequences, which would be written out
    module.arguments(parser)
    args = parser.parse_args(argv[1:])
    for option in _JSON_OPTIONS:
        _check_json(option, getattr(args, option, None))
    module.run(args)
    return 0


def _check_json(option: str, text: str | None) -> None:
    """Raise FsarError unless an option that holds JSON is a JSON object.

    The verb checks what the object contains.
    """
    name = "--" + option.replace("_", "-")
    try:
        value = {} if text is None else json.loads(text)
    except RecursionError:
        raise FsarError(
            f"{name}: nested too deeply; expected a JSON object, as the workflow passes it"
        ) from None
    except ValueError as error:
        raise FsarError(f"{name}: not readable as JSON: {error}; expected a JSON object") from None
    if not isinstance(value, dict):
        raise FsarError(f"{name}: expected a JSON object, found {json.dumps(value)[:40]}")


def _make_writable(stream: TextIO | None) -> None:
    """Let a stream write characters that its encoding does not have.

    The sign ± becomes `+-`, others become escape sequences.
    """
    codecs.register_error("fsar", _in_ascii)
    if isinstance(
        stream, io.TextIOWrapper
    ):  # tests and notebooks may have put something else there
        stream.reconfigure(errors="fsar")


def _in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError) and error.object[error.start] == "±":
        return "+-", error.start + 1
    return codecs.backslashreplace_errors(error)


def _reader_is_gone(stream: TextIO | None) -> bool:
    """Whether a stream is a pipe that nobody reads any more."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
    except (AttributeError, OSError, ValueError):  # no stream, or one that is no file
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _shortened(path: object) -> str:
    if path is None:
        return "its output"
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else str(path)
    return text if len(text) <= 200 else f"{text[:60]}..."


def report(error: FsarError) -> int:
    """Write one line to standard error and to the file that the `snakemake` front reads."""
    line = f"fsar: error: {error}"
    with contextlib.suppress(OSError):  # standard error may go to a log on a full disk
        print(line, file=sys.stderr, flush=True)
    target = os.environ.get("FSAR_ERRORS")
    if target:
        with (
            contextlib.suppress(OSError),
            open(target, "a", encoding="utf-8", errors="backslashreplace") as stream,
        ):
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
            text = (CLI / f"{VERBS[verb].replace('.', '/')}.py").read_text(encoding="utf-8")
            said = " ".join(text.split(chr(34) * 3)[1].split("\n\n")[0].split())
            lines.append(f"  {verb:17} {said}")
    return "\n".join(
        [
            *lines,
            "",
            "`fsar VERB --help` explains one; tables are made with snakemake: see README.md",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
