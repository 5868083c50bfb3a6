"""Everything that a study makes, as the workflow makes it: jobs, clips that go through them, bytes, and what needs what.

The rules say this to Snakemake job by job; here it is said store by store and run by run, so that it can be added up without
planning thousands of jobs. `tests/workflow/test_budget.py` holds the two together: jobs by rule are those of a dry run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fsar_core.components import registry
from fsar_core.specs import (
    BackboneTrainingSpec,
    ClassifierSpec,
    EpisodeSpec,
    FeatureSpec,
    FrameSpec,
    MaskSpec,
    ModelSpec,
    RunSpec,
    SaliencySpec,
    StoreSpec,
)
from fsar_core.storage.weight_files import is_address
from fsar_core.study import Study

FRAMES = 8  # a clip of other length counts as so many clips
# A validation goes through the network forwards only: a third of a training episode's work.
FORWARD = 1 / 3


@dataclass(frozen=True)
class Work:
    """One thing that is made, by one job or, of a store, by several.

    Attributes:
        made: the file that is there once it is done; it stands for the thing.
        stage: the rule that does the work; `stage.name` where the speed depends on what is run.
        parts: (rule, file) of every job.
        clips: that go through the jobs of the stage, all together; clips of 8 frames, a clip once for every pass.
        values: (kind and, where it matters, name; number of bytes before compression) that are stored.
        needs: what has to be made before.
        gpu: whether its jobs use one where there is one.
    """

    made: Path
    stage: str
    parts: tuple[tuple[str, Path], ...]
    needs: tuple[Path, ...] = ()
    clips: float = 0.0
    stored: tuple[str, float] = ("", 0.0)
    gpu: bool = False

    @property
    def rule(self) -> str:
        return self.stage.split(".")[0]


class Works:
    """All work behind the tables and figures of a study, by the file that is made."""

    def __init__(self, study: Study) -> None:
        self.study, self.by_path = study, {}
        self.targets: dict[str, Path] = {}
        results = study.config.roots.results
        for name in study.table_names:
            self.targets[name] = self._add(self._table(name, results / "tables" / f"{name}.csv"))
        for name in study.figure_names:
            self.targets[name] = self._add(self._figure(name, results / "figures" / f"{name}.html"))  # written last

    def behind(self, targets: Iterable[Path], done: bool = False) -> Iterator[Work]:
        """The work behind targets that is not done (with `done`, all of it): itself and what is made before it, each once."""
        pending, seen = list(targets), set()
        while pending:
            path = pending.pop()
            if path not in seen:
                seen.add(path)
                work = self.by_path[path]
                if done or not work.made.exists():
                    yield work
                    pending += work.needs

    def _add(self, work: Work) -> Path:
        self.by_path.setdefault(work.made, work)
        return work.made

    # -- tables and figures ------------------------------------------------------------------------------------------------

    def _table(self, name: str, path: Path) -> Work:
        study = self.study
        cells = study.experiments.cells(name)
        needs = [self._run(cell.run) for cell in cells]
        needs += [self._frames(spec.frames) for cell in cells for spec in (cell.run.features, cell.run.tested_on)]
        declared = study.experiments.table_needs(name)
        needs += [self._index(study.behind(dataset)) for dataset in declared.indices]
        if declared.complexity is not None:
            measured = study.config.roots.results / "complexity" / f"{name}.json"
            needs.append(self._add(Work(measured, "complexity", (("complexity", measured),), gpu=True)))
        return Work(path, "table", (("table", path),), _each(needs))

    def _figure(self, name: str, path: Path) -> Work:
        study, results = self.study, self.study.config.roots.results
        needs = [self._run(point.run) for point in study.experiments.points(name)]
        for look in study.experiments.looks(name):
            run, found = look.run, results / "inspections" / name / f"{look.run.run_id}.npz"
            before = [self._store(run.tested_on), self._frames(run.tested_on.frames), self._episodes(look.episodes)]
            before += [self._model(run.model), self._index(run.tested_on.dataset), *self._trained(run.tested_on)]
            before += [self._masks(run.masks)] if look.reads_masks else []
            needs.append(self._add(Work(found, "inspect_run", (("inspect_run", found),), _each(before), gpu=True)))
        for watch in study.experiments.watches(name):
            spec, found = watch.saliency, results / "actionness" / name / f"{watch.saliency.key}.npz"
            before = [self._saliency(spec), self._frames(spec.features.frames), self._index(spec.dataset)]
            needs.append(self._add(Work(found, "inspect_saliency", (("inspect_saliency", found),), _each(before))))
        return Work(path, "figure", (("figure", path),), _each(needs))

    # -- runs --------------------------------------------------------------------------------------------------------------

    def _run(self, run: RunSpec) -> Path:
        path, test = self.study.paths.run(run) / "summary.json", run.test
        needs = [
            self._store(run.tested_on),
            self._episodes(test),
            self._model(run.model),
            *self._trained(run.tested_on),
        ]
        clips = test.count * test.way * (test.shot + test.query) * run.tested_on.frames.count / FRAMES
        return self._add(
            Work(path, _stage("evaluate_head", run), (("evaluate_head", path),), _each(needs), clips, gpu=True)
        )

    def _model(self, model: ModelSpec) -> Path:
        path, val, training = self.study.paths.model(model) / "checkpoint.pt", model.validation, model.training
        needs = [self._store(model.features), self._index(model.features.dataset), self._episodes(val)]
        needs += [*self._trained(model.features), *([self._masks(model.masks)] if model.masks else [])]
        needs += [self._saliency(model.saliency)] if model.saliency else []
        needs += [self._classifier(model.classifier)] if model.classifier else []
        learned = training.episodes * val.way * (model.train_shot + training.query) if _is_trained(model) else 0
        checks = training.validations if _is_trained(model) else 1
        checked = checks * val.count * val.way * (val.shot + val.query)
        clips = (learned + FORWARD * checked) * model.features.frames.count / FRAMES
        return self._add(
            Work(path, _stage("train_head", model), (("train_head", path),), _each(needs), clips, gpu=True)
        )

    def _episodes(self, spec: EpisodeSpec) -> Path:
        path = self.study.paths.episodes(spec)
        needs = (self._index(spec.dataset), self._frames(self.study.specs.frames(spec.dataset)))
        return self._add(Work(path, "draw_episodes", (("draw_episodes", path),), needs))

    # -- stores ------------------------------------------------------------------------------------------------------------

    def _index(self, dataset: str) -> Path:
        path, data, needs = self.study.paths.index(dataset), self.study.dataset(dataset), []
        if data.card.generator:
            receipts = [data.folder / "receipts" / f"{job}.json" for job in range(self.study.preset.demo_videos.jobs)]
            parts = tuple(("demo_videos", receipt) for receipt in receipts)
            needs.append(self._add(Work(receipts[-1], "demo_videos", parts, clips=len(data))))
        return self._add(Work(path, "clip_index", (("clip_index", path),), _each(needs), len(data)))

    def _store(self, spec: FeatureSpec) -> Path:
        return self._frames(spec.frames) if spec.cut == "frames" else self._features(spec)

    def _frames(self, spec: FrameSpec) -> Path:
        clips = self._clips(spec)
        stored = ("frames", clips * spec.count * spec.size**2 * 3)
        return self._filled(spec, "fill_frames", [self._index(spec.dataset)], clips * spec.count / FRAMES, stored)

    def _features(self, spec: FeatureSpec) -> Path:
        clips, name = self._clips(spec.frames), spec.backbone.name
        frames = clips * spec.frames.count
        needs = [self._frames(spec.frames), self._index(spec.dataset), *self._trained(spec)]
        stored = (f"features.{name}", frames * grid_values(spec) * (2 if spec.dtype == "float16" else 4))
        return self._filled(spec, f"fill_features.{name}", needs, frames / FRAMES, stored, gpu=True)

    def _masks(self, spec: MaskSpec) -> Path:
        provider, settings = spec.provider.name, self.study.preset.masks
        teacher = registry.entry("instance_masks", provider).attributes["loads"] is not None
        needs = [self._frames(spec.frames), self._index(spec.dataset)]
        if teacher and settings.weights is not None and is_address(settings.weights):
            weights = self.study.specs.weights.of_masks()
            needs.append(self._add(Work(weights, "fetch_mask_weights", (("fetch_mask_weights", weights),))))
        masks = self.study.dataset(spec.dataset).training_clips * spec.frames.views * spec.frames.count
        stage = f"seem_masks.{provider}" if teacher else "fill_masks"
        return self._filled(spec, stage, needs, masks / FRAMES, ("masks", masks * spec.frames.size**2), gpu=teacher)

    def _saliency(self, spec: SaliencySpec) -> Path:
        frames = self._clips(spec.features.frames) * spec.features.frames.count
        needs = [self._store(spec.features), self._index(spec.dataset), self._classifier(spec.classifier)]
        return self._filled(spec, "fill_saliency", needs, frames / FRAMES, ("saliency", 4 * frames))

    def _filled(
        self, spec: StoreSpec, stage: str, needs: list[Path], clips: float, stored: tuple[str, float], gpu: bool = False
    ) -> Path:
        """A store: planned, filled by several jobs, sealed."""
        folder, fill = self.study.paths.store(spec), stage.split(".")[0]
        parts = [(f"plan_{spec.kind}", folder / "plan.json"), (f"seal_{spec.kind}", folder / "manifest.json")]
        parts += [(fill, folder / "receipts" / f"{job}.json") for job in range(self.study.specs.jobs(spec))]
        return self._add(Work(folder / "manifest.json", stage, tuple(parts), _each(needs), clips, stored, gpu))

    def _clips(self, spec: FrameSpec) -> int:
        """Clips of a store, those of the training as often as they have views."""
        data = self.study.dataset(spec.dataset)
        return len(data) + data.training_clips * (spec.views - 1)

    # -- what is trained for stores ------------------------------------------------------------------------------------------

    def _trained(self, features: FeatureSpec) -> list[Path]:
        spec: BackboneTrainingSpec | None = self.study.specs.training_of(features)
        if spec is None:
            return []
        path, dataset = self.study.paths.weights(spec), spec.frames.dataset
        clips = spec.epochs * self.study.dataset(dataset).training_clips * spec.frames.count / FRAMES
        needs = (self._frames(spec.frames), self._index(dataset))
        stage = f"train_backbone.{spec.backbone.name}"
        return [self._add(Work(path, stage, (("train_backbone", path),), needs, clips, gpu=True))]

    def _classifier(self, spec: ClassifierSpec) -> Path:
        path, dataset = self.study.paths.classifier(spec), spec.features.dataset
        clips = spec.epochs * self.study.dataset(dataset).training_clips * spec.features.frames.count / FRAMES
        needs = (self._store(spec.features), self._index(dataset))
        return self._add(Work(path, "train_classifier", (("train_classifier", path),), needs, clips, gpu=True))


def _stage(rule: str, model: ModelSpec) -> str:
    """What decides how fast a model is: its head and metric or, where it is trained with them, its backbone."""
    return f"{rule}.{model.features.backbone.name if model.train_tail else model.head.name}.{model.matching.name}"


def _is_trained(model: ModelSpec) -> bool:
    """Whether anything is: a metric without parameters of its own on the features as they are is only validated."""
    return (
        model.train_tail
        or model.head.name != "identity"
        or "dim" in registry.entry("matching", model.matching.name).parameters
    )


def _each(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(paths))


def grid_values(spec: FeatureSpec) -> int:
    """Numbers of one frame's features at the cut, by a pass without numbers (torch's meta device)."""
    key = (spec.backbone.name, str(sorted(spec.backbone.params.items())), spec.cut, spec.crop)
    if key not in _GRIDS:
        import torch

        with torch.device("meta"), torch.inference_mode():
            backbone = registry.build("backbones", spec.backbone.name, **spec.backbone.params).eval()
            frame = torch.zeros(1, 3, spec.crop, spec.crop, dtype=torch.uint8)
            _GRIDS[key] = backbone.to_cut(frame, spec.cut).numel()
    return _GRIDS[key]


_GRIDS: dict[tuple, int] = {}
