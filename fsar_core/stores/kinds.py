"""Kinds of stores: the base class, and how the modules of `fsar_core.store_kinds` are found.

A module `store_kinds/name.py` defines a class derived from `StoreKind` and is known by being there;
`name` is the `kind` of its spec and of the folder below the stores. Torch-free: a kind imports
torch only where it does the expensive work.
"""

from __future__ import annotations

import importlib
import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from fsar_core.errors import FsarError, did_you_mean
from fsar_core.runtime.devices import Meter
from fsar_core.specs import FrameSpec, Spec

if TYPE_CHECKING:
    import pandas as pd

    from fsar_core.data.cards import Dataset
    from fsar_core.storage.places import Place
    from fsar_core.stores.inputs import Inputs
    from fsar_core.stores.layout import Plan
    from fsar_core.stores.writer import Block

PACKAGE = "fsar_core.store_kinds"
FOLDER = Path(__file__).parents[1] / "store_kinds"


@dataclass(frozen=True)
class FillOptions:
    """What a filling job is given, as options of `fsar fill`; each kind uses a part of it.

    Attributes:
        threads: of the CPU.
        device: `cpu`, `cuda`, or `auto`: a GPU where there is one.
        folder: of the data set.
        timeout: seconds that decoding a clip may take.
        frames: the frame store.
        features: the feature store.
        inputs: other stores and files, by name (`--input NAME=PATH`).
        weights: a file, or a published name.
        weights_root: where published weights are kept.
        batch_clips: clips of one forward pass.
        batch_frames: frames of one forward pass.
        mixed_precision: whether a GPU computes in half precision where it is safe.
        meter: counts the time that the device waits for data.
    """

    threads: int = 1
    device: str = "auto"
    folder: Path | None = None
    timeout: float = 60.0
    frames: Place | None = None
    features: Place | None = None
    inputs: Mapping[str, Place] = field(default_factory=dict)
    weights: str | None = None
    weights_root: Path | None = None
    batch_clips: int = 16
    batch_frames: int = 8
    mixed_precision: bool = False
    meter: Meter = field(default_factory=Meter)

    def given(self, name: str) -> Any:
        """Return the option of a name, or the input; None if it is not given."""
        own = {each.name for each in fields(self)}
        return getattr(self, name) if name in own else self.inputs.get(name)

    @classmethod
    def option(cls, name: str) -> str:
        """Return how the command line gives an option or input of a name."""
        if name in {each.name for each in fields(cls)}:
            return f"--{name.replace('_', '-')}"
        return f"--input {name}=PATH"


@dataclass(frozen=True)
class FillJob:
    """One job of a planned store.

    Attributes:
        spec: of the store.
        plan: of the store.
        index: the clip index.
        rows: that the job fills.
        options: of the command line.
    """

    spec: Any
    plan: Plan
    index: pd.DataFrame
    rows: range
    options: FillOptions


class Task(NamedTuple):
    """What a job is made from and how it is done.

    Attributes:
        inputs: recorded in the receipt; a finished job is done again if any of them has changed.
        blocks: does the expensive work; called only if the job has to be done.
    """

    inputs: Inputs
    blocks: Callable[[], Iterable[Block]]


