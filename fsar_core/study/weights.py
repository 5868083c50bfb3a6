"""Files of weights that the pipeline is given, and the names by which specs know them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fsar_core.components import registry
from fsar_core.config import Backbone
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.storage.weight_files import downloaded, identity, is_address
from fsar_core.study.caching import cached_method

if TYPE_CHECKING:
    from fsar_core.study.study import Study


class WeightFiles:
    """The weights of backbones that are not trained here, and of mask providers."""

    def __init__(self, study: Study) -> None:
        self.preset_name = study.config.preset
        self.preset = study.preset
        self.root = study.config.roots.weights

    # -- backbones ---------------------------------------------------------------------------------

    def of_backbone(self, backbone: Backbone) -> str:
        """Return what `--weights` is given: a file, or a name that the backbone knows."""
        if self._is_published(backbone):
            return str(backbone.weights)
        return str(self._backbone_file(backbone))

    def backbone_identity(self, backbone: Backbone) -> str:
        """Return the identity of given weights, as feature specs hold it.

        Raises:
            FsarError: no weights are given, or the file does not exist.
        """
        if backbone.weights is None:
            raise FsarError(
                f"preset '{self.preset_name}': backbone '{backbone.name}' needs `weights:` (a name or a file)"
            )
        if self._is_published(backbone):
            publisher = registry.entry("backbones", backbone.name).attributes["publisher"]
            return f"{publisher}:{backbone.weights}"
        return self._identity(self._backbone_file(backbone))

    def _is_published(self, backbone: Backbone) -> bool:
        return backbone.weights in _published(backbone)

    def _backbone_file(self, backbone: Backbone) -> Path:
        path = self._located(str(backbone.weights))
        if path is not None:
            return path
        published = _published(backbone)
        hint = did_you_mean(str(backbone.weights), published) if published else ""
        raise FsarError(
            f"preset '{self.preset_name}': backbone.weights: no file '{backbone.weights}', here or "
            f"in roots.weights ({self.root}){hint}"
        )

    # -- mask providers ----------------------------------------------------------------------------

    def address(self) -> str | None:
        """Return where the weights of the mask provider are downloaded from, if they are."""
        given = self.preset.masks.weights
        return given if given is not None and is_address(given) else None

    def of_masks(self) -> Path | None:
        """Return the file or folder that the mask provider loads.

        Returns:
            Its path, for weights from an address the one after the download; None if there is no
            such file.
        """
        settings = self.preset.masks
        if settings.weights is None:
            return None
        if is_address(settings.weights):
            return downloaded(self.root, settings.weights, settings.sha256)
        loads = registry.entry("instance_masks", settings.provider).attributes["loads"]
        is_right = os.path.isdir if loads == "folder" else os.path.isfile
        return self._located(settings.weights, is_right)

    def masks_identity(self) -> str | None:
        """Return the identity of the mask provider's weights, as mask specs hold it.

        Returns:
            None for a file that does not exist: only runs that learn from masks need it, and
            `checks.check_masks` reports it for them.
        Raises:
            FsarError: the file is not the one whose SHA-256 the preset names.
        """
        settings = self.preset.masks
        path = self.of_masks()
        if path is None:
            return None
        if is_address(settings.weights):
            return f"sha256:{settings.sha256}"
        identity_of_file = self._identity(path)
        if settings.sha256 not in (None, identity_of_file.removeprefix("sha256:")):
            raise FsarError(
                f"preset '{self.preset_name}': masks: {path} has {identity_of_file}, expected the "
                f"`sha256` {settings.sha256}; it is another file of that name"
            )
        return identity_of_file

    # -- both --------------------------------------------------------------------------------------

    @cached_method
    def _identity(self, path: Path) -> str:
        """Return `sha256:...` of a file or folder, which is read once."""
        return identity(path)

    def _located(self, name: str, is_right: Callable[[Path], bool] = os.path.isfile) -> Path | None:
        """Return a file by its path from here or from roots.weights; None if there is none."""
        candidates = (Path(name), self.root / name)
        return next((path for path in candidates if is_right(path)), None)


def _published(backbone: Backbone) -> list[str]:
    """Return the names of weights that a backbone knows."""
    return registry.entry("backbones", backbone.name).attributes["published_weights"]
