"""Where stores lie: in folders, or in a bucket of an object store (`s3://bucket/prefix`)."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from fsar_core.errors import FsarError
from fsar_core.storage.object_client import EXTRA
from fsar_core.storage.object_paths import ObjectPath

MARK = "fsar.json"  # the object that is left in a bucket

Place = Path | ObjectPath


def place(text: str | Place) -> Place:
    """Return a folder or file, or what `s3://bucket/...` names.

    Example:
        >>> place("results/stores")
        PosixPath('results/stores')
        >>> place("s3://mine/stores")
        s3://mine/stores

    Raises:
        FsarError: an address of another kind.
    """
    if isinstance(text, Path | ObjectPath):
        return text
    # `s3:/`: what is left of an address that was taken for a path.
    return ObjectPath.parse(text) if "://" in text or text.startswith("s3:") else Path(text)


def sizes(store: Place, keys: Iterable[str]) -> dict[str, int]:
    """Return the bytes of those files of a store that exist; of a bucket by one listing.

    Args:
        keys: paths below the store.
    """
    if isinstance(store, ObjectPath):
        listed = {held.path.below(store): held.bytes for held in store.objects()}
        return {key: listed[key] for key in keys if key in listed}
    return {key: (store / key).stat().st_size for key in keys if (store / key).is_file()}


def check_usable(root: Place) -> None:
    """Raise FsarError unless stores can be kept here.

    A bucket needs an extra of the package, and can be written to. A small object is left in it,
    because Snakemake's plugin deletes a bucket from which it removes the last object.
    """
    if not isinstance(root, ObjectPath):
        return
    for module in ("obstore", "snakemake_storage_plugin_s3"):
        if find_spec(module) is None:
            raise FsarError(f"roots.stores is {root}, and {module} is not installed: {EXTRA}")
    if not (root / MARK).is_file():
        (root / MARK).write_bytes(b'{"holds": "stores of fsar"}\n')
