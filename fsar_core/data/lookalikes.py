"""Names that differ as text and look alike to people: one class under two spellings could be in training and in test.

Source: the skeletons of Unicode Technical Standard 39, section 4, restricted to the Greek and Cyrillic letters that are drawn
like Latin ones; compatibility forms (full width, ligatures, composed and decomposed accents) are folded by NFKC.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_LATIN = str.maketrans(
    "АВЕЅІЈКМНОРСТХУҮЗаеѕіјорсухһԁԛԝ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαινορυχ",
    "ABESIJKMHOPCTXYY3aesijopcyxhdqw" + "ABEZHIKMNOPTYXaivopux",
)
_INVISIBLE = "Cf"  # zero-width blanks and joiners, marks of direction


def skeleton(name: str) -> str:
    """What a name looks like: equal for names that a reader cannot tell apart."""
    folded = unicodedata.normalize("NFKC", name).translate(_LATIN)
    return "".join(sign for sign in folded if unicodedata.category(sign) != _INVISIBLE)


def lookalikes(names: Iterable[str]) -> tuple[str, str] | None:
    """Two different names that look alike, or None."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(skeleton(name), name)
        if other != name:
            return other, name
    return None
