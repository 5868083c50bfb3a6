"""The front under the name `snakemake`: the user's literal line, and nothing else moved."""

from __future__ import annotations

import os
import sys
import types
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsar_core.runtime import launcher
from fsar_core.runtime.launcher import OPTIONS, untangle

TARGET = "results/tables/table2.csv"


@pytest.mark.parametrize(
    ("typed", "handed"),
    [
        # The line that the README promises.
        (f"--cores 32 --resources gpu=4 {TARGET}", f"{TARGET} --cores 32 --resources gpu=4"),
        (
            f"--resources gpu=4 mem_mb=8000 {TARGET} b.csv",
            f"{TARGET} b.csv --resources gpu=4 mem_mb=8000",
        ),
        (f"--resources gpu=4 {TARGET} --cores 32 -n", f"{TARGET} --resources gpu=4 --cores 32 -n"),
        (f"--resources gpu=4 {TARGET} mem_mb=5", f"{TARGET} --resources gpu=4 mem_mb=5"),
        (f"--config preset=paper seed=1 {TARGET}", f"{TARGET} --config preset=paper seed=1"),
        (f"-C preset=paper {TARGET}", f"{TARGET} -C preset=paper"),
        (f"--set-threads train=4 {TARGET}", f"{TARGET} --set-threads train=4"),
        (
            f"--set-resources train:gpu=2 {TARGET} -j 4",
            f"{TARGET} --set-resources train:gpu=2 -j 4",
        ),
        (f"--default-resources runtime=5 {TARGET}", f"{TARGET} --default-resources runtime=5"),
        (f"--set-scatter a=2 {TARGET}", f"{TARGET} --set-scatter a=2"),
        ("--resources gpu=4 a --config x=y b -j1 c", "a b --resources gpu=4 --config x=y -j1 c"),
        # Behind a `--` there is no doubt what a target is, and all of them must stand together.
        (f"--resources gpu=4 a -- {TARGET}", f"--resources gpu=4 -- a {TARGET}"),
        # Native spellings stay as they are.
        ("", ""),
        (TARGET, TARGET),
        (f"--cores 32 {TARGET}", None),
        (f"{TARGET} --cores 32 --resources gpu=4", None),
        (f"--cores 32 --resources gpu=4 -- {TARGET}", None),
        (f"--resources=gpu=4 {TARGET}", None),
        (f"--resources gpu=4 --cores 32 {TARGET}", None),
        (f"--cores 4 -- {TARGET} --resources", None),
        ("--rerun-triggers mtime params -n", None),
        (f"--until train_head evaluate_head -- {TARGET}", None),
        ("--resources gpu=4", None),
    ],
)
def test_untangle(typed, handed):
    assert untangle(typed.split()) == (typed if handed is None else handed).split()


def test_words_with_blanks_stay_whole():
    assert untangle(["--config", "a=b c", "x y"]) == ["x y", "--config", "a=b c"]
    assert untangle(["--resources", "gpu=1", ""]) == ["", "--resources", "gpu=1"]


words = st.sampled_from(
    [
        *OPTIONS,
        "--cores",
        "-n",
        "-j4",
        "--resources=gpu=1",
        "--until",
        "gpu=4",
        "a=b=c",
        "32",
        TARGET,
        "x y",
        "é",
        "",
    ]
)


@given(st.lists(words, max_size=12))
def test_no_word_is_lost_and_the_rest_keeps_its_order(argv):
    handed = untangle(argv)
    assert Counter(handed) == Counter(argv)
    moved, rest, option = [], [], None
    for word in argv:
        option = word if word.startswith("-") else option
        (moved if option in OPTIONS and word != option and "=" not in word else rest).append(word)
    assert handed == [*moved, *rest]
    assert untangle(handed) == handed


@given(st.lists(words, max_size=6), st.lists(words, max_size=6))
def test_behind_two_dashes_nothing_moves(before, after):
    handed = untangle([*before, "--", *after])
    assert Counter(handed) == Counter([*before, "--", *after])
    split = handed.index("--")
    assert handed[len(handed) - len(after) :] == after
    assert all(
        "=" not in word and not word.startswith("-")
        for word in handed[split + 1 : len(handed) - len(after)]
    )
    # What stays in front of the dashes is what Snakemake can read there.
    assert untangle(handed[:split]) == handed[:split]


