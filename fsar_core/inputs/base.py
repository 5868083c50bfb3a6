"""The base classes of inputs: what one declares, and how it is read for the clips of an episode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from fsar_core.specs import ModelSpec, RunSpec, Spec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import Tensor, nn

    from fsar_core.episodes.sampler import Episode
    from fsar_core.storage.bindings import SealedStore
    from fsar_core.storage.places import Place


class Planner(Protocol):
    """The part of a study that inputs are planned with; every method returns a spec."""

    preset: Any
    """Settings of the active preset (`fsar_core.config.Preset`)."""

    def dataset(self, name: str) -> Any:
        """Return a card and its clips (`fsar_core.data.cards.Dataset`)."""

    def features(self, dataset: str, setup: str | None = None, count: int | None = None) -> Any:
        """Return the features of a data set."""

    def frames(self, dataset: str, count: int | None = None) -> Any:
        """Return the frames of a data set."""

    def masks_of(self, dataset: str, count: int | None = None) -> Any:
        """Return the instance masks of a data set's training clips."""

    def saliency(self, dataset: str, setup: str | None = None, count: int | None = None) -> Any:
        """Return the actionness of a data set's frames."""

    def classifier(self, dataset: str, setup: str | None = None, count: int | None = None) -> Any:
        """Return the classifier of a data set's frames."""

    def check_masks(self, spec: Any) -> None:
        """Raise FsarError where masks cannot be made."""

    def check_features(self, spec: Any) -> None:
        """Raise FsarError where features cannot be made."""


class Input(ABC):
    """What a head can ask for besides features.

    A subclass that reads from a store defines `plan` and `open`; `open` usually returns a
    `StoreSource`.

    Example:
        >>> class Weather(Input):
        ...     has_artifact = False
        ...     def open(self, path, spec, model, index=None):
        ...         return Source()
        >>> Weather().at_test
        False
    """

    alias: ClassVar[str | None] = None
    """Name in specs, in checkpoints and on the command line; None: the name of the module.

    A field of `ModelSpec` of that name holds the artifact's spec. Other inputs are kept in
    `ModelSpec.inputs`, and `fsar train` is given their path as `--input NAME=PATH`.
    """

    has_artifact: ClassVar[bool] = True
    """Whether it is read from an artifact, a store or a file, that has to be made first."""

    at_test: ClassVar[bool] = False
    """Whether the head also receives it in tests. It is then read for test clips too, and nothing
    that it is given tells the class of a query."""

    @property
    def name(self) -> str:
        """The name by which heads ask for it: its module's."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def module(self) -> str:
        """The module that defines it; its code belongs to the models that are trained with it."""
        return type(self).__module__

    @property
    def key(self) -> str:
        """The name in specs, in checkpoints and on the command line."""
        return self.alias or self.name

    @property
    def has_option(self) -> bool:
        """Whether `fsar train` has an option of its own for the path."""
        return self.key in ModelSpec.model_fields

    # Planning: torch-free.

    def plan(
        self, study: Planner, dataset: str, setup: str | None, count: int | None
    ) -> Spec | None:
        """Return the spec of the artifact that it is read from.

        Args:
            dataset: whose clips the head sees.
            setup: of the preset; None for the preset's backbone.
            count: frames of a clip; None for the preset's.
        """
        return None

    def head_params(self, study: Planner, dataset: str) -> dict[str, Any]:
        """Return parameters of the head that follow from the input; a user's own have priority."""
        return {}

    def model_fields(self, study: Planner, spec: Spec) -> dict[str, Any]:
        """Return fields of `ModelSpec` that record the artifact."""
        if self.has_option:
            return {self.key: spec}
        return {"inputs": {self.key: spec.model_dump(mode="json")}}

    def spec_of(self, model: ModelSpec) -> Spec | None:
        """Return the spec of the artifact that a model is trained with; None without one."""
        if self.has_option:
            return getattr(model, self.key)
        return self._parsed(model.inputs)

    def test_spec_of(self, run: RunSpec) -> Spec | None:
        """Return the spec of the artifact that a run is tested with; None without one."""
        return self._parsed(run.test_inputs) if self.at_test else None

    def _parsed(self, recorded: Mapping[str, Any]) -> Spec | None:
        return self.parse(recorded[self.key]) if self.key in recorded else None

    def parse(self, value: Mapping[str, Any]) -> Spec:
        """Return the spec of a store of any kind from its value in `ModelSpec.inputs`."""
        from fsar_core.stores import kinds

        return kinds.spec_from(value)

    def check(self, study: Planner, spec: Spec) -> None:  # noqa: B027
        """Raise FsarError where the artifact cannot be made; called before any job starts."""

    # Reading.

    @abstractmethod
    def open(
        self,
        path: Place | None,
        spec: Any,
        model: ModelSpec,
        index: pd.DataFrame | None = None,
    ) -> Source:
        """Open the input of a model.

        Args:
            path: of the artifact; None for an input without one.
            spec: of the artifact, as `plan` returned it; None for an input without one.
            model: that is trained or tested with it.
            index: the clip index; None in a test.
        Raises:
            FsarError: the artifact is missing, damaged or of another spec.
        """


