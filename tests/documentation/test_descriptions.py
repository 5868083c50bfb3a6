"""Comments beside fields are their descriptions."""

from __future__ import annotations

import pytest
from pydantic import Field

from fsar_core.config import Card, Config, Model
from fsar_core.documentation import descriptions
from fsar_core.documentation.config_page import _models


class Base(Model):
    """First line,
    and its second.

    No part of the first paragraph.
    """

    beside: int = Field(ge=1)  # told beside it
    # Told above it,
    # in two lines.
    above: str = "#no comment"
    bare: int = 3

    # apart from the field below

    far: int = 4
    several: dict[str, int] = Field(
        default={},
    )  # behind the last line


class Derived(Base):
    own: int = 1  # of its own
    bare: int = 5  # told again


def test_beside_above_and_none():
    assert descriptions.of_fields(Base) == {
        "beside": "told beside it",
        "above": "Told above it, in two lines.",
        "bare": "",
        "far": "",
        "several": "behind the last line",
    }


def test_inherited_fields_are_described_where_they_stand():
    found = descriptions.of_fields(Derived)
    assert found["beside"] == "told beside it"
    assert (found["own"], found["bare"]) == ("of its own", "told again")


def test_the_first_paragraph_of_a_model():
    assert descriptions.of_model(Base) == "First line, and its second."
    assert descriptions.of_model(Derived) == ""


def reached(model, known=()):
    found = [model]
    for field in model.model_fields.values():
        for part in _models(field.annotation):
            if part not in (*known, *found):
                found += [m for m in reached(part, (*known, *found)) if m not in found]
    return found


@pytest.mark.parametrize(
    "model", dict.fromkeys([*reached(Config), *reached(Card)]), ids=lambda model: model.__name__
)
def test_every_key_that_a_user_writes_is_described(model):
    assert descriptions.of_model(model)
    missing = [name for name, text in descriptions.of_fields(model).items() if len(text) < 4]
    assert missing == []
