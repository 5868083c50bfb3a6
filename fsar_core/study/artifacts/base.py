"""The base class of artifacts: what the pipeline makes, from what, and by which jobs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from fsar_core.storage.places import Place

if TYPE_CHECKING:
    from fsar_core.study.artifacts.graph import Graph


class Job(NamedTuple):
    """A job of the workflow: its rule, and the file that is there once it is done."""

    rule: str
    path: Place


class Work(NamedTuple):
    """How much work the jobs of an artifact do together.

    Attributes:
        stage: what their speed depends on: the rule, followed by names of components.
        clips: that go through the jobs; clips of `CLIP_FRAMES` frames, once for every pass.
    """

    stage: str
    clips: float = 0.0


class Volume(NamedTuple):
    """How much an artifact stores.

    Attributes:
        content: what compression depends on: the kind, followed by names of components.
        bytes: before compression.
    """

    content: str = ""
    bytes: float = 0.0


# A clip of another length counts as several clips, or as a part of one.
CLIP_FRAMES = 8


class Artifact(ABC):
    """Something that the pipeline makes.

    A kind of artifact is one module of this package. It defines one subclass, which is known by
    being there; the kind's name is the module's. The rule that makes it takes its inputs and
    parameters from `inputs` and `params`, so that a new kind is one module and one rule.

    Attributes:
        graph: that the artifact belongs to.
        study: of the graph.
        spec: what it is, and what its `key` is made of: a spec, or a name.
    """

    spec_type: ClassVar[type | None] = None
    """Type of `spec`, if it describes artifacts of this kind and of no other."""

    wildcards: ClassVar[tuple[str, ...]] = ()
    """Wildcards of the rule that together are the `key`, joined by `/`."""

    location: ClassVar[tuple[str, ...] | None] = None
    """Root and patterns of files that hold a checksum, by which `fsar verify` finds artifacts."""

    is_folder: ClassVar[bool] = False
    """Whether what is verified is the folder of the files that `location` finds."""

    loses_clips: ClassVar[bool] = False
    """Whether clips may be missing because a decoder crashed; another attempt may have them."""

    uses_gpu: bool = False
    """Whether jobs of `rule` use a GPU where there is one."""

    def __init__(self, graph: Graph, spec: Any) -> None:
        self.graph = graph
        self.study = graph.study
        self.spec = spec

    @classmethod
    def spec_types(cls) -> tuple[type, ...]:
        """Return the types of specs that describe artifacts of this kind and of no other."""
        return () if cls.spec_type is None else (cls.spec_type,)

    @classmethod
    def kept_as(cls, spec: Any) -> Any:
        """Return the spec of the artifact that holds what a spec describes; usually the same."""
        return spec

    @classmethod
    def unknown(cls, kind: str, key: str) -> str:
        """Return the error for a key that no artifact of the kind has."""
        return f"no {kind.replace('_', ' ')} '{key}' under this configuration"

    @classmethod
    def wanted(cls, graph: Graph) -> Iterable[Artifact]:
        """Return artifacts that are made whether or not another artifact needs them."""
        return ()

    @property
    def kind(self) -> str:
        """The name of the kind."""
        return type(self).__module__.rpartition(".")[2]

    @property
    @abstractmethod
    def key(self) -> str:
        """The name among all artifacts of its kind."""

    @property
    @abstractmethod
    def rule(self) -> str:
        """The rule whose jobs do the work."""

    @property
    @abstractmethod
    def path(self) -> Place:
        """The file that exists when the artifact is complete; it is written last."""

    @property
    def files(self) -> Sequence[Place]:
        """The files that other artifacts are made from."""
        return (self.path,)

    @property
    def argument(self) -> Place:
        """The path by which jobs are given it: a file, or a folder."""
        return self.path

    @property
    def places(self) -> Sequence[Place]:
        """The folders and files that hold the artifact; `fsar clean` keeps them."""
        return self.files

    @property
    def inputs(self) -> Mapping[str, Sequence[Artifact]]:
        """The artifacts that it is made from, by the name of the rule's input."""
        return {}

    @property
    def is_done(self) -> bool:
        """Whether it is complete; whether it is up to date, snakemake decides."""
        return self.path.exists()

    @cached_property
    def needs(self) -> tuple[Artifact, ...]:
        """The artifacts that it is made from, each once."""
        every = (need for needs in self.inputs.values() for need in needs)
        return tuple(dict.fromkeys(every))

    def input_files(self, name: str) -> list[Place]:
        """Return the files of an input of the rule; none if the artifact has no such input."""
        needs = self.inputs.get(name, ())
        return list(dict.fromkeys(file for need in needs for file in need.files))

    @property
    def params(self) -> Mapping[str, Any]:
        """What the rule is given besides files."""
        return {}

    @property
    def modules(self) -> Sequence[str]:
        """Modules that its job reaches by name: their code is a part of what it is made from."""
        return ()

    @property
    def jobs(self) -> Sequence[Job]:
        """All jobs that make it."""
        return (Job(self.rule, self.path),)

    @property
    def work(self) -> Work:
        """What its jobs do, for estimates of time."""
        return Work(self.rule)

    @property
    def volume(self) -> Volume:
        """What it stores, for estimates of space; small files count as nothing."""
        return Volume()

    def check(self) -> None:  # noqa: B027
        """Raise FsarError if it cannot be made; called before any job of it starts."""

    def __repr__(self) -> str:
        return f"<{self.kind} {self.key}>"


def by_key(artifacts: Iterable[Artifact]) -> list[Artifact]:
    """Return artifacts of one kind, each once, sorted by key."""
    return sorted(set(artifacts), key=lambda artifact: artifact.key)


class Target(Artifact):
    """A set of artifacts that people ask for by one name; nothing is made for it alone."""

    @property
    def rule(self) -> str:
        return ""

    @property
    def path(self) -> Place:
        raise TypeError(f"{self!r} has no file of its own")

    @property
    def is_done(self) -> bool:
        return all(need.is_done for need in self.needs)

    @property
    def files(self) -> Sequence[Place]:
        """The files of everything that is asked for."""
        return [file for need in self.needs for file in need.files]

    @property
    def places(self) -> Sequence[Place]:
        return ()

    @property
    def jobs(self) -> Sequence[Job]:
        return ()
