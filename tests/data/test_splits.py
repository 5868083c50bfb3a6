"""Split lists: what is accepted comes back unchanged, and every mistake names its line and what was expected."""

from __future__ import annotations

import pandas as pd
import pytest

from fsar_core.config import Card
from fsar_core.data import splits
from fsar_core.errors import FsarError
from tests.builders import toy_card, toy_entries

HEADER = "split\tclass\tpath\tgroup\n"
GOOD = HEADER + "train\tjump\ta/1.mp4\tg1\nval\trun\ta/2.mp4\t\ntest\tsit\ta/3.mp4\tg3\n"
WEIRD = [
    ("train", "Putting [something] (on!) a & b", "videos/what's (this)!.mp4", ""),
    ("train", '"quoted" class', 'videos/"a" & [b].mp4', "g [1]"),
    ("val", "NA", "videos/$HOME;rm -r *.webm", "null"),
    ("val", "001", "videos/{wildcard}/ spaces .avi", "nan"),
    ("test", "größe, 走る", "videos/größe 走る.mp4", "'"),
]


def _card(**changes) -> Card:
    return Card.model_validate(toy_card(**changes))


def _frame(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(splits.COLUMNS), dtype=str)


def _failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_read(tmp_path):
    path = tmp_path / "split.tsv"
    path.write_text(GOOD)
    found = splits.read(path)
    assert list(found.columns) == ["split", "class", "path", "group"]
    assert found.to_numpy().tolist() == [
        ["train", "jump", "a/1.mp4", "g1"],
        ["val", "run", "a/2.mp4", ""],
        ["test", "sit", "a/3.mp4", "g3"],
    ]


@pytest.mark.parametrize("text", ["\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), GOOD.rstrip("\n")])
def test_what_editors_and_spreadsheets_do_to_a_file(tmp_path, text):
    (tmp_path / "plain.tsv").write_text(GOOD)
    (tmp_path / "split.tsv").write_bytes(text.encode())
    pd.testing.assert_frame_equal(
        splits.read(tmp_path / "split.tsv"), splits.read(tmp_path / "plain.tsv")
    )


def test_names_are_data(tmp_path):
    written = _frame(WEIRD)
    splits.write(tmp_path / "split.tsv", written)
    pd.testing.assert_frame_equal(splits.read(tmp_path / "split.tsv"), written)
    checked = splits.check(splits.read(tmp_path / "split.tsv"), _card(), tmp_path / "split.tsv")
    assert sorted(checked.itertuples(index=False, name=None)) == sorted(WEIRD)


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\rb"])
def test_a_name_that_the_format_cannot_hold_is_not_written(tmp_path, name):
    message = _failure(
        lambda: splits.write(tmp_path / "split.tsv", _frame([("train", name, "1.mp4", "")]))
    )
    assert repr(name) in message and "tab or a line break" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "",
            "line 1: expected the header split class path group (tabs between), found an empty file",
        ),
        (
            "split,class,path,group\n",
            "line 1: expected the header split class path group (tabs between), found split,class",
        ),
        (
            "class\tsplit\tpath\tgroup\n",
            "line 1: expected the header split class path group (tabs between), found class",
        ),
        (HEADER + "train\tjump\t1.mp4\n", "line 2: expected 4 tab-separated fields, found 3"),
        (
            GOOD + "train\tjump\t1.mp4\tg\tmore\n",
            "line 5: expected 4 tab-separated fields, found 5",
        ),
        (GOOD + "\n", "line 5: expected 4 tab-separated fields, found 0"),
        (GOOD + "tset\tjump\t1.mp4\t\n", "line 5: unknown split 'tset'; did you mean 'test'?"),
        (
            GOOD + "holdout\tjump\t1.mp4\t\n",
            "line 5: unknown split 'holdout'; valid: test, train, val",
        ),
        (
            HEADER + "train\t \t1.mp4\t\n",
            "line 2: the class of clip '1.mp4' is empty; expected a name",
        ),
        (
            HEADER + "train\tjump\t../1.mp4\t\n",
            "line 2: '../1.mp4' must be a relative path without '..'",
        ),
        (
            HEADER + "train\tjump\ta/../../1.mp4\t\n",
            "line 2: 'a/../../1.mp4' must be a relative path without '..'",
        ),
        (
            HEADER + "train\tjump\t/data/1.mp4\t\n",
            "line 2: '/data/1.mp4' must be a relative path without '..'",
        ),
        (HEADER + "train\tjump\t\t\n", "line 2: '' must be a relative path without '..'"),
        (
            HEADER + "train\tjump\ta\\1.mp4\t\n",
            "line 2: 'a\\1.mp4' must be a relative path without '..'",
        ),
        (HEADER + "x" * 200_000, "no readable split list (field larger than field limit"),
    ],
)
def test_a_mistake_in_the_file_names_its_line(tmp_path, text, words):
    path = tmp_path / "split.tsv"
    path.write_text(text)
    message = _failure(lambda: splits.read(path))
    assert message.startswith(str(path)) and words in message


