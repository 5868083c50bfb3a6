"""One line, and the nearest valid name in it."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

from fsar_core.errors import FsarError, did_you_mean, printable, printable_output

BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


@given(st.text() | st.text(alphabet=BREAKS + "a "))
def test_any_message_is_one_line(text):
    message = str(FsarError(text))
    assert len(message.splitlines()) <= 1 and message.isprintable()
    if text.replace("\n", " ").isprintable():
        assert message.split() == text.split()
    message.encode()  # no half of a surrogate pair, which no terminal takes


def test_what_a_terminal_would_obey_or_hide_is_written_out():
    assert str(FsarError("\x1b[2Jred \u202egpj.exe \u200b\udcff größe 投げる")) == (
        r"\x1b[2Jred \u202egpj.exe \u200b\udcff größe 投げる"
    )


def test_a_program_without_streams(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with printable_output():
        print("a\x1b")


def test_printable():
    assert printable("größe 投げる") == "größe 投げる"
    assert printable("a\tb\n\x1b]0;title\x07\r\x9b") == r"a\tb\n\x1b]0;title\x07\r\x9b"
    assert printable("a\tb\n\x1b[2J\r", keep="\t\n") == "a\tb\n\\x1b[2J\\r"


def test_what_is_printed_cannot_steer_a_terminal(capsys):
    with printable_output():
        print("a\x1b[2J", "b\tc\rd")
        sys.stdout.writelines(["e\x07\n"])
        print("\r 50 %\x1b[A", file=sys.stderr)
        tqdm.write("f\x1b[2J", file=sys.stderr)
        for _ in tqdm(range(2), desc="g\x1b[1m", ncols=40, mininterval=0):
            pass
    out, err = capsys.readouterr()
    assert out == "a\\x1b[2J b\tc\\rd\ne\\x07\n"
    assert (
        err.startswith("\r 50 %\\x1b[A\nf\\x1b[2J\n")
        and "\rg\\x1b[1m: 100%" in err
        and "\x1b" not in err
    )
    # Afterwards everything is printed as it is.
    print("\x1b")
    assert capsys.readouterr().out == "\x1b\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb", "a b"),
        ("  a \t b\r\n", "a b"),
        (KeyError("x"), "'x'"),
        (3, "3"),
    ],
)
def test_the_line(text, line):
    assert str(FsarError(text)) == line


@pytest.mark.parametrize(
    ("name", "valid", "hint"),
    [
        ("otma", ["trx", "otam", "sca"], "; did you mean 'otam'?"),
        ("Otam", ["otam"], "; did you mean 'otam'?"),
        ("zzz", ["trx", "otam"], "; valid: otam, trx"),
        ("zzz", iter(["b", "a"]), "; valid: a, b"),
        ("zzz", {"b": 1, "a": 2}, "; valid: a, b"),
        ("", ["a"], "; valid: a"),
        ("d\u0435mo", ["demo"], "; did you mean 'demo'? ('\u0435' is CYRILLIC SMALL LETTER IE)"),
        ("größ", ["größe"], "; did you mean 'größe'?"),
        ("a", [], "; nothing is valid here"),
    ],
)
def test_did_you_mean(name, valid, hint):
    assert did_you_mean(name, valid) == hint
