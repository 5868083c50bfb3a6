"""From configuration, cards and tables to the specs of everything that has to be made. Torch-free.

This is what the Snakefile asks: which runs stand behind a table, which stores and episodes behind a run, where each of
them lies and how many jobs it takes. Everything is checked here, before any job starts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

from fsar_core import checks, inputs
from fsar_core.components import registry
from fsar_core.config import Backbone, Config, Setup
from fsar_core.data import class_prompts
from fsar_core.data.cards import Dataset, card_names, load_dataset
from fsar_core.episodes.sampler import Split, check
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.papers.kinds import FigureKind, TableKind
from fsar_core.papers.needs import (
    Actionness,
    Cell,
    EpisodeShape,
    Experiment,
    FigureNeeds,
    Inspection,
    Point,
    TableNeeds,
)
from fsar_core.papers.registry import load_figure, load_table
from fsar_core.specs import (
    AugmentationSpec,
    BackboneSpec,
    BackboneTrainingSpec,
    ClassifierSpec,
    Component,
    EpisodeSpec,
    FeatureSpec,
    FrameSpec,
    MaskSpec,
    ModelSpec,
    RunSpec,
    SaliencySpec,
    StoreSpec,
    TrainingSpec,
)
from fsar_core.storage.places import Place
from fsar_core.storage.weight_files import downloaded, identity, is_address
from fsar_core.stores.layout import job_count


def _once(method: Callable[[Study, str], Any]) -> Callable[[Study, str], Any]:
    """Of a table or figure by name: asked for by every job that Snakemake plans, computed once a study."""

    @wraps(method)
    def known(self: Study, name: str) -> Any:
        if (method.__name__, name) not in self._known:
            self._known[method.__name__, name] = method(self, name)
        return self._known[method.__name__, name]

    return known


class Study:
    """Everything that one configuration asks for."""

    def __init__(self, config: Config, workflow: Path) -> None:
        """
        Args:
            workflow: the folder with datasets/, tables/ and figures/.
        """
        self.config, self.preset, self.workflow = config, config.active, Path(workflow)
        self.table_names = sorted(path.stem for path in (self.workflow / "tables").glob("*.yaml"))
        self.figure_names = sorted(path.stem for path in (self.workflow / "figures").glob("*.yaml"))
        known = card_names(self.workflow / "datasets")
        for name, card in config.datasets.items():
            if card not in known:
                raise FsarError(f"config.yaml: datasets.{name}: no card named '{card}'{did_you_mean(card, known)}")
        self._known: dict[tuple[str, str], Any] = {}
        self._datasets: dict[str, Dataset] = {}
        self._splits: dict[tuple[str, str], Split] = {}
        self._classes: dict[tuple[str, str], int] = {}
        self._sha256: dict[Path, str] = {}
        checks.check_components(self)

    # -- data sets and stores ------------------------------------------------------------------------------------------

    def dataset(self, name: str) -> Dataset:
        """A card and its clips, by the card's name."""
        if name not in self._datasets:
            folder, root = self.workflow / "datasets", self.config.roots.data
            self._datasets[name] = load_dataset(folder, name, root, self.preset.demo_videos, self.config.seed)
        return self._datasets[name]

    def classes(self, dataset: str, split: str) -> int:
        """How many classes a split of a data set has, by its list."""
        if (dataset, split) not in self._classes:
            clips = self.dataset(dataset).clips
            self._classes[dataset, split] = clips["class"][clips["split"] == split].nunique()
        return self._classes[dataset, split]

    def behind(self, paper_dataset: str) -> str:
        """The card that stands behind a data set of a paper."""
        known = self.config.datasets
        if paper_dataset not in known:
            raise FsarError(
                f"config.yaml: datasets names nothing behind '{paper_dataset}'{did_you_mean(paper_dataset, known)}"
            )
        return known[paper_dataset]

    def frames(self, dataset: str, count: int | None = None) -> FrameSpec:
        """A frame store; `count` frames a clip in place of the preset's."""
        settings = self.preset.frames.model_dump(exclude={"clips_per_job"})
        if count is not None:
            settings["count"] = count
        return FrameSpec(dataset=dataset, card=self.dataset(dataset).digest, seed=self.config.seed, **settings)

    def setup(self, name: str | None) -> Setup:
        """A setup of the preset; None: its own backbone and training."""
        own = Setup(backbone=self.preset.backbone, augmentation=self.preset.augmentation)
        named = own if name is None else self.preset.setups[name]
        return named if named.backbone is not None else own.model_copy(update={"training": named.training})

    def backbone_training(self, dataset: str, setup: str | None = None) -> BackboneTrainingSpec | None:
        """How the pipeline trains the backbone itself; None where its weights come from outside."""
        backbone = self.setup(setup).backbone
        entry = registry.entry("backbones", backbone.name)
        if backbone.weights is not None or not entry.attributes["trainable"]:
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
            version=entry.attributes["version"],
            **backbone.training.model_dump(),
        )

    def features(
        self, dataset: str, setup: str | None = None, count: int | None = None, trained_on: str | None = None
    ) -> FeatureSpec:
        """A feature store; `trained_on`: the data set of the backbone's training, where it is another."""
        backbone = self.setup(setup).backbone
        return FeatureSpec(
            frames=self.frames(dataset, count),
            backbone=BackboneSpec(
                name=backbone.name,
                params=self.preset.backbones.get(backbone.name, {}),
                weights=self._weights_identity(trained_on or dataset, setup),
                version=registry.entry("backbones", backbone.name).attributes["version"],
            ),
            cut=backbone.cut,
            crop=backbone.crop,
            dtype=backbone.dtype,
            augmentation=self._augmentation(dataset, setup),
            compression=backbone.compression,
        )

    def _augmentation(self, dataset: str, setup: str | None) -> AugmentationSpec | None:
        """The setup's, without mirrored clips where the card forbids them."""
        augmentation = self.setup(setup).augmentation
        if augmentation is None or self.dataset(dataset).card.flip:
            return augmentation
        return augmentation.without_flip()

    def jobs(self, spec: StoreSpec) -> int:
        """Filling jobs of a store."""
        if spec.kind == "masks":
            return job_count(self.dataset(spec.dataset).training_clips, self.preset.masks.clips_per_job)
        if spec.kind == "saliency":
            return job_count(len(self.dataset(spec.dataset)), self.preset.saliency.clips_per_job)
        settings = self.preset.frames if spec.kind == "frames" else self.backbone_of(spec)
        return job_count(len(self.dataset(spec.dataset)), settings.clips_per_job)

    def backbone_of(self, spec: FeatureSpec) -> Backbone:
        """The settings that a feature store is made by."""
        return self.setup(self._origins[spec.key][0]).backbone

    def training_of(self, spec: FeatureSpec) -> BackboneTrainingSpec | None:
        """The training that a feature store's backbone comes from, if it is the pipeline's."""
        setup, trained_on = self._origins[spec.key]
        return self.backbone_training(trained_on, setup)

    def weights(self, spec: FeatureSpec) -> str:
        """What `--weights` of the feature jobs says: a file, or a name that the backbone knows."""
        training, backbone = self.training_of(spec), self.backbone_of(spec)
        if training is not None:
            return str(self.weights_path(training))
        published = registry.entry("backbones", backbone.name).attributes["published_weights"]
        return backbone.weights if backbone.weights in published else str(self._weights_file(backbone))

    # -- episodes and runs ---------------------------------------------------------------------------------------------

    def episodes(self, dataset: str, split: str, shot: int, **different: int | float) -> EpisodeSpec:
        """Frozen episodes as the preset has them; `different`: another way, query or count, or `max_seconds`."""
        settings = self.preset.episodes
        usual = dict(way=settings.way, query=settings.query, count=settings.test if split == "test" else settings.val)
        return EpisodeSpec(
            dataset=dataset,
            card=self.dataset(dataset).digest,
            split=split,
            shot=shot,
            **usual | different,
            seed=self.config.seed,
            group_disjoint=settings.group_disjoint,
        )

    def masks_of(self, dataset: str, count: int | None = None) -> MaskSpec:
        """The masks of a data set's training clips, whatever head learns from them."""
        settings, data = self.preset.masks, self.dataset(dataset)
        provider = registry.entry("instance_masks", settings.provider).attributes
        return MaskSpec(
            frames=self.frames(dataset, count),
            provider=Component(name=settings.provider, params=settings.params),
            weights=self._mask_weights_identity() if provider["loads"] else None,
            source=None if provider["needs_frames"] else data.card.masks,
            prompts=class_prompts.identity(data.training_classes) if provider["prompted"] else None,
            version=provider["version"],
        )

    @property
    def mask_weights(self) -> Path | None:
        """What the provider of masks loads, or where it will be downloaded to; None where there is no such thing."""
        settings, root = self.preset.masks, self.config.roots.weights
        if settings.weights is None:
            return None
        if is_address(settings.weights):
            return downloaded(root, settings.weights, settings.sha256)
        loads = registry.entry("instance_masks", settings.provider).attributes["loads"]
        return self._below_weights(settings.weights, os.path.isdir if loads == "folder" else os.path.isfile)

    def _mask_weights_identity(self) -> str | None:
        """None where nothing is there yet: that is told when masks are asked for (`check_masks`), not to those who need none."""
        settings, path = self.preset.masks, self.mask_weights
        if path is None or is_address(settings.weights):
            return None if path is None else f"sha256:{settings.sha256}"
        found = self._identity(path)
        if settings.sha256 not in (None, found.removeprefix("sha256:")):
            raise FsarError(
                f"preset '{self.config.preset}': masks: {path} has {found}, expected the `sha256` {settings.sha256}; it is "
                f"another file of that name"
            )
        return found

    def _identity(self, path: Path) -> str:
        """`sha256:...` of a file or folder, read once."""
        if path not in self._sha256:
            self._sha256[path] = identity(path)
        return self._sha256[path]

    def _below_weights(self, name: str, right: Callable[[Path], bool] = os.path.isfile) -> Path | None:
        """What is there by its path, from here or from roots.weights; also of a name that no file can have."""
        return next(filter(right, (Path(name), self.config.roots.weights / name)), None)

    def classifier(self, dataset: str, setup: str | None = None, count: int | None = None) -> ClassifierSpec:
        """The classifier of frames, on features of the setup's last cut. Where frames are augmented anew in every episode (at the
        cut `frames`), their centre crops stand for them."""
        features = self.features(dataset, setup, count)
        at_last = {"cut": registry.entry("backbones", features.backbone.name).attributes["cuts"][-1]}
        if features.cut == "frames":
            at_last["augmentation"] = None
        settings = self.preset.saliency.model_dump(exclude={"clips_per_job"})
        return ClassifierSpec(features=features.model_copy(update=at_last), seed=self.config.seed, **settings)

    def saliency(self, dataset: str, setup: str | None = None, count: int | None = None) -> SaliencySpec:
        """The store of that classifier's actionness."""
        return SaliencySpec(classifier=self.classifier(dataset, setup, count))

    def run(
        self,
        dataset: str,
        head: Component,
        matching: Component,
        shot: int,
        setup: str | None = None,
        count: int | None = None,
        trained_on: str | None = None,
        **test: int | float,
    ) -> RunSpec:
        """The run of a head and a metric on a data set at a shot, with the preset's parameters under the given ones.

        Args:
            setup, count: backbone and frames of a clip, where they are not the preset's own.
            trained_on: the data set of the training (of the backbone too), where it is not the one that is tested on.
            test: way or max_seconds of the test episodes, where they are not the usual ones.
        """
        train_shot, different = self.preset.episodes.train_shot, self.setup(setup)
        tested_on, dataset = dataset, trained_on or dataset
        head = self._with_input_params(dataset, _under(self.preset.heads, head))
        elsewhere = None if tested_on == dataset else self.features(tested_on, setup, count, trained_on=dataset)
        return RunSpec(
            features=self.features(dataset, setup, count),
            test_features=elsewhere,
            train_tail=different.backbone.train_tail,
            batch_norm=different.backbone.batch_norm,
            head=head,
            **self._input_fields(head, dataset, tested_on, setup, count),
            matching=_under(self.preset.matching, matching),
            training=self._training(dataset, different, head.name),
            train_shot=shot if train_shot == "tested" else train_shot,
            validation=self.episodes(dataset, "val", shot if train_shot == "tested" else train_shot),
            test=self.episodes(tested_on, "test", shot, **test),
            seed=self.config.seed,
        )

    def _with_input_params(self, dataset: str, head: Component) -> Component:
        """Return a head with the parameters that follow from its inputs; its own come before them."""
        params = {}
        for wanted in inputs.wanted(head):
            params |= wanted.head_params(self, dataset)
        return _under({head.name: params}, head)

    def _input_fields(
        self, head: Component, dataset: str, tested_on: str, setup: str | None, count: int | None
    ) -> dict[str, Any]:
        """Return the fields of a `RunSpec` that say which artifacts the head's inputs are read from."""
        fields: dict[str, Any] = {}
        for wanted in (each for each in inputs.wanted(head) if each.has_artifact):
            recorded = wanted.model_fields(self, wanted.plan(self, dataset, setup, count))
            of_kind = fields.get("inputs", {}) | recorded.get("inputs", {})
            fields |= recorded | ({"inputs": of_kind} if of_kind else {})
            if wanted.at_test:
                spec = wanted.plan(self, tested_on, setup, count)
                in_test = {wanted.key: spec.model_dump(mode="json")}
                fields["test_inputs"] = fields.get("test_inputs", {}) | in_test
        return fields

    def _training(self, dataset: str, setup: Setup, head: str) -> TrainingSpec:
        """The preset's, under what the card has of the backbone's recipe, under the head's own, under the setup's own."""
        recipes, which = self.dataset(dataset).card.training, self.preset.hyperparameters
        published = recipes.get(setup.backbone.recipe, {}).get(which, {})
        own = self.preset.head_training.get(head, {})
        return TrainingSpec.model_validate(self.preset.training.model_dump() | published | own | setup.training)

    # -- tables --------------------------------------------------------------------------------------------------------

    @_once
    def table(self, name: str) -> TableKind:
        if name not in self.table_names:
            raise FsarError(f"no table '{name}' in {self.workflow / 'tables'}{did_you_mean(name, self.table_names)}")
        return load_table(self.workflow / "tables" / f"{name}.yaml")

    @_once
    def table_needs(self, name: str) -> TableNeeds:
        """What a table declares that it is made from."""
        return self.table(name).needs()

    @_once
    def cells(self, name: str) -> list[Cell]:
        """The measured numbers of a table; two paper data sets on one card share their runs."""
        return [
            Cell(
                need.row,
                need.experiment.dataset,
                need.column,
                need.experiment.setup,
                self.run_of(need.experiment),
            )
            for need in self.table_needs(name).cells
        ]

    @_once
    def figure(self, name: str) -> FigureKind:
        if name not in self.figure_names:
            raise FsarError(f"no figure '{name}' in {self.workflow / 'figures'}{did_you_mean(name, self.figure_names)}")
        return load_figure(self.workflow / "figures" / f"{name}.yaml")

    @_once
    def figure_needs(self, name: str) -> FigureNeeds:
        """What a figure declares that it is made from."""
        return self.figure(name).needs()

    @_once
    def points(self, name: str) -> list[Point]:
        """The runs whose results a figure draws."""
        return [
            Point(
                need.panel,
                need.method,
                need.experiment.shot,
                need.value,
                need.experiment.setup,
                self.run_of(need.experiment),
            )
            for need in self.figure_needs(name).points
        ]

    @_once
    def looks(self, name: str) -> list[Inspection]:
        """What a figure takes out of which trained runs."""
        figure, needs = self.figure(name), self.figure_needs(name).inspections
        runs = [self.run_of(need.experiment) for need in needs]
        datasets: dict[str, list[str]] = {}  # of the paper, by the run that they share
        for need, run in zip(needs, runs):
            datasets.setdefault(run.run_id, []).append(need.experiment.dataset)
        return [
            Inspection(
                dataset=need.experiment.dataset,
                subject=need.subject,
                setup=need.experiment.setup,
                run=run,
                episodes=self._inspected_episodes(need.experiment.dataset, need.episodes, run),
                wanted=figure.wanted(list(dict.fromkeys(datasets[run.run_id]))),
                reads_masks=need.reads_masks,
            )
            for need, run in zip(needs, runs)
        ]

    def _inspected_episodes(
        self, paper_dataset: str, shape: Callable[[int], EpisodeShape] | None, run: RunSpec
    ) -> EpisodeSpec:
        """The run's own test episodes, or those of a shape that depends on the smallest test class."""
        if shape is None:
            return run.test
        dataset = self.behind(paper_dataset)
        clips = self.dataset(dataset).clips
        wanted = shape(int(clips[clips.split == "test"]["class"].value_counts().min()))
        sizes = {"way": wanted.way, "query": wanted.query, "count": wanted.count}
        return self.episodes(dataset, "test", wanted.shot, **sizes)

    @_once
    def watches(self, name: str) -> list[Actionness]:
        """The data sets whose actionness a figure shows."""
        return [
            Actionness(
                need.dataset, need.setup, self.saliency(self.behind(need.dataset), need.setup), need.examples
            )
            for need in self.figure_needs(name).actionness
        ]

    def run_of(self, experiment: Experiment) -> RunSpec:
        """The run of what a table or figure declares, on the cards behind its data sets."""
        trained_on = experiment.trained_on
        return self.run(
            self.behind(experiment.dataset),
            experiment.head,
            experiment.matching,
            experiment.shot,
            experiment.setup,
            experiment.frames,
            trained_on=self.behind(trained_on) if trained_on else None,
            **experiment.test,
        )

    @cached_property
    def _numbers(self) -> list[Cell | Point | Inspection]:
        """Everything that a table or a figure shows of a run."""
        cells = [cell for name in self.table_names for cell in self.cells(name)]
        return cells + [shown for name in self.figure_names for shown in (*self.points(name), *self.looks(name))]

    @cached_property
    def runs(self) -> dict[str, RunSpec]:
        """Every run of every table and figure, by run id."""
        return {number.run.run_id: number.run for number in self._numbers}

    @cached_property
    def models(self) -> dict[str, ModelSpec]:
        """Every training of every run, by model id."""
        return {run.model.model_id: run.model for run in self.runs.values()}

    @cached_property
    def _origins(self) -> dict[str, tuple[str | None, str]]:
        """The setup behind every feature store, and the data set that its backbone was trained on, by the store's key."""
        found = {self.features(dataset).key: (None, dataset) for dataset in set(self.config.datasets.values())}
        for number in self._numbers:
            for features in (number.run.features, number.run.tested_on):
                found[features.key] = (number.setup, number.run.features.dataset)
            for scored in filter(None, (number.run.saliency, number.run.classifier)):
                found[scored.features.key] = (number.setup, number.run.features.dataset)
        for watch in (watch for name in self.figure_names for watch in self.watches(name)):
            found[watch.saliency.features.key] = (watch.setup, watch.saliency.dataset)
        return found

    # -- where things lie ----------------------------------------------------------------------------------------------

    def store_path(self, spec: StoreSpec) -> Place:
        """The folder of a store; at the cut `frames` a backbone's features are the frames themselves."""
        if spec.kind == "features" and spec.cut == "frames":
            spec = spec.frames
        return self.config.roots.stores / spec.kind / spec.key

    def index_path(self, dataset: str) -> Place:
        return self.config.roots.stores / "index" / f"{dataset}.{self.dataset(dataset).digest}.tsv"

    def weights_path(self, spec: BackboneTrainingSpec) -> Path:
        return self.config.roots.weights / "trained" / f"{spec.key}.pt"

    def classifier_path(self, spec: ClassifierSpec) -> Path:
        return self.config.roots.weights / "saliency" / f"{spec.key}.pt"

    def episodes_path(self, spec: EpisodeSpec) -> Path:
        return self.config.roots.results / "episodes" / f"{spec.key}.npz"

    def model_path(self, spec: ModelSpec) -> Path:
        return self.config.roots.results / "models" / spec.model_id

    def run_path(self, spec: RunSpec) -> Path:
        return self.config.roots.results / "runs" / spec.run_id

    # -- checks --------------------------------------------------------------------------------------------------------

    def _weights_identity(self, dataset: str, setup: str | None) -> str:
        training = self.backbone_training(dataset, setup)
        if training is not None:
            return f"trained:{training.digest}"
        backbone = self.setup(setup).backbone
        published = registry.entry("backbones", backbone.name).attributes["published_weights"]
        if backbone.weights is None:
            raise FsarError(
                f"preset '{self.config.preset}': backbone '{backbone.name}' needs `weights:` (a name or a file)"
            )
        if backbone.weights in published:
            publisher = registry.entry("backbones", backbone.name).attributes["publisher"]
            return f"{publisher}:{backbone.weights}"
        path = self._weights_file(backbone)
        return self._identity(path)

    def _weights_file(self, backbone: Backbone) -> Path:
        name, root, path = backbone.weights, self.config.roots.weights, self._below_weights(backbone.weights)
        if path is not None:
            return path
        published = registry.entry("backbones", backbone.name).attributes["published_weights"]
        raise FsarError(
            f"preset '{self.config.preset}': backbone.weights: no file '{name}', here or in roots.weights ({root})"
            + (did_you_mean(name, published) if published else "")
        )

    def check_episodes(self, spec: EpisodeSpec) -> None:
        """FsarError where the split list already tells that such episodes cannot be drawn."""
        if spec.max_seconds is None:  # a split list knows no durations
            self._check_draw(spec.dataset, spec.split, spec.way, spec.shot, spec.query)

    def _check_draw(self, dataset: str, split: str, way: int, shot: int, query: int) -> None:
        if (dataset, split) not in self._splits:
            clips = self.dataset(dataset).clips
            listed = clips.assign(row=range(len(clips)), problem="")
            self._splits[dataset, split] = Split.from_index(listed, split)
        disjoint = self.preset.episodes.group_disjoint
        check(self._splits[dataset, split], way, shot, query, group_disjoint=disjoint)

    def check_features(self, spec: FeatureSpec) -> None:
        """FsarError where the crop does not fit into the stored frames; asked of what is made, not of every setup."""
        if spec.crop > spec.frames.size:
            setup, _ = self._origins[spec.key]
            where = f"preset '{self.config.preset}': {f'setups.{setup}.' if setup else ''}backbone"
            raise FsarError(f"{where}.crop {spec.crop} is larger than frames.size {spec.frames.size}")

    def check_masks(self, spec: MaskSpec) -> None:
        """FsarError where a data set has no masks that could be taken."""
        if spec.provider.name == "annotated" and spec.source is None:
            raise FsarError(
                f"the card of '{spec.dataset}' says nothing of masks, and this run learns from them; add `masks:` to the card, "
                f"choose another provider (`masks: {{provider: ...}}` in the preset), or leave them out (`mask_weight: 0`)"
            )
        if spec.prompts is not None and (
            name := class_prompts.number_only(self.dataset(spec.dataset).training_classes)
        ):
            raise FsarError(
                f"'{spec.dataset}' has a class '{name}', a number, no text to prompt '{spec.provider.name}' with; "
                f"make its split list with the names of the classes (`fsar import-split ... --labels`)"
            )
        self.check_mask_weights()

    def check_mask_weights(self) -> None:
        """FsarError where the provider of masks loads what is not there."""
        settings, path = self.preset.masks, self.mask_weights
        wanted = registry.entry("instance_masks", settings.provider).attributes["loads"]
        if wanted is not None and path is None:
            raise FsarError(
                f"preset '{self.config.preset}': masks.weights: no {wanted} '{settings.weights}', here or in roots.weights "
                f"({self.config.roots.weights}); '{settings.provider}' loads one, README.md (Instance masks) says where it is "
                f"published"
            )

    def check_model(self, spec: ModelSpec) -> None:
        """FsarError where the split lists already tell that a model cannot be trained."""
        self.check_features(spec.features)
        for each in inputs.of_model(spec):
            if each.has_artifact:
                each.check(self, each.spec_of(spec))
        way, shot, query = spec.validation.way, spec.train_shot, spec.training.query
        self._check_draw(spec.features.dataset, "train", way, shot, query)
        self.check_episodes(spec.validation)

    def check_run(self, spec: RunSpec) -> None:
        """FsarError where the split lists already tell that a run cannot be trained or tested."""
        self.check_model(spec)
        self.check_features(spec.tested_on)
        self.check_episodes(spec.test)

    def check_figure(self, name: str) -> None:
        """FsarError where only the specs behind a figure tell that it cannot be made; asked of figures that are made."""
        try:
            self.figure(name).check(self.config.preset, self.looks(name), self.watches(name))
        except FsarError as error:
            raise FsarError(f"{name}.yaml: {error}") from None


def _with(component: Component, params: dict) -> Component:
    return Component(name=component.name, params={**component.params, **params})


def _under(settings: dict[str, dict], component: Component) -> Component:
    """A component with the preset's parameters where it names none of its own."""
    return Component(name=component.name, params={**settings.get(component.name, {}), **component.params})