def test_snakemake_reads_the_literal_line():
    from snakemake.cli import get_argument_parser

    typed = f"--cores 32 --resources gpu=4 mem_mb=9 {TARGET}".split()
    parser = get_argument_parser()
    with pytest.raises(ValueError, match="sequence element"):
        parser.parse_args(typed)
    args = parser.parse_args(untangle(typed))
    assert list(args.targets) == [TARGET]
    assert args.cores == 32
    assert sorted(args.resources) == ["gpu", "mem_mb"]
    for line in (f"--resources gpu=4 a -- {TARGET}", f"--config b=c d=e a {TARGET}"):
        assert set(parser.parse_args(untangle(line.split())).targets) == {"a", TARGET}


# -- the console script ----------------------------------------------------------------------------------------------------


@pytest.fixture
def snakemake(monkeypatch):
    """snakemake(run) puts `run(argv)` in the place of Snakemake and returns the status of the front."""
    monkeypatch.delenv("FSAR_ERRORS", raising=False)
    monkeypatch.setenv("PATH", os.environ["PATH"])

    def start(run, argv=()):
        monkeypatch.setitem(sys.modules, "snakemake.cli", types.SimpleNamespace(main=run))
        monkeypatch.setattr(sys, "argv", ["snakemake", *argv])
        with pytest.raises(SystemExit) as stop:
            launcher.main()
        monkeypatch.delenv("FSAR_ERRORS", raising=False)
        return stop.value.code

    return start


def failing(*lines, status=1):
    def run(argv):
        with open(os.environ["FSAR_ERRORS"], "a", encoding="utf-8") as stream:
            stream.writelines(f"{line}\n" for line in lines)
        sys.exit(status)

    return run


def test_the_front_hands_over_and_passes_the_status_on(snakemake):
    seen = []
    assert snakemake(seen.append, ["--resources", "gpu=4", TARGET]) == 0
    assert seen == [[TARGET, "--resources", "gpu=4"]]
    for code, status in ((0, 0), (None, 0), (1, 1), (3, 3), ("text", 1)):
        assert snakemake(lambda argv, code=code: sys.exit(code)) == status


def test_the_front_repeats_errors_of_jobs_once(snakemake, capsys):
    assert snakemake(failing("fsar: error: b", "fsar: error: a", "fsar: error: b")) == 2
    assert capsys.readouterr().err == "fsar: error: b\nfsar: error: a\n"


@pytest.mark.parametrize("status", [0, 2])
def test_errors_are_repeated_only_where_jobs_failed(snakemake, capsys, status):
    """0: a later attempt succeeded. 2: a mistake in the configuration, which stood at the end already."""
    assert snakemake(failing("fsar: error: a", status=status)) == status
    assert capsys.readouterr().err == ""


def test_the_front_leaves_no_file(snakemake):
    told = []
    snakemake(lambda argv: told.append(os.environ["FSAR_ERRORS"]))
    assert not os.path.exists(os.path.dirname(told[0]))


def test_jobs_find_the_python_beside_the_front(snakemake, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    paths = []
    snakemake(lambda argv: paths.append(os.environ["PATH"]))
    assert paths == [os.pathsep.join([os.path.dirname(sys.executable), "/nowhere"])]


def test_the_front_tells_of_a_full_disk(snakemake, capsys, monkeypatch, tmp_path):
    """Snakemake's own failures for want of space are tracebacks."""
    monkeypatch.chdir(tmp_path)
    usage = types.SimpleNamespace(free=4096)
    monkeypatch.setattr(launcher.shutil, "disk_usage", lambda folder: usage)
    assert snakemake(lambda argv: sys.exit(1)) == 2
    assert capsys.readouterr().err == (
        f"fsar: error: {tmp_path}: the disk is full (4096 bytes left); free space and run the same command again\n"
    )
    assert snakemake(lambda argv: None) == 0
    usage.free = 10**6
    assert snakemake(lambda argv: sys.exit(1)) == 1
    assert capsys.readouterr().err == ""
