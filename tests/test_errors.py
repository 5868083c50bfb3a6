"""One line, and the nearest valid name in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsar_core.errors import FsarError, did_you_mean

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
