"""Which file a backbone's weights come from. Imports torch only where a published name has to be resolved."""

from __future__ import annotations

import importlib
from pathlib import Path

from fsar_core import registry
from fsar_core.stores.inputs import file_digest


def weights_sha256(backbone: str, weights: str | Path, root: str | Path | None) -> str:
    """SHA-256 of the weights file that a backbone loads.

    Args:
        weights: a file, or a published name that the backbone knows; it is downloaded to `root` first where it is missing.
    Raises:
        FsarError: no such file, a failed download.
    """
    entry = registry.entry("backbones", backbone)
    path = Path(weights)
    if str(weights) in entry.constants.get("WEIGHTS", ()):
        path = getattr(importlib.import_module(entry.module), entry.class_name).published_file(str(weights), root)
    return file_digest(path)
