"""The graph of all artifacts of a study."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsar_core.errors import FsarError, did_you_mean
from fsar_core.specs import FeatureSpec, Spec
from fsar_core.study.artifacts.base import Artifact

if TYPE_CHECKING:
    from fsar_core.study.study import Study

# Modules of this package that define no kind of artifact.
SHARED = {"__init__", "base", "graph"}


@cache
def kinds() -> dict[str, type[Artifact]]:
    """Return the class of every kind of artifact, by the name of its module."""
    names = {path.stem for path in Path(__file__).parent.glob("*.py")} - SHARED
    classes = {}
    for name in sorted(names):
        module = importlib.import_module(f"fsar_core.study.artifacts.{name}")
        defined = [value for value in vars(module).values() if _is_kind(value, module.__name__)]
        if len(defined) != 1:
            raise FsarError(
                f"{module.__file__}: defines {len(defined)} kinds of artifacts, expected one class "
                f"derived from Artifact"
            )
        classes[name] = defined[0]
    return classes


def _is_kind(value: Any, module: str) -> bool:
    is_artifact = isinstance(value, type) and issubclass(value, Artifact)
    return is_artifact and value.__module__ == module


@cache
def kinds_by_spec_type() -> dict[type, type[Artifact]]:
    """Return the kind of artifact that each type of spec describes."""
    return {spec_type: cls for cls in kinds().values() for spec_type in cls.spec_types()}


class Graph:
    """All artifacts of a study; each exists once, and is described when it is first asked for.

    Example:
        >>> import fsar_core.study as study                                     # doctest: +SKIP
        >>> graph = study.Study.from_config("config.yaml").artifacts            # doctest: +SKIP
        >>> [need.kind for need in graph.get("table", "dmgal_table1").needs]    # doctest: +SKIP
        ['clip_index', 'clip_index']
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self._by_key: dict[tuple[str, str], Artifact] = {}
        # Most specs are asked for many times, and keys are digests: remember them by identity.
        self._by_identity: dict[int, tuple[Any, Artifact]] = {}
        self._checked: set[Artifact] = set()

    def get(self, kind: str, spec: Any) -> Artifact:
        """Return the artifact of a kind whose spec, or name, is given."""
        return self._known(kinds()[kind], spec)

    def of(self, spec: Spec) -> Artifact:
        """Return the artifact that a spec describes."""
        known = self._by_identity.get(id(spec))
        if known is None:
            cls = kinds_by_spec_type()[type(spec)]
            known = (spec, self._known(cls, cls.kept_as(spec)))
            self._by_identity[id(spec)] = known
        return known[1]

    def weights_of(self, features: FeatureSpec) -> list[Artifact]:
        """Return the weights that features are made with, if the pipeline trains them."""
        training = self.study.specs.training_of(features)
        return [] if training is None else [self.of(training)]

    def _known(self, cls: type[Artifact], spec: Any) -> Artifact:
        artifact = cls(self, spec)
        return self._by_key.setdefault((artifact.kind, artifact.key), artifact)

    def find(self, kind: str, key: str) -> Artifact:
        """Return an artifact by its key.

        Raises:
            FsarError: the configuration has no such artifact.
        """
        known = self.of_kind(kind)
        if key not in known:
            cls = kinds().get(kind, kinds()["store"])
            raise FsarError(f"{cls.unknown(kind, key)}{did_you_mean(key, known)}")
        return known[key]

    def of_job(self, kind: str, wildcards: Mapping[str, str]) -> Artifact:
        """Return the artifact that a job makes, or makes a part of; it is checked once.

        Args:
            wildcards: of the job, by name.
        Raises:
            FsarError: the configuration has no such artifact, or it cannot be made.
        """
        cls = kinds().get(kind, kinds()["store"])
        artifact = self.find(kind, "/".join(wildcards[name] for name in cls.wildcards))
        if artifact not in self._checked:
            artifact.check()
            self._checked.add(artifact)
        return artifact

    def describe(self) -> None:
        """Describe every artifact now, so that mistakes of the configuration are reported."""
        _ = self._all

    def of_kind(self, kind: str) -> dict[str, Artifact]:
        """Return every artifact of a kind, by key."""
        return self._all.get(kind, {})

    @cached_property
    def _all(self) -> dict[str, dict[str, Artifact]]:
        by_kind: dict[str, dict[str, Artifact]] = {}
        for artifact in sorted(self.behind(self.wanted), key=lambda one: one.key):
            by_kind.setdefault(artifact.kind, {})[artifact.key] = artifact
        return by_kind

    @cached_property
    def wanted(self) -> list[Artifact]:
        """Everything that can be asked for by name: the ends of the graph."""
        return [artifact for cls in kinds().values() for artifact in cls.wanted(self)]

    def __iter__(self) -> Iterator[Artifact]:
        """Iterate over all artifacts, each once."""
        return (artifact for artifacts in self._all.values() for artifact in artifacts.values())

    def behind(self, targets: Iterable[Artifact], done: bool = True) -> Iterator[Artifact]:
        """Iterate over targets and all that they need, each once.

        Args:
            done: whether artifacts that are complete count; without them, what only they need is
                left out too.
        """
        pending = list(targets)
        seen: set[Artifact] = set()
        while pending:
            artifact = pending.pop()
            if artifact in seen:
                continue
            seen.add(artifact)
            if done or not artifact.is_done:
                yield artifact
                pending += artifact.needs
