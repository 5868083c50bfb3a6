"""What can be told from names, parameters and constants alone, before any job: that everything that a preset, a table or a figure
names exists, takes the parameters that it is given, and goes together. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsar_core.components import registry
from fsar_core.data.class_prompts import CLASS
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.storage.weight_files import is_address

if TYPE_CHECKING:
    from fsar_core.config import Masks, Setup
    from fsar_core.papers.kinds import FigureKind
    from fsar_core.papers.needs import Experiment
    from fsar_core.specs import AugmentationSpec, Component, RunSpec
    from fsar_core.study import Study


def check_place(project: str) -> None:
    """FsarError where Snakemake cannot work with the path of the project's folder."""
    if set(project) & set("{}"):
        raise FsarError(
            f"{project}: the path of the project holds braces, which Snakemake takes for wildcards; move the project to a "
            "folder without `{` and `}` in its path"
        )


def check_components(study: Study) -> None:
    """Names and parameters of everything that a job would build, and that every table can be read."""
    where = f"preset '{study.config.preset}'"
    _check_setup(study, f"{where}: backbone", study.specs.setup(None))
    for name in study.preset.setups:
        _check_setup(study, f"{where}: setups.{name}.backbone", study.specs.setup(name))
    for kind in ("backbones", "heads", "matching"):
        for name, params in getattr(study.preset, kind).items():
            _checked(f"{where}: {kind}.{name}", kind, name, params)
    _check_masks(f"{where}: masks", study.preset.masks)
    for name in study.preset.head_training:
        _checked(f"{where}: head_training", "heads", name, {})
    for name in study.table_names:
        table = study.table(name)
        for place, kind, component in table.components():
            _checked(f"{name}.yaml: {place}", kind, component.name, component.params)
        for need in study.experiments.table_needs(name).cells:
            own = need.experiment
            _check_pair(study, f"{name}.yaml: {own.place}", own.setup, own.head, own.matching)
    for name in study.figure_names:
        figure, needs = study.figure(name), study.experiments.figure_needs(name)
        for experiment in needs.experiments:
            _check_experiment(study, f"{name}.yaml: {experiment.place}", figure, experiment)
        for shown in needs.actionness:
            _check_pair(study, f"{name}.yaml", shown.setup, None, None)


def check_ways(study: Study) -> None:
    """FsarError where a split has fewer classes than the episodes of a table or figure that are drawn from it."""
    for name in study.table_names:
        for cell in study.experiments.cells(name):
            _check_way(study, name, cell.run)
    for name in study.figure_names:
        for shown in (*study.experiments.points(name), *study.experiments.looks(name)):
            _check_way(study, name, shown.run)


def _check_way(study: Study, name: str, run: RunSpec) -> None:
    trained_on, tested_on = run.features.dataset, run.tested_on.dataset
    drawn = ((trained_on, "train", run.validation.way), (trained_on, "val", run.validation.way))
    for dataset, split, way in (*drawn, (tested_on, "test", run.test.way)):
        classes = study.dataset(dataset).classes(split)
        if way > classes:
            raise FsarError(
                f"{name}.yaml under preset '{study.config.preset}': {way}-way episodes of '{dataset}', whose split "
                f"'{split}' has {classes} classes; lower `episodes.way` of the preset, or `ways` of the table"
            )


def _check_masks(where: str, masks: Masks) -> None:
    """The provider takes its parameters and, where it loads something, is told what."""
    provider = _checked(where, "instance_masks", masks.provider, masks.params)
    for name in provider.supplied:
        if name in masks.params:
            raise FsarError(f"{where}.params: '{name}' is set by the jobs; remove it")
    loads = provider.attributes["loads"]
    if loads is None and masks.weights is not None:
        raise FsarError(
            f"{where}: '{masks.provider}' loads no weights; set `weights: null`, or choose another provider"
        )
    if loads is not None and masks.weights is None:
        raise FsarError(
            f"{where}: '{masks.provider}' needs `weights:` (a {loads}; README.md, Instance masks)"
        )
    if loads == "folder" and is_address(masks.weights):
        raise FsarError(
            f"{where}: '{masks.provider}' loads a folder, which has no address; download it and name it here"
        )
    template = masks.params.get("template", CLASS)
    if not isinstance(template, str) or CLASS not in template:
        raise FsarError(
            f"{where}.params: the template {template!r} has no {CLASS}; say where the class text goes"
        )


