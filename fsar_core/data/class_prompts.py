"""Class names to the texts that a teacher is prompted with. Torch-free.

Source: I2ST (Qian et al.), 3.3: the prompt is the "semantic label" of the clip. Neither the paper nor SEEM's code says how a
data set's spelling becomes a text, so this is ours: plain words in lower case. Something-Something's placeholders stay as words
without their brackets, as the published split lists have them, so that one class has one prompt whatever list it came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fsar_core.errors import FsarError
from fsar_core.storage.provenance import digest

CLASS = "{class}"
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NUMBER = re.compile(
    r"(train|val|test)\d+"
)  # a class of a published list whose names are not known


def words(name: str) -> str:
    """`Pushing [something] from left to right`, `brush_hair`, `HandstandPushups` as words: brackets fall away, underscores become
    blanks, and a name without blanks is split where a capital follows a small letter."""
    text = name.replace("[", " ").replace("]", " ").replace("_", " ")
    if len(name.split()) == 1:
        text = _HUMP.sub(" ", text)
    return " ".join(text.split()).lower()


def prompt(text: str, template: str) -> str:
    """The class text in the template's place for it."""
    return template.replace(CLASS, text)


def identity(classes: Iterable[str]) -> str:
    """Digest of the texts of these classes, as a masks store's spec holds it."""
    return digest({name: words(name) for name in set(classes)})


def check(classes: Iterable[str], expected: str | None) -> None:
    """FsarError unless a job's class texts are those that its spec is of."""
    if expected is not None and (found := identity(classes)) != expected:
        raise FsarError(
            f"--index: the texts of its training classes have the digest {found}, the spec's is {expected}; paste both from one "
            f"shell line of snakemake"
        )


def number_only(classes: Iterable[str]) -> str | None:
    """The first class that is called by its number in a published list (`train12`): no text to prompt with."""
    return next((name for name in sorted(set(classes)) if _NUMBER.fullmatch(name)), None)