def test_a_file_that_is_no_text_or_not_there(tmp_path):
    path = tmp_path / "split.tsv"
    assert _failure(lambda: splits.read(path)) == (
        f"{path}: no such split list; expected a split.tsv with the header split class path group"
    )
    path.write_bytes(HEADER.encode() + b"train\tgr\xf6\xdfe\t1.mp4\t\n")
    assert "not UTF-8 text (invalid start byte at byte " in _failure(lambda: splits.read(path))
    assert "no readable split list (Is a directory)" in _failure(lambda: splits.read(tmp_path))


def test_checked_entries_are_in_stored_order():
    rows = [
        ("test", "b", "2.mp4", ""),
        ("train", "z", "9.mp4", ""),
        ("val", "c", "5.mp4", ""),
        ("train", "a", "11.mp4", ""),
        ("test", "b", "1.mp4", ""),
        ("train", "a", "10.mp4", ""),
    ]
    found = splits.check(_frame(rows), _card(), "split.tsv")
    assert list(found.itertuples(index=False, name=None)) == [rows[i] for i in (5, 3, 1, 2, 4, 0)]
    assert list(found.index) == list(range(6)) and list(found.columns) == list(splits.COLUMNS)
    again = splits.check(_frame(rows[::-1]), _card(), "split.tsv")
    pd.testing.assert_frame_equal(found, again)


BASE = [
    ("train", "jump", "1.mp4", "g1"),
    ("train", "jump", "2.mp4", "g1"),
    ("test", "run", "3.mp4", "g2"),
]


@pytest.mark.parametrize(
    ("extra", "card", "words"),
    [
        ([("train", "hop", "2.mp4", "g")], {}, "clip '2.mp4' is listed 2 times"),
        (
            [("val", "jump", "4.mp4", "g")],
            {},
            "class 'jump' is in both train and val; splits must not share classes",
        ),
        (
            [("val", "jmup", "4.mp4", "g")],
            {"classes": ["jump", "run", "sit"]},
            "unknown class 'jmup' in val; did you mean 'jump'?",
        ),
        ([], {"expected": {"train": [2, None]}}, "1 classes in train, expected 2 by the card"),
        ([], {"expected": {"train": [1, 3]}}, "2 clips in train, expected 3 by the card"),
        ([], {"expected": {"val": [1, None]}}, "0 classes in val, expected 1 by the card"),
        (
            [("val", "sit", "5.mp4", "")],
            {"groups": True},
            "clip '5.mp4' has no group, but the card says `groups: true`",
        ),
    ],
)
def test_inconsistent_entries(extra, card, words):
    assert (
        _failure(lambda: splits.check(_frame([*BASE, *extra]), _card(**card), "x/split.tsv"))
        == f"x/split.tsv: {words}"
    )


def test_no_clip_at_all():
    assert (
        _failure(lambda: splits.check(_frame([]), _card(), "x/split.tsv"))
        == "x/split.tsv: names no clip"
    )


def test_what_the_card_expects_is_accepted():
    card = _card(
        expected={"train": [6, 48], "val": [5, None], "test": [5, 40]},
        groups=True,
        classes=sorted(set(toy_entries()["class"])),
    )
    assert len(splits.check(toy_entries(), card, "split.tsv")) == 128