class StoreKind:
    """One kind of store: its spec, its arrays, and how a job fills its rows."""

    spec_type: ClassVar[type[Spec]]
    """Spec of a store.

    Its field `kind` has the name of the module as its only value. Its `dataset` is the data set of
    the rows, and its `key`, `<dataset>.<words>.<digest>`, names the folder of the store.
    """

    title: ClassVar[str]
    """What messages call it, for example `masks store`."""

    requires: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """What a job cannot do without and what each is: options of `fsar fill`, named as in
    `FillOptions`; other names stand for `--input NAME=PATH`."""

    @property
    def name(self) -> str:
        """The kind's name: its module's."""
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def plan(self, spec: Any, index: pd.DataFrame, clips_per_job: int) -> Plan:
        """Return shapes, types and jobs of a store."""

    @abstractmethod
    def task(self, job: FillJob) -> Task:
        """Return what a job is made from and how it is done.

        Raises:
            FsarError: something that the job needs is missing or is not what its spec says.
        """

    # Planning: without torch, and before anything exists.

    def kept_as(self, spec: Any) -> Any:
        """Return the spec of the store that holds what a spec describes; usually the same."""
        return spec

    def fill_rule(self, spec: Any) -> str:
        """Return the rule whose jobs fill a store."""
        return f"fill_{self.name}"

    def uses_gpu(self, spec: Any) -> bool:
        """Say whether these jobs use a GPU where there is one."""
        return False

    def needs(self, spec: Any, graph: Any) -> Mapping[str, Sequence[Any]]:
        """Return the artifacts that a store is filled from, besides the clip index.

        Args:
            graph: the artifacts of a study (`fsar_core.study.artifacts.graph.Graph`).
        Returns:
            Artifacts by the name of the rule's input.
        """
        return {}

    def params(self, spec: Any, study: Any) -> Mapping[str, Any]:
        """Return what the filling rule is given besides files.

        Args:
            study: of the store (`fsar_core.study.Study`).
        """
        return {}

    def clips(self, data: Dataset) -> int:
        """Return the rows of a store of a data set."""
        return len(data)

    @abstractmethod
    def clips_per_job(self, spec: Any, study: Any) -> int:
        """Return how many rows a job fills, as the preset says; rounded up to whole files."""

    def frames_done(self, spec: Any, data: Dataset) -> int:
        """Return how many frames all jobs go through, for estimates of time."""
        frames = frames_of(spec)
        if frames is None:
            return 0
        clips = len(data) + data.training_clips * (frames.views - 1)
        return clips * frames.count

    def stage(self, spec: Any) -> str:
        """Return what the speed of the jobs depends on: the rule, then names of components."""
        return self.fill_rule(spec)

    def content(self, spec: Any) -> str:
        """Return what compression depends on: the kind, then names of components."""
        return self.name

    @abstractmethod
    def frame_bytes(self, spec: Any) -> float:
        """Return the bytes that a frame takes before compression."""

    def check(self, spec: Any, checks: Any) -> None:
        """Check that a store can be made; called before any job starts.

        Args:
            checks: of the study (`fsar_core.study.checks.specs.SpecChecks`).
        Raises:
            FsarError: it cannot.
        """

    def for_dataset(self, dataset: str, study: Any) -> Any | None:
        """Return the spec of the store that every data set has, whatever needs it; None if none."""
        return None

    # Filling.

    def write_threads(self, options: FillOptions) -> int:
        """Return how many threads compress and write while the next block is made."""
        return 1

    def uses_device(self, options: FillOptions) -> bool:
        """Say whether a job computes on a device, so that its waiting time is of interest."""
        return False


def frames_of(spec: Spec) -> FrameSpec | None:
    """Return the frames that a store is made from, from its nested specs; None if from none."""
    if isinstance(spec, FrameSpec):
        return spec
    for name in type(spec).model_fields:
        part = getattr(spec, name)
        frames = frames_of(part) if isinstance(part, Spec) else None
        if frames is not None:
            return frames
    return None


@cache
def names() -> tuple[str, ...]:
    """Return the names of all kinds of stores, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("[a-z]*.py")))


@cache
def get(name: str) -> StoreKind:
    """Return a kind of store by its name.

    Raises:
        FsarError: there is no such kind, or its module defines no class derived from `StoreKind`.

    Example:
        >>> get("masks").spec_type.__name__
        'MaskSpec'
    """
    if name not in names():
        raise FsarError(f"unknown kind of store '{name}'{did_you_mean(name, names())}")
    module = importlib.import_module(f"{PACKAGE}.{name}")
    for value in vars(module).values():
        is_kind = isinstance(value, type) and issubclass(value, StoreKind)
        if is_kind and value.__module__ == module.__name__:
            return value()
    raise FsarError(f"store_kinds/{name}.py: defines no class derived from StoreKind")


class SpecTypes(Mapping[str, type[Spec]]):
    """The type of spec of every kind of store, by the kind's name."""

    def __getitem__(self, kind: str) -> type[Spec]:
        if kind not in names():
            raise KeyError(kind)
        return get(kind).spec_type

    def __iter__(self) -> Iterator[str]:
        return iter(names())

    def __len__(self) -> int:
        return len(names())


def spec_from(value: Mapping[str, Any]) -> Any:
    """Return the spec of a store of any kind from its JSON value.

    Raises:
        FsarError: the value names no kind of store, or is no spec of that kind.
    """
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in names():
        raise FsarError(
            f"--spec names the unknown kind of store '{kind}'; valid: {', '.join(names())}"
        )
    return get(kind).spec_type.parse(json.dumps(value))
