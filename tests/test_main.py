"""The command line: one line and status 2 for a mistake, a traceback for a bug."""

from __future__ import annotations

import argparse
import ast
import errno
import importlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fsar_core
from fsar_core.__main__ import PEOPLES, VERBS, main
from fsar_core.cli.jobs import seal
from fsar_core.errors import FsarError
from fsar_core.storage.places import place

CLI = Path(fsar_core.__file__).parent / "cli"


@pytest.fixture
def broken(monkeypatch, tmp_path):
    """broken(error) makes the verb `seal` raise it; returns the command line to run."""
    monkeypatch.delenv("FSAR_ERRORS", raising=False)

    def install(error):
        def run(args):
            raise error

        monkeypatch.setattr(seal, "run", run)
        return ["seal", "--store", str(tmp_path), "--max-failures", "0"]

    return install


def fsar(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "fsar_core", *words],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


@pytest.mark.parametrize(
    ("verb", "line"),
    [
        ("lst", "fsar: error: unknown verb 'lst'; did you mean 'list'?\n"),
        ("train_head", "fsar: error: unknown verb 'train_head'; did you mean 'train'?\n"),
        ("demo_videos", "fsar: error: unknown verb 'demo_videos'; did you mean 'demo-videos'?\n"),
        ("_run", None),
        ("../devices", None),
        ("--list", "fsar: error: unknown verb '--list'; did you mean 'list'?\n"),
    ],
)
def test_unknown_verbs(capsys, verb, line):
    assert main([verb]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"fsar: error: unknown verb '{verb}'; ")
    assert err.count("\n") == 1
    assert line is None or err == line


def test_a_mistake_is_one_line_and_status_2(tmp_path):
    done = fsar("seal", "--store", str(tmp_path), "--max-failures", "0", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"fsar: error: {tmp_path}")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_a_message_of_many_lines_becomes_one(broken, capsys):
    assert main(broken(FsarError("first\nsecond\n\n third"))) == 2
    assert capsys.readouterr().err == "fsar: error: first second third\n"


def test_the_line_also_goes_where_the_front_reads_it(monkeypatch, tmp_path):
    """Of a clip, too, whose name is no UTF-8."""
    monkeypatch.setenv("FSAR_ERRORS", str(tmp_path / "errors"))
    first = fsar("seal", "--store", "/nowhere/\udcff", "--max-failures", "0")
    second = fsar("lst")
    assert (first.returncode, second.returncode) == (2, 2)
    assert first.stderr.startswith("fsar: error: /nowhere/\\udcff")
    assert second.stderr == "fsar: error: unknown verb 'lst'; did you mean 'list'?\n"
    assert (tmp_path / "errors").read_text(encoding="utf-8") == first.stderr + second.stderr


def test_a_forbidden_errors_file_hides_no_error(broken, monkeypatch, tmp_path, capsys):
    line = broken(FsarError("told"))
    monkeypatch.setenv("FSAR_ERRORS", str(tmp_path))
    assert main(line) == 2
    assert capsys.readouterr().err == "fsar: error: told\n"


@pytest.mark.parametrize(
    "bug", [ZeroDivisionError("division by zero"), KeyError("x"), FileNotFoundError(2, "gone", "x")]
)
def test_a_bug_keeps_its_traceback(broken, bug):
    with pytest.raises(type(bug)) as raised:
        main(broken(bug))
    assert raised.value is bug


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_is_no_bug(broken, capsys, number):
    assert main(broken(OSError(number, "No room", "/data/x"))) == 2
    assert (
        capsys.readouterr().err
        == "fsar: error: /data/x: No room; free space or change the folder's rights\n"
    )
    assert main(broken(OSError(number, "No room"))) == 2
    assert (
        capsys.readouterr().err
        == "fsar: error: its output: No room; free space or change the folder's rights\n"
    )


def words_of(verb: str, path: str, text: str) -> list[str]:
    """A command line with every path, JSON and other option of a verb that has no default."""
    parser = argparse.ArgumentParser()
    importlib.import_module(f"fsar_core.cli.{VERBS[verb]}").arguments(parser)
    words = []
    for action in parser._actions:
        takes_path = action.type in (Path, place)
        if isinstance(action, argparse._HelpAction) or not (takes_path or action.required):
            continue
        value = path if takes_path else "1" if action.type in (int, float) else text
        value = next(iter(action.choices)) if action.choices else value
        words = (
            [*words, *action.option_strings[-1:], value]
            if action.option_strings
            else [value, *words]
        )
    return [verb, *words]


