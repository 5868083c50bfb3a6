"""Cards: what belongs to the identity of a data set, and what a wrong card is told."""

from __future__ import annotations

import pytest
import yaml

from fsar_core.config import DemoVideos
from fsar_core.data import cards, splits
from fsar_core.errors import FsarError
from fsar_core.testing import toy_card, toy_dataset

SIZES = DemoVideos(clips={"train": 2, "val": 1, "test": 1}, frames=16, height=64, width=96, jobs=2)


def _load(made, sizes=SIZES, seed=0):
    return cards.load_dataset(made.cards, made.name, made.data, sizes, seed)


def _change(made, **changes):
    """The data set's digest after some keys of its card changed."""
    made.card_file.write_text(yaml.safe_dump(toy_card(made.name) | changes))
    return _load(made).digest


def _failure(call) -> str:
    with pytest.raises(FsarError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def made(tmp_path):
    return toy_dataset(tmp_path, videos=False)


def test_load(made):
    found = _load(made)
    assert found.name == "toy" and found.card.title == "Toy" and found.folder == made.data / "toy"
    assert len(found) == 8 and found.clips.to_numpy().tolist() == made.entries.to_numpy().tolist()
    assert len(found.digest) == 12 and found.digest == _load(made).digest


def test_the_split_list_may_lie_beside_the_videos(made):
    before = _load(made).digest
    made.split_file.rename(made.folder / "split.tsv")
    assert _load(made).digest == before


def test_digest_ignores_words_and_thresholds(made):
    before = _load(made).digest
    changes = dict(title="Other", source="elsewhere", citation="x", licence="CC0", max_failures=0.5, modality="spatial")
    assert _change(made, **changes) == before
    assert _change(made, expected={"train": [2, 4]}) == before


def test_digest_ignores_the_order_of_lines(made):
    before = _load(made).digest
    splits.write(made.split_file, made.entries.iloc[::-1])
    assert _load(made).digest == before


@pytest.mark.parametrize(
    ("column", "value"),
    [("split", "test"), ("class", "train class 0x"), ("path", "videos/other.mp4"), ("group", "another source")],
)
def test_digest_knows_every_field_of_the_split_list(made, column, value):
    before = _load(made).digest
    entries = made.entries.copy()
    entries.loc[entries["class"] == "train class 01", column] = value
    splits.write(made.split_file, entries.drop_duplicates("path"))
    changed = _load(made).digest
    # Fewer clips is one change, the new value another.
    splits.write(made.split_file, made.entries[made.entries["path"].isin(entries.drop_duplicates("path")["path"])])
    assert len({before, changed, _load(made).digest}) == 3 if column == "path" else changed != before


def test_digest_knows_flips_the_folder_and_the_name(made, tmp_path):
    before = _load(made).digest
    assert len({before, _change(made, flip=False), _change(made, folder="elsewhere")}) == 3
    other = toy_dataset(tmp_path / "b", name="toy2", videos=False, folder="toy")
    assert _load(other).digest != before


def test_demo_videos_belong_to_the_identity(tmp_path):
    made = toy_dataset(tmp_path, name="demo_temporal", videos=False, generator="demo_temporal")
    made.split_file.unlink()
    found = _load(made)
    assert len(found) == 24 * 2 + 8 + 16
    assert found.clips.split.tolist() == ["train"] * 48 + ["val"] * 8 + ["test"] * 16
    changed = [
        _load(made, seed=1).digest,
        _load(made, SIZES.model_copy(update={"frames": 32})).digest,
        _load(made, SIZES.model_copy(update={"clips": {"train": 3, "val": 1, "test": 1}})).digest,
    ]
    assert len({found.digest, *changed}) == 4
    assert _load(made, SIZES.model_copy(update={"jobs": 7})).digest == found.digest


def test_sizes_of_demo_videos_do_not_touch_other_data_sets(made):
    assert _load(made, SIZES.model_copy(update={"frames": 32}), seed=5).digest == _load(made).digest


def test_card_names(made, tmp_path):
    toy_dataset(tmp_path, name="another", videos=False)
    (made.cards / "no card").mkdir()
    assert cards.card_names(made.cards) == ["another", "toy"]
    assert cards.card_names(tmp_path / "nowhere") == []


def test_unknown_name(made):
    message = _failure(lambda: cards.load_dataset(made.cards, "tyo", made.data, SIZES, 0))
    assert message == f"no card for data set 'tyo' in {made.cards}; did you mean 'toy'?"


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (toy_card(flips=True), "unknown key 'flips'; did you mean 'flip'?"),
        (toy_card(folder="../outside"), "folder: '../outside' must be a relative path without '..'"),
        (toy_card(folder="/data/toy"), "folder: '/data/toy' must be a relative path without '..'"),
        (toy_card(max_failures=2), "max_failures: input should be less than or equal to 1 (found 2)"),
        (toy_card(modality="temporel"), "modality: input should be 'temporal' or 'spatial' (found 'temporel')"),
        ({k: v for k, v in toy_card().items() if k != "licence"}, "missing key 'licence'"),
        (toy_card(generator="demo_temporel"), "did you mean 'demo_temporal'?"),
    ],
)
def test_a_wrong_card_is_told_in_one_line(made, card, words):
    made.card_file.write_text(yaml.safe_dump(card))
    message = _failure(lambda: _load(made))
    assert words in message
    assert message.startswith(f"{made.card_file}: ") or "generator" in card


def test_a_card_that_is_no_yaml_names_the_line(made):
    made.card_file.write_text("title: Toy\nsource: [a, b\nflip: true\n")
    assert _failure(lambda: _load(made)).startswith(f"{made.card_file} line 3: not readable as YAML")


def test_a_missing_split_list_names_where_it_was_looked_for(made):
    made.split_file.unlink()
    assert _failure(lambda: _load(made)).startswith(f"{made.folder / 'split.tsv'}: no such split list")


def test_counts_of_the_card_are_checked_against_the_list(made):
    made.card_file.write_text(yaml.safe_dump(toy_card(expected={"test": [1, 5]})))
    assert _failure(lambda: _load(made)) == f"{made.split_file}: 2 clips in test, expected 5 by the card"
