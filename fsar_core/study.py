"""From configuration, cards and tables to the specs of everything that has to be made. Torch-free.

This is what the Snakefile asks: which runs stand behind a table, which stores and episodes behind a run, where each of
them lies and how many jobs it takes. Everything is checked here, before any job starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fsar_core import registry
from fsar_core.config import Config, Row, Table, load
from fsar_core.data.cards import Dataset, load_dataset
from fsar_core.episodes.sampler import Split, check
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.provenance import file_sha256
from fsar_core.specs import (
    AugmentationSpec,
    BackboneSpec,
    BackboneTrainingSpec,
    Component,
    EpisodeSpec,
    FeatureSpec,
    FrameSpec,
    RunSpec,
    StoreSpec,
)
from fsar_core.stores.layout import job_count


@dataclass(frozen=True)
class Cell:
    """One measured number: a row of a table on one data set at one shot."""

    row: Row
    paper_dataset: str
    shot: int
    run: RunSpec


class Study:
    """Everything that one configuration asks for."""

    def __init__(self, config: Config, workflow: Path) -> None:
        """
        Args:
            workflow: the folder with datasets/ and tables/.
        """
        self.config, self.preset, self.workflow = config, config.active, Path(workflow)
        self.table_names = sorted(path.stem for path in (self.workflow / "tables").glob("*.yaml"))
        for name, card in config.datasets.items():
            if not (self.workflow / "datasets" / card / "card.yaml").exists():
                known = [path.parent.name for path in (self.workflow / "datasets").glob("*/card.yaml")]
                raise FsarError(f"config.yaml: datasets.{name}: no card named '{card}'{did_you_mean(card, known)}")
        self._datasets: dict[str, Dataset] = {}
        self._splits: dict[tuple[str, str], Split] = {}
        self._check_components()

    # -- data sets and stores ------------------------------------------------------------------------------------------

    def dataset(self, name: str) -> Dataset:
        """A card and its clips, by the card's name."""
        if name not in self._datasets:
            folder, root = self.workflow / "datasets", self.config.roots.data
            self._datasets[name] = load_dataset(folder, name, root, self.preset.demo_videos, self.config.seed)
        return self._datasets[name]

    def behind(self, paper_dataset: str) -> str:
        """The card that stands behind a data set of a paper."""
        known = self.config.datasets
        if paper_dataset not in known:
            raise FsarError(
                f"config.yaml: datasets names nothing behind '{paper_dataset}'{did_you_mean(paper_dataset, known)}"
            )
        return known[paper_dataset]

    def frames(self, dataset: str) -> FrameSpec:
        settings = self.preset.frames
        return FrameSpec(
            dataset=dataset,
            card=self.dataset(dataset).digest,
            seed=self.config.seed,
            **settings.model_dump(exclude={"clips_per_job"}),
        )

    def backbone_training(self, dataset: str) -> BackboneTrainingSpec | None:
        """How the pipeline trains the backbone itself; None where its weights come from outside."""
        backbone = self.preset.backbone
        entry = registry.entry("backbones", backbone.name)
        if backbone.weights is not None or not entry.constants.get("TRAINABLE", False):
            return None
        if backbone.training is None:
            raise FsarError(
                f"preset '{self.config.preset}': backbone '{backbone.name}' needs `training:` or `weights:`"
            )
        return BackboneTrainingSpec(
            frames=self.frames(dataset),
            backbone=_under(self.preset.backbones, Component(name=backbone.name)),
            crop=backbone.crop,
            seed=self.config.seed,
            version=entry.constants["VERSION"],
            **backbone.training.model_dump(),
        )

    def features(self, dataset: str) -> FeatureSpec:
        backbone = self.preset.backbone
        return FeatureSpec(
            frames=self.frames(dataset),
            backbone=BackboneSpec(
                name=backbone.name,
                params=self.preset.backbones.get(backbone.name, {}),
                weights=self._weights_identity(dataset),
                version=registry.entry("backbones", backbone.name).constants["VERSION"],
            ),
            cut=backbone.cut,
            crop=backbone.crop,
            dtype=backbone.dtype,
            augmentation=self._augmentation(dataset),
        )

    def _augmentation(self, dataset: str) -> AugmentationSpec | None:
        """The preset's, without mirrored clips where the card forbids them."""
        augmentation = self.preset.augmentation
        if augmentation is None or self.dataset(dataset).card.flip:
            return augmentation
        return augmentation.without_flip()

    def jobs(self, spec: StoreSpec) -> int:
        """Filling jobs of a store."""
        settings = self.preset.frames if spec.kind == "frames" else self.preset.backbone
        return job_count(len(self.dataset(spec.dataset)), settings.clips_per_job)

    def weights(self, dataset: str) -> str:
        """What `--weights` of the feature jobs says: a file, or a name that the backbone knows."""
        training = self.backbone_training(dataset)
        if training is not None:
            return str(self.weights_path(training))
        name = self.preset.backbone.weights
        published = registry.entry("backbones", self.preset.backbone.name).constants.get("WEIGHTS", ())
        return name if name in published else str(self._weights_file())

    # -- episodes and runs ---------------------------------------------------------------------------------------------

    def episodes(self, dataset: str, split: str, shot: int) -> EpisodeSpec:
        settings = self.preset.episodes
        return EpisodeSpec(
            dataset=dataset,
            card=self.dataset(dataset).digest,
            split=split,
            way=settings.way,
            shot=shot,
            query=settings.query,
            count=settings.test if split == "test" else settings.val,
            seed=self.config.seed,
            group_disjoint=settings.group_disjoint,
        )

    def run(self, dataset: str, head: Component, matching: Component, shot: int) -> RunSpec:
        """The run of a head and a metric on a data set at a shot, with the preset's parameters under the given ones."""
        train_shot = self.preset.episodes.train_shot
        return RunSpec(
            features=self.features(dataset),
            train_tail=self.preset.backbone.train_tail,
            head=_under(self.preset.heads, head),
            matching=_under(self.preset.matching, matching),
            training=self.preset.training,
            train_shot=shot if train_shot == "tested" else train_shot,
            validation=self.episodes(dataset, "val", shot if train_shot == "tested" else train_shot),
            test=self.episodes(dataset, "test", shot),
            seed=self.config.seed,
        )

    # -- tables --------------------------------------------------------------------------------------------------------

    def table(self, name: str) -> Table:
        if name not in self.table_names:
            raise FsarError(f"no table '{name}' in {self.workflow / 'tables'}{did_you_mean(name, self.table_names)}")
        return load(Table, self.workflow / "tables" / f"{name}.yaml")

    def cells(self, name: str) -> list[Cell]:
        """The measured numbers of a table; two paper data sets on one card share their runs."""
        table = self.table(name)
        return [
            Cell(row, dataset, shot, self.run(self.behind(dataset), row.head, row.matching, shot))
            for row in table.rows
            if row.head is not None
            for dataset in table.datasets
            for shot in table.shots
        ]

    @cached_property
    def runs(self) -> dict[str, RunSpec]:
        """Every run of every table, by run id."""
        return {cell.run.run_id: cell.run for name in self.table_names for cell in self.cells(name)}

    # -- where things lie ----------------------------------------------------------------------------------------------

    def store_path(self, spec: StoreSpec) -> Path:
        """The folder of a store; at the cut `frames` a backbone's features are the frames themselves."""
        if spec.kind == "features" and spec.cut == "frames":
            spec = spec.frames
        return self.config.roots.stores / spec.kind / spec.key

    def index_path(self, dataset: str) -> Path:
        return self.config.roots.stores / "index" / f"{dataset}.{self.dataset(dataset).digest}.tsv"

    def weights_path(self, spec: BackboneTrainingSpec) -> Path:
        return self.config.roots.weights / "trained" / f"{spec.key}.pt"

    def episodes_path(self, spec: EpisodeSpec) -> Path:
        return self.config.roots.results / "episodes" / f"{spec.key}.npz"

    def run_path(self, spec: RunSpec) -> Path:
        return self.config.roots.results / "runs" / spec.run_id

    # -- checks --------------------------------------------------------------------------------------------------------

    def _weights_identity(self, dataset: str) -> str:
        training = self.backbone_training(dataset)
        if training is not None:
            return f"trained:{training.digest}"
        backbone = self.preset.backbone
        published = registry.entry("backbones", backbone.name).constants.get("WEIGHTS", ())
        if backbone.weights is None:
            raise FsarError(
                f"preset '{self.config.preset}': backbone '{backbone.name}' needs `weights:` (a name or a file)"
            )
        if backbone.weights in published:
            return f"torchvision:{backbone.weights}"
        return f"sha256:{self._weights_sha256}"

    def _weights_file(self) -> Path:
        name, root = self.preset.backbone.weights, self.config.roots.weights
        for path in (Path(name), root / name):
            if path.is_file():
                return path
        published = registry.entry("backbones", self.preset.backbone.name).constants.get("WEIGHTS", ())
        raise FsarError(
            f"preset '{self.config.preset}': backbone.weights: no file '{name}', here or in roots.weights ({root})"
            + (did_you_mean(name, published) if published else "")
        )

    @cached_property
    def _weights_sha256(self) -> str:
        return file_sha256(self._weights_file())

    def check_episodes(self, spec: EpisodeSpec) -> None:
        """FsarError where the split list already tells that such episodes cannot be drawn."""
        self._check_draw(spec.dataset, spec.split, spec.way, spec.shot, spec.query)

    def _check_draw(self, dataset: str, split: str, way: int, shot: int, query: int) -> None:
        if (dataset, split) not in self._splits:
            clips = self.dataset(dataset).clips
            listed = clips.assign(row=range(len(clips)), problem="")
            self._splits[dataset, split] = Split.from_index(listed, split)
        disjoint = self.preset.episodes.group_disjoint
        check(self._splits[dataset, split], way, shot, query, group_disjoint=disjoint)

    def check_run(self, spec: RunSpec) -> None:
        """FsarError where the split lists already tell that a run cannot be trained or tested."""
        dataset, training = spec.features.dataset, spec.training
        self._check_draw(dataset, "train", spec.test.way, spec.train_shot, training.query)
        for episodes in (spec.validation, spec.test):
            self.check_episodes(episodes)

    def _check_components(self) -> None:
        """Names and parameters of everything that a job would build, and that every table can be read."""
        backbone, where = self.preset.backbone, f"preset '{self.config.preset}'"
        entry = _checked(f"{where}: backbone", "backbones", backbone.name, {})
        cuts = entry.constants["CUTS"]
        if backbone.cut not in cuts:
            raise FsarError(
                f"{where}: backbone '{backbone.name}' has no cut '{backbone.cut}'{did_you_mean(backbone.cut, cuts)}"
            )
        if backbone.train_tail and backbone.cut == cuts[-1]:
            raise FsarError(
                f"{where}: backbone.train_tail: nothing is left to train behind the last cut '{backbone.cut}'"
            )
        self._check_views(where)
        if backbone.crop > self.preset.frames.size:
            raise FsarError(
                f"{where}: backbone.crop {backbone.crop} is larger than frames.size {self.preset.frames.size}"
            )
        for kind in ("backbones", "heads", "matching"):
            for name, params in getattr(self.preset, kind).items():
                _checked(f"{where}: {kind}.{name}", kind, name, params)
        for name in self.table_names:
            for row in self.table(name).rows:
                for kind, component in (("heads", row.head), ("matching", row.matching)):
                    if component is not None:
                        _checked(f"{name}.yaml: row '{row.method}'", kind, component.name, component.params)

    def _check_views(self, where: str) -> None:
        """An augmentation is refused that has no stored view of its own."""
        augmentation, views, cut = self.preset.augmentation, self.preset.frames.views, self.preset.backbone.cut
        if augmentation is None or cut == "frames":
            return
        needed = 2 if augmentation.support == augmentation.query else 3
        if views < needed:
            raise FsarError(
                f"{where}: augmentation at the cut '{cut}' is stored in views of the training clips; expected frames.views "
                f"of at least {needed} (1 test view + {needed - 1}), found {views}; or use the cut 'frames'"
            )


def _under(settings: dict[str, dict], component: Component) -> Component:
    """A component with the preset's parameters where it names none of its own."""
    return Component(name=component.name, params={**settings.get(component.name, {}), **component.params})


def _checked(where: str, kind: str, name: str, params: dict) -> registry.Entry:
    """`registry.check` with the place of the mistake in its error; `dim` and `frames` come from the feature store."""
    try:
        return registry.check(kind, name, params, supplied=("dim", "frames"))
    except FsarError as error:
        raise FsarError(f"{where}: {error}") from None