# `lease` becomes another program, and `list` takes no path.
@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"lease", "list"}))
def test_a_path_that_is_too_long_is_one_line(verb, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FSAR_ERRORS", raising=False)
    assert main(words_of(verb, "/x" * 2500, "{}")) == 2
    _, err = capsys.readouterr()
    assert err.startswith("fsar: error: ") and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "x", "{", '{"a": NaN', "[" * 100_000 + "]" * 100_000, "[1]", "1"], ids=range(7)
)
@pytest.mark.parametrize(
    "words",
    [
        ["table", "--name", "t", "--runs", "r", "--out", "o", "--spec"],
        ["draw-episodes", "--index", "i", "--frames", "f", "--out", "o", "--spec"],
        [
            "demo-videos",
            "--dataset",
            "d",
            "--folder",
            "f",
            "--seed",
            "0",
            "--receipt",
            "r",
            "--spec",
        ],
    ],
    ids=lambda words: words[0],
)
def test_a_spec_that_is_no_json_object_is_one_line(words, text, capsys, monkeypatch):
    monkeypatch.delenv("FSAR_ERRORS", raising=False)
    assert main([*words, text]) == 2
    _, err = capsys.readouterr()
    assert (
        err.startswith("fsar: error: --spec: ")
        and err.count("\n") == 1
        and "expected a JSON object" in err
    )
    assert len(err) < 200


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["table", "--name", "t", "--runs", "r", "--out", "o"], "table"),
        (["figure", "--name", "f", "--runs", "r", "--out", "o"], "figure"),
        (["page", "--kind", "times", "--paper", "p", "--out", "o"], "benchmarks"),
        (["complexity", "--out", "o"], "rows"),
    ],
    ids=lambda words: words[0],
)
def test_a_spec_that_lacks_a_key_is_one_line(words, key, capsys, monkeypatch):
    monkeypatch.delenv("FSAR_ERRORS", raising=False)
    assert main([*words, "--spec", "{}"]) == 2
    _, err = capsys.readouterr()
    assert err.startswith(f"fsar: error: --spec: missing key '{key}'")
    assert err.count("\n") == 1


@pytest.mark.parametrize("verb", ["plan", "fill"])
@pytest.mark.parametrize("kind", ["frames", "features", "masks", "saliency"])
def test_an_incomplete_spec_of_a_store_is_one_line(verb, kind, capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("FSAR_ERRORS", raising=False)
    words = ["--store", str(tmp_path), "--index", "i", "--spec", f'{{"kind": "{kind}"}}']
    more = ["--clips-per-job", "1"] if verb == "plan" else ["--job", "0", "--receipt", "r"]
    assert main([verb, *words, *more]) == 2
    _, err = capsys.readouterr()
    assert err.startswith("fsar: error: --spec is no ") and err.count("\n") == 1


def test_signs_that_a_terminal_does_not_have():
    code = (
        "import sys; from fsar_core import __main__\n"
        "__main__._run = lambda argv: print('49.2 ± 0.3, é, \\udcff') or 0\n"
        "sys.exit(__main__.main(['x']))"
    )
    for encoding, printed in (
        ("ascii", b"49.2 +- 0.3, \\xe9, \\udcff\n"),
        ("utf-8", "49.2 ± 0.3, é, \\udcff\n".encode()),
    ):
        environment = os.environ | {"PYTHONIOENCODING": f"{encoding}:strict"}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, env=environment, timeout=60
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, printed, b"")


@pytest.mark.parametrize("words", [["list"], ["--help"]], ids=" ".join)
def test_a_reader_that_leaves_ends_it_quietly(words):
    """`fsar list | head -1`: 141 is what a shell gives for the signal that ends other programs then."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "fsar_core", *words]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_another_broken_pipe_is_a_bug(broken):
    with pytest.raises(BrokenPipeError):
        main(broken(BrokenPipeError(errno.EPIPE, "Broken pipe")))


def test_without_a_standard_output(broken, monkeypatch, capsys):
    """`fsar ... >&-`"""
    monkeypatch.setattr(sys, "stdout", None)
    assert main(broken(FsarError("told"))) == 2
    assert main(["--version"]) == 0
    assert capsys.readouterr().err == "fsar: error: told\n"


def test_other_streams_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main(["--version"]) == 0
    assert sys.stdout.getvalue() == f"fsar {fsar_core.__version__}\n"


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_help_names_every_verb(capsys, words):
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    listed = {
        line.split()[0]: line.split(maxsplit=1)[1]
        for line in out.splitlines()
        if line.startswith("  ")
    }
    assert set(listed) == set(VERBS)
    # What people type stands first.
    assert tuple(listed)[: len(PEOPLES)] == PEOPLES and set(PEOPLES) < set(VERBS)
    assert listed["seal"] == "Seal a filled store: check receipts and files, write manifest.json."


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fsar {fsar_core.__version__}\n"


def test_the_stages_are_verbs():
    stages = {
        "demo-videos",
        "index",
        "plan",
        "fill",
        "seal",
        "train-backbone",
        "draw-episodes",
        "train",
        "evaluate",
    }
    assert stages | {"table", "list", "check", "lease", "verify"} <= set(VERBS)
    assert "-run" not in VERBS and "_run" not in VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_short_and_explains_itself(verb, capsys):
    text = (CLI / f"{VERBS[verb].replace('.', '/')}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 90
    first = ast.get_docstring(ast.parse(text)).splitlines()[0]
    assert len(first) > 20
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith(f"usage: fsar {verb} ")
    assert " ".join(first.split()) in out


def test_every_verb_keeps_torch_for_its_run():
    """Options are read, and mistakes in them told, without the second that torch takes."""
    code = (
        "import argparse, importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(f'fsar_core.cli.{name}').arguments(argparse.ArgumentParser())\n"
        "    if 'torch' in sys.modules: sys.exit(f'{name} imports torch')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *VERBS.values()], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_options_are_never_abbreviated(capsys):
    """An abbreviation would change its meaning when an option is added."""
    with pytest.raises(SystemExit) as stop:
        main(["seal", "--stor", "x", "--max-failures", "0"])
    assert stop.value.code == 2
    assert "the following arguments are required: --store" in capsys.readouterr().err
