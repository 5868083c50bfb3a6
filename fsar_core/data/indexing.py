"""Index a data set from files to files: what `fsar index` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fsar_core.config import Card, load
from fsar_core.data.cards import load_entries
from fsar_core.data.duplicates import content_digests, equal_content, warnings
from fsar_core.data.index import write_index
from fsar_core.data.probing import build_index, check_failures, report, write_problems
from fsar_core.storage.places import Place


def index_dataset(
    card_path: Path,
    folder: Path,
    problems: Path,
    out: Place,
    threads: int = 1,
    timeout: float = 60.0,
    say: Callable[[str], None] = print,
) -> None:
    """Find and probe every listed clip of a data set, and write what was found.

    Args:
        card_path: card.yaml.
        folder: of the videos.
        problems: out, the clips that cannot be used, and why; written even if they are too many.
        out: the clip index.
        threads: processes that open clips.
        timeout: seconds that a clip may take.
        say: receives lines for the log.
    Raises:
        FsarError: the card or its split list is wrong, or more clips are broken than the card
            allows.
    """
    card = load(Card, card_path)
    entries = load_entries(card_path, card, folder)
    index = build_index(entries, card, folder, threads, timeout)
    copies = equal_content(index, content_digests(index))
    say("\n".join([report(index, card), *warnings(copies)]))
    write_problems(problems, index, copies)
    check_failures(index, card.max_failures, folder, problems)
    write_index(out, index)
