"""Texts to numbers and back, by the published vocabulary."""

import hashlib
import html
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsar_core.errors import FsarError
from fsar_core.mask_providers.seem.tokenizer import BEGIN, END, clean, decode, encode


def test_it_is_the_published_vocabulary():
    import open_clip

    file = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    published = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == published


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("playing ice hockey", [1629, 733, 4111]),
        ("brush hair", [8594, 2225]),
        ("ride_bike", [2994, 318, 3701]),
        ("BreastStroke", [12930, 10403]),
        ("YoYo", [586, 3497]),
    ],
)
def test_numbers_of_the_official_tokenizer(text, pieces):
    assert encode(text) == [BEGIN, *pieces, END] == [49406, *pieces, 49407]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  Pouring \t something\n into  it ", "pouring something into it"),
        ("schÃ¶n", "schön"),  # wrongly decoded UTF-8
        ("A &amp; B", html.unescape("a &amp; b")),  # ftfy resolves entities where no tag is near
        ("ＡＢ", "ab"),
    ],
)
def test_cleaning(text, cleaned):
    assert clean(text) == cleaned and encode(text) == encode(cleaned)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.from_regex(r"[a-z]{1,12}", fullmatch=True), min_size=1, max_size=6))
def test_words_come_back(words):
    """At most six words of twelve letters: even at one piece a letter they fit into the 75 pieces of a prompt."""
    text = " ".join(words)
    numbers = encode(text)
    assert len(numbers) <= 77
    assert numbers[0] == BEGIN and numbers[-1] == END and not {BEGIN, END} & set(numbers[1:-1])
    assert decode(numbers) == text


def test_everything_comes_back_but_blanks_around_signs():
    assert (
        decode(encode("Don't push [it], 3 times - naïve café!"))
        == "don 't push [ it ], 3 times - naïve café !"
    )


def test_a_long_text_is_cut_and_keeps_its_end():
    assert encode("hair " * 100) == [BEGIN, *[2225] * 75, END]
    assert encode("hair " * 75) == encode("hair " * 100)
    assert encode("hair " * 74) == [BEGIN, *[2225] * 74, END]
    assert encode("brush hair now", context=4) == [BEGIN, 8594, 2225, END]


@pytest.mark.parametrize("text", ["", " \n"])
def test_no_text(text):
    with pytest.raises(
        FsarError, match=r"^a prompt without text; expected words that name what to look for$"
    ):
        encode(text)


@pytest.mark.parametrize(
    "mark", ["<|endoftext|>", "<start_of_text>", "<End_of_text>", "<|startoftext|>"]
)
def test_marks_of_the_tokenizer(mark):
    with pytest.raises(FsarError, match="which the tokenizer takes for"):
        encode(f"ride {mark} bike")
