"""What an artifact was made from: digests that are recorded in it and compared wherever it is used.

Inputs are a flat mapping of names to digests:

    index       identity of the clip index (`data.index.index_identity`)
    features    content of the features store (of the frame store at the cut `frames`)
    masks, saliency
                content of these stores
    weights     SHA-256 of the backbone's weights file
    classifier  SHA-256 of the trained frame classifier
    clips       the training clips, class by class
    validation, episodes
                content of an episode table
    model       what a model has learned

An artifact from before a digest was recorded lacks the name and is used without that comparison.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from fsar_core.errors import FsarError
from fsar_core.storage.object_paths import ObjectPath
from fsar_core.storage.places import Place
from fsar_core.storage.provenance import digest


class SealedStore(Protocol):
    """The part of `StoreReader` that identifies a store."""

    store: Place
    content: str
    failed: frozenset[int]
    inputs: Mapping[str, str]


def remake(rule: str, target: Place) -> str:
    """What to do about a file that belongs to other inputs: the command, ready to be pasted."""
    command = f"snakemake --cores all -R {rule}"
    # Snakemake knows an object under another name than its address.
    aimed = (
        command if isinstance(target, ObjectPath) else f"{command} -- {shlex.quote(str(target))}"
    )
    return f"make it again with `{aimed}`"


def store_content(reader: SealedStore) -> str:
    """Digest of everything a store serves: the bytes of its shards and which rows failed."""
    return digest([reader.content, sorted(reader.failed)], length=64)


def changed(recorded: Mapping[str, str], current: Mapping[str, str]) -> list[str]:
    """Names of the inputs that differ, sorted. A name that one side lacks is not compared.

    Example:
        >>> changed({"index": "a", "features": "b"}, {"index": "a", "features": "c", "masks": "d"})
        ['features']
    """
    return sorted(
        name for name in recorded.keys() & current.keys() if recorded[name] != current[name]
    )


def check_index(path: Place, identity: str, stores: Iterable[SealedStore]) -> None:
    """Check that stores number the clips as a clip index does.

    Args:
        path: of the clip index.
        identity: `data.index.index_identity` of it.
    Raises:
        FsarError: a store was made from an index of other clips.
    """
    for reader in stores:
        check_store_index(path, identity, reader.store, reader.inputs)


def check_store_index(path: Place, identity: str, store: Place, inputs: Mapping[str, str]) -> None:
    """`check_index` of one store, by the `inputs` of its manifest."""
    if changed(inputs, {"index": identity}):
        raise FsarError(
            f"{path}: lists other clips than the index that {store} was made from; restore the "
            f"index of this store, or {remake('clip_index', store / 'manifest.json')}"
        )


def check_trained_on(path: Path, recorded: Mapping[str, str], identity: str, rule: str) -> None:
    """Check that weights were trained on the clips of a clip index.

    Args:
        path: of the weights.
        recorded: what the training depended on.
        identity: `data.index.index_identity` of the index.
        rule: that trains them.
    Raises:
        FsarError: they were trained on other clips.
    """
    if changed(recorded, {"index": identity}):
        raise FsarError(
            f"{path}: trained on other clips than the clip index lists; {remake(rule, path)}"
        )


def check_episodes(path: Place, index: str | None, store: Place, inputs: Mapping[str, str]) -> None:
    """Check that episodes name rows of the store they are used with.

    Args:
        path: of the episode table.
        index: identity of the clip index it was drawn from; None where that is not recorded.
        inputs: what the store was made from.
    Raises:
        FsarError: the table was drawn from an index of other clips than the store was made from.
    """
    if index is not None and changed(inputs, {"index": index}):
        raise FsarError(
            f"{path}: drawn from a clip index of other clips than {store} was made from; "
            f"{remake('draw_episodes', path)}"
        )