def _check_experiment(study: Study, where: str, figure: FigureKind, experiment: Experiment) -> None:
    """Its head and metric exist and go together, and the figure can show the head."""
    head, matching = experiment.head, experiment.matching
    entry = _checked(where, "heads", head.name, head.params)
    _checked(where, "matching", matching.name, matching.params)
    _check_pair(study, where, experiment.setup, head, matching)
    if (reason := figure.unsuitable(entry)) is not None:
        raise FsarError(f"{where}: the head '{head.name}' {reason}")


def _check_pair(
    study: Study, where: str, setup: str | None, head: Component | None, matching: Component | None
) -> None:
    """The setup exists, a head that works inside a transformer gets one that has blocks behind its cut, and the metric
    expects as many global tokens before the frames as the head puts there."""
    if setup is not None and setup not in study.preset.setups:
        raise FsarError(
            f"{where}: preset '{study.config.preset}' has no setup '{setup}'{did_you_mean(setup, study.preset.setups)}"
        )
    if head is None:
        return
    tokens = [
        registry.entry(kind, part.name).attributes["global_tokens"]
        for kind, part in (("heads", head), ("matching", matching))
    ]
    if tokens[0] != tokens[1]:
        fitting = [
            f"`{name}`"
            for name in registry.names("matching")
            if registry.entry("matching", name).attributes["global_tokens"] == tokens[0]
        ]
        raise FsarError(
            f"{where}: the head '{head.name}' puts {tokens[0]} global tokens before the frames, "
            f"'{matching.name}' expects {tokens[1]}; choose {' or '.join(fitting)}"
        )
    if not registry.entry("heads", head.name).attributes["wraps_tail"]:
        return
    backbone = study.specs.setup(setup).backbone
    cuts = registry.entry("backbones", backbone.name).attributes["cuts"]
    if "tokens" not in cuts or cuts.index(backbone.cut) > len(cuts) - 3:
        raise FsarError(
            f"{where}: the head '{head.name}' works in the blocks of a transformer behind the cut, and '{backbone.name}' "
            f"has none behind '{backbone.cut}'; name a setup of a transformer, cut at 'tokens' or an early block"
        )


def _check_setup(study: Study, where: str, setup: Setup) -> None:
    backbone = setup.backbone
    entry = _checked(where, "backbones", backbone.name, {})
    cuts = entry.attributes["cuts"]
    if backbone.cut not in cuts:
        raise FsarError(
            f"{where}: '{backbone.name}' has no cut '{backbone.cut}'{did_you_mean(backbone.cut, cuts)}"
        )
    if backbone.train_tail and backbone.cut == cuts[-1]:
        raise FsarError(
            f"{where}.train_tail: nothing is left to train behind the last cut '{backbone.cut}'"
        )
    _check_views(study, where, setup.augmentation, backbone.cut)


def _check_views(study: Study, where: str, augmentation: AugmentationSpec | None, cut: str) -> None:
    """An augmentation is refused that has no stored view of its own."""
    views = study.preset.frames.views
    if augmentation is None or cut == "frames":
        return
    needed = 2 if augmentation.support == augmentation.query else 3
    if views < needed:
        raise FsarError(
            f"{where}: augmentation at the cut '{cut}' is stored in views of the training clips; expected frames.views "
            f"of at least {needed} (1 test view + {needed - 1}), found {views}; or use the cut 'frames'"
        )


def _checked(where: str, kind: str, name: str, params: dict) -> registry.Entry:
    """`registry.check` with the place of the mistake in its error; `dim` and `frames` come from the feature store."""
    try:
        supplied = registry.entry(kind, name).supplied
        return registry.check(kind, name, params, supplied=supplied)
    except FsarError as error:
        raise FsarError(f"{where}: {error}") from None
