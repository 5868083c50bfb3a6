"""Texts to numbers, as CLIP does it: byte-pair encoding with the vocabulary that open_clip ships.

Source: Radford et al., ICML 2021; Sennrich et al., ACL 2016. SEEM takes the same vocabulary from another library; how a text is
cleaned is that one's way.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import ftfy

from fsar_core.errors import FsarError

BEGIN, END = 49406, 49407
# What one of the two libraries takes for a mark and not for text.
MARKS = re.compile(r"<\|?(start_?of_?text|end_?of_?text)\|?>", re.IGNORECASE)


def clean(text: str) -> str:
    """Mended encoding, single blanks, lower case."""
    return " ".join(ftfy.fix_text(text).split()).lower()


def encode(text: str, context: int = 77) -> list[int]:
    """BEGIN, the pieces of a text, END: at most `context` numbers, the last of them END.

    Raises:
        FsarError: no text, or one with a mark of the tokenizer in it.
    """
    if not clean(text):
        raise FsarError("a prompt without text; expected words that name what to look for")
    if mark := MARKS.search(text):
        raise FsarError(
            f"the prompt '{text}' has '{mark[0]}' in it, which the tokenizer takes for the text's end; remove it"
        )
    return [BEGIN, *_pieces().encode(text)[: context - 2], END]


def decode(numbers: Sequence[int]) -> str:
    """The cleaned text of `encode`'s numbers, its pieces with blanks between words."""
    return _pieces().decode([number for number in numbers if number not in (BEGIN, END)]).strip()


@functools.cache
def _pieces():
    """open_clip's tokenizer; importing it takes seconds, so it waits for the first prompt."""
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    tokenizer.clean_fn = clean
    return tokenizer
