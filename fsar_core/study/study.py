"""The configuration, with the data sets, tables and figures that it is about."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fsar_core.config import Config, load_config, read_merged
from fsar_core.data.cards import Dataset, card_names, load_dataset
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.paper import AnyFigure, AnyTable, load_figure, load_table
from fsar_core.specs import FeatureSpec
from fsar_core.study.caching import cached_method
from fsar_core.study.checks.components import check_components
from fsar_core.study.checks.specs import SpecChecks
from fsar_core.study.experiments import Experiments
from fsar_core.study.paths import Paths
from fsar_core.study.specs import Specs

if TYPE_CHECKING:
    from fsar_core.study.artifacts.graph import Graph


class Study:
    """Everything that one configuration asks for.

    Attributes:
        config: the configuration.
        preset: its active preset.
        workflow: the folder with datasets/, tables/ and figures/.
        table_names: names of all tables, sorted.
        figure_names: names of all figures, sorted.
        paths: where each artifact is kept.
        specs: builds the specs of artifacts.
        experiments: the runs behind tables and figures.
        checks: of specs, before any job starts.
    """

    def __init__(self, config: Config, workflow: Path) -> None:
        """
        Args:
            workflow: the folder with datasets/, tables/ and figures/.
        Raises:
            FsarError: a table, figure or component cannot be what the configuration says.
        """
        self.config = config
        self.preset = config.active
        self.workflow = Path(workflow)
        self.table_names = sorted(path.stem for path in (self.workflow / "tables").glob("*.yaml"))
        self.figure_names = sorted(path.stem for path in (self.workflow / "figures").glob("*.yaml"))
        self._check_cards()
        self._datasets: dict[str, Dataset] = {}
        self.paths = Paths(self)
        self.specs = Specs(self)
        self.experiments = Experiments(self)
        self.checks = SpecChecks(self)
        check_components(self)

    @classmethod
    def from_config(
        cls,
        *files: Path | str,
        preset: str | None = None,
        workflow: Path | str | None = None,
    ) -> Study:
        """Read a configuration.

        Args:
            files: later ones are laid over earlier ones, as by `snakemake --configfile`.
            preset: in place of the configuration's.
            workflow: the folder with datasets/, tables/ and figures/; by default the one beside
                the first file.
        """
        paths = [Path(file) for file in files] or [Path("config.yaml")]
        values = read_merged(paths)
        if preset is not None:
            values["preset"] = preset
        config = load_config(values, " with ".join(map(str, paths)))
        return cls(config, paths[0].parent / "workflow" if workflow is None else Path(workflow))

    @cached_property
    def artifacts(self) -> Graph:
        """The graph of everything that is made."""
        from fsar_core.study.artifacts.graph import Graph

        return Graph(self)

    @cached_property
    def datasets(self) -> dict[str, Dataset]:
        """Every data set of the configuration, by the name of its card, sorted."""
        return {name: self.dataset(name) for name in sorted(set(self.config.datasets.values()))}

    def dataset(self, name: str) -> Dataset:
        """Return a card and its clips, by the card's name."""
        if name not in self._datasets:
            folder = self.workflow / "datasets"
            root = self.config.roots.data
            demo_videos = self.preset.demo_videos
            self._datasets[name] = load_dataset(folder, name, root, demo_videos, self.config.seed)
        return self._datasets[name]

    def behind(self, paper_dataset: str) -> str:
        """Return the card that is used in place of a data set of a paper."""
        known = self.config.datasets
        if paper_dataset not in known:
            hint = did_you_mean(paper_dataset, known)
            raise FsarError(f"config.yaml: datasets names nothing behind '{paper_dataset}'{hint}")
        return known[paper_dataset]

    def features(self, dataset: str, setup: str | None = None) -> FeatureSpec:
        """Return the spec of a data set's feature store.

        Args:
            setup: of the preset; None: its own backbone.
        """
        return self.specs.features(dataset, setup)

    @cached_method
    def table(self, name: str) -> AnyTable:
        """Return a table by name."""
        folder = self.workflow / "tables"
        if name not in self.table_names:
            hint = did_you_mean(name, self.table_names)
            raise FsarError(f"no table '{name}' in {folder}{hint}")
        return load_table(folder / f"{name}.yaml")

    @cached_method
    def figure(self, name: str) -> AnyFigure:
        """Return a figure by name."""
        folder = self.workflow / "figures"
        if name not in self.figure_names:
            hint = did_you_mean(name, self.figure_names)
            raise FsarError(f"no figure '{name}' in {folder}{hint}")
        return load_figure(folder / f"{name}.yaml")

    def _check_cards(self) -> None:
        known = card_names(self.workflow / "datasets")
        for name, card in self.config.datasets.items():
            if card not in known:
                hint = did_you_mean(card, known)
                raise FsarError(f"config.yaml: datasets.{name}: no card named '{card}'{hint}")
