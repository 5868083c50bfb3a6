"""What the rows of a table cost: parameters, operations, memory and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsar_core.components import registry
from fsar_core.storage.provenance import canonical_json
from fsar_core.study.artifacts.base import Artifact


class Complexity(Artifact):
    """Counts and measurements of a table's rows. `spec` is the table's name."""

    wildcards = ("table",)
    location = ("results", "complexity/*.json")
    rule = "complexity"
    uses_gpu = True

    @property
    def key(self) -> str:
        return self.spec

    @property
    def path(self) -> Path:
        return self.study.config.roots.results / "complexity" / f"{self.spec}.json"

    @property
    def params(self) -> Mapping[str, Any]:
        return {"spec": canonical_json(self.study.table(self.spec).complexity())}

    @property
    def modules(self) -> Sequence[str]:
        modules = set()
        for _, kind, component in self.study.table(self.spec).components():
            modules |= set(registry.modules(kind, component.name, component.params))
        return sorted(modules)
