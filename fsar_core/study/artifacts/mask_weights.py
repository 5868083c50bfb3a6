"""The weights of a mask provider, downloaded from the address that the preset names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from fsar_core.study.artifacts.base import Artifact


class MaskWeights(Artifact):
    """A downloaded file. `spec` is its path."""

    spec: Path
    wildcards = ("sha256", "file")
    rule = "fetch_mask_weights"

    @classmethod
    def unknown(cls, kind: str, key: str) -> str:
        sha256 = key.partition("/")[0]
        return f"no weights of the SHA-256 {sha256} under this configuration"

    @cached_property
    def key(self) -> str:
        return f"{self.spec.parent.name}/{self.spec.name}"

    @property
    def path(self) -> Path:
        return self.spec

    @property
    def params(self) -> Mapping[str, Any]:
        return {"address": self.study.specs.weights.address()}