class Source:
    """An opened input: what it is bound to, and what it gives a head.

    Attributes:
        at_test: whether the head receives it in tests too; as its `Input` says.
        digests: contents that a training is bound to, by name (`fsar_core.storage.bindings`).
        stores: whose rows are those of the clip index.
    """

    at_test: bool = False
    digests: Mapping[str, str] = {}
    stores: Sequence[SealedStore] = ()

    @property
    def failed(self) -> frozenset[int]:
        """Rows that it has nothing of; training leaves these clips out."""
        return frozenset().union(*(store.failed for store in self.stores))

    def attach(self, head: nn.Module) -> None:
        """Give the head what is no tensor of an episode, for example weights of a part of it."""

    def load(
        self,
        rows: np.ndarray,
        memory_gib: float,
        threads: int = 1,
        many_views: np.ndarray | None = None,
    ) -> Source:
        """Read what episodes of these clips need, as far as it fits into memory, and return itself.

        Args:
            rows: of which view 0 is used.
            many_views: rows of which every stored view is used (training clips).
        """
        return self

    def batch(self, episodes: Sequence[Episode]) -> dict[str, Tensor]:
        """Return what a head is given of some episodes, by the keywords of its `forward`."""
        return {}


class StoreSource(Source):
    """An input that is read from a store whose rows are clips."""

    def __init__(self, key: str, reader: SealedStore) -> None:
        """
        Args:
            key: name in the record of what a model was trained with.
            reader: of the store.
        """
        self.key = key
        self.reader = reader
        self.stores = (reader,)

    @property
    def digests(self) -> dict[str, str]:
        """The content of the store, by the input's key."""
        from fsar_core.storage.bindings import store_content

        return {self.key: store_content(self.reader)}

    def load(
        self,
        rows: np.ndarray,
        memory_gib: float,
        threads: int = 1,
        many_views: np.ndarray | None = None,
    ) -> StoreSource:
        from fsar_core.episodes.loader import FeatureBank

        self.bank = FeatureBank(self.reader, rows, memory_gib, threads, many_views)
        return self

    def sides(self, episodes: Sequence[Episode]) -> dict[str, Tensor]:
        """Return what the store holds of the clips that episodes name.

        `support` is [batch way shot ...], `query` [batch query ...].
        """
        sides = ("support", "query")
        return {side: self.bank.clips(*rows_and_views(episodes, side)) for side in sides}


def rows_and_views(episodes: Sequence[Episode], side: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the clips on a side of some episodes, and which stored view each takes."""
    import numpy as np

    rows = np.stack([getattr(episode, side) for episode in episodes])
    drawn = [episode.views[side == "query"] for episode in episodes if episode.views is not None]
    return rows, np.stack(drawn) if drawn else np.zeros_like(rows)
