"""Made-up split lists hold what the cards expect."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsar_core.config import Card, load
from fsar_core.data import splits, stand_in
from fsar_core.errors import FsarError

CARDS = Path(__file__).resolve().parents[2] / "workflow" / "datasets"


@pytest.mark.parametrize(
    ("name", "clips", "classes"),
    [
        ("ssv2_full", 71796, 100),
        ("ssv2_small", 10000, 100),
        ("kinetics100", 10000, 100),
        ("hmdb51", 6766, 51),
        ("ucf101", 13320, 101),
    ],
)
def test_the_five_data_sets(name, clips, classes, tmp_path):
    card = load(Card, CARDS / name / "card.yaml")
    made = stand_in.entries(card, name)
    assert (len(made), made["class"].nunique()) == (clips, classes)
    for split in card.expected:
        sizes = made[made.split == split]["class"].value_counts()
        assert (len(sizes), sizes.sum()) == card.expected[split]
        assert sizes.max() - sizes.min() <= 1
    splits.write(tmp_path / "split.tsv", made)
    assert splits.check(splits.read(tmp_path / "split.tsv"), card, tmp_path).equals(made)


def test_the_cards_own_class_names():
    made = stand_in.entries(load(Card, CARDS / "hmdb51" / "card.yaml"), "x")
    assert set(made["class"][made.split == "test"]) >= {"fencing", "talk"}


def test_numbers_that_the_card_does_not_state():
    card = load(Card, CARDS / "demo_spatial" / "card.yaml")
    with pytest.raises(FsarError, match=r"x.yaml: neither a split list nor the numbers"):
        stand_in.entries(card, "x.yaml")
