"""Class names to prompts: words of any data set's spelling, one prompt for one class."""

from __future__ import annotations

import pytest

from fsar_core.data import class_prompts
from fsar_core.errors import FsarError

NAMES = {
    # Something-Something V2, as its label files and as the published lists have it
    "Pushing [something] from left to right": "pushing something from left to right",
    "Pushing something from left to right": "pushing something from left to right",
    "[Something] falling like a feather or paper": "something falling like a feather or paper",
    "Putting [something that cannot actually stand upright] upright on the table, so it falls on its side": "putting something "
    "that cannot actually stand upright upright on the table, so it falls on its side",
    # HMDB51, UCF101, Kinetics
    "brush_hair": "brush hair",
    "swing_baseball": "swing baseball",
    "HandstandPushups": "handstand pushups",
    "YoYo": "yo yo",
    "playing_ice_hockey": "playing ice hockey",
    "passing American football (in game)": "passing american football (in game)",
    "massaging person's head": "massaging person's head",
    # anybody's folders
    "TVShow": "tv show",
    "02_Swiping_Up": "02 swiping up",
    "eating a McMuffin": "eating a mcmuffin",
    "  two   blanks ": "two blanks",
}


@pytest.mark.parametrize(("name", "text"), NAMES.items())
def test_words(name, text):
    assert class_prompts.words(name) == text
    assert class_prompts.words(text) == text


def test_the_template():
    assert class_prompts.prompt("brush hair", "{class}") == "brush hair"
    assert (
        class_prompts.prompt("brush hair", "a person: {class}, {class}.")
        == "a person: brush hair, brush hair."
    )
    assert class_prompts.prompt("{0} {x}", "the {class}") == "the {0} {x}"


def test_identity_is_of_names_and_texts():
    one = class_prompts.identity(["brush_hair", "kick", "kick"])
    assert one == class_prompts.identity(["kick", "brush_hair"]) and len(one) == 12
    # Another spelling of a class is other files, and a job finds its prompts by the spelling of its index.
    assert (
        len({one, class_prompts.identity(["brush hair", "kick"]), class_prompts.identity(["kick"])})
        == 3
    )


def test_a_job_of_other_classes_is_refused():
    class_prompts.check(["kick", "kick"], class_prompts.identity(["kick"]))
    class_prompts.check(["kick"], None)
    with pytest.raises(
        FsarError,
        match=r"^--index: the texts of its training classes have the digest \w+, the spec's is ",
    ):
        class_prompts.check(["kick", "run"], class_prompts.identity(["kick"]))


def test_numbers_are_no_texts():
    assert class_prompts.number_only(["kick", "train7", "train12"]) == "train12"
    assert class_prompts.number_only(["kick", "train 12", "training", "train"]) is None
