"""Parts of the YAML of tables and figures that several kinds share."""

from __future__ import annotations

from fsar_core.bounds import Count, Counted, Shot
from fsar_core.config import Model
from fsar_core.specs import Component


class Curve(Model):
    """A method whose results are drawn."""

    method: str
    head: Component
    matching: Component
    setup: str | None = None  # of the preset; null: the preset's own backbone


class Subject(Model):
    """A method whose trained runs are inspected, and the shot that they are trained at."""

    method: str
    head: Component
    matching: Component
    shot: Shot
    setup: str | None = None  # of the preset; null: the preset's own backbone


class Example(Model):
    """A query of a frozen test episode of a data set."""

    dataset: str
    episode: Counted
    query: Counted
    frame: Count = 1  # counted from 1, where one frame is shown


def printed_number(value: float | str | None) -> float | None:
    """Return the number in a printed cell, or None where nothing is printed.

    Raises:
        ValueError: the cell holds no number.

    Example:
        >>> printed_number("49.2*")  # the authors' own run of another's method
        49.2
    """
    if value is None:
        return None
    try:
        return float(value.rstrip("*")) if isinstance(value, str) else float(value)
    except ValueError:
        raise ValueError(
            f"'{value}' is no printed number; expected 49.2, '49.2*' or null"
        ) from None
