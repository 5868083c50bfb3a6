# The configuration, checked; and thin functions from wildcards to paths and parameters. Torch-free.
import json
import os
import sys
from pathlib import Path

from snakemake.io import is_flagged

from fsar_core import inputs
from fsar_core.components import registry
from fsar_core.storage import places
from fsar_core.__main__ import report as report_error
from fsar_core.study.checks.components import check_place
from fsar_core.study.checks.figures import check_figure
from fsar_core.config import load_config, read_yaml
from fsar_core.errors import FsarError, did_you_mean
from fsar_core.storage.provenance import canonical_json, code_digest
from fsar_core.report.contents import PAGES, contents, figures_of, papers, tables_of
from fsar_core.runtime.run_locks import sign_locks
from fsar_core.study import Study

WORKFLOW = Path(workflow.basedir) / "workflow"
# Where envs/*.post-deploy.sh find the package: conda's environments see nothing of the one that snakemake runs in.
os.environ.update(FSAR_SOURCE=str(workflow.basedir))
sign_locks()

try:
    check_place(workflow.basedir)
    if workflow.is_main_process:  # Snakemake's own parser lets the last of two equal keys win silently
        for file in map(Path, workflow.configfiles):
            if file.suffix != ".json":
                read_yaml(file)
    STUDY = Study(load_config(config), WORKFLOW)
    RUNS = STUDY.experiments.runs
    DATASETS = {name: STUDY.dataset(name) for name in sorted(set(STUDY.config.datasets.values()))}
    # Of every data set, with as many frames a clip as the preset takes.
    USUAL_MASKS = [STUDY.specs.masks_of(dataset) for dataset in DATASETS]
    places.check_usable(STUDY.config.roots.stores)
except FsarError as error:
    sys.exit(report_error(error))

ROOTS = STUDY.config.roots
PRESET = STUDY.preset
MODELS = STUDY.experiments.models
SALIENCY = {spec.saliency.key: spec.saliency for spec in MODELS.values() if spec.saliency is not None}
SALIENCY |= {watch.saliency.key: watch.saliency for name in STUDY.figure_names for watch in STUDY.experiments.watches(name)}
CLASSIFIERS = {spec.classifier.key: spec.classifier for spec in MODELS.values() if spec.classifier is not None}
CLASSIFIERS |= {spec.classifier.key: spec.classifier for spec in SALIENCY.values()}
STORES = {spec.key: spec for run in RUNS.values() for spec in (run.features, run.tested_on)}
STORES |= {spec.features.key: spec.features for spec in CLASSIFIERS.values()}
BACKBONES = {spec.key: spec for spec in map(STUDY.specs.training_of, STORES.values()) if spec is not None}
FRAMES = {spec.frames.key: spec.frames for spec in (*STORES.values(), *BACKBONES.values())}
FRAMES |= {spec.key: spec for spec in map(STUDY.specs.frames, DATASETS)}
FRAMES |= {spec.masks.frames.key: spec.masks.frames for spec in MODELS.values() if spec.masks is not None}
MASKS = {spec.masks.key: spec.masks for spec in MODELS.values() if spec.masks is not None}
MASKS |= {spec.key: spec for spec in USUAL_MASKS}
FEATURES = {key: spec for key, spec in STORES.items() if spec.cut != "frames"}
EPISODES = {spec.key: spec for run in RUNS.values() for spec in (run.validation, run.test)}
EPISODES |= {look.episodes.key: look.episodes for name in STUDY.figure_names for look in STUDY.experiments.looks(name)}


wildcard_constraints:
    dataset=r"[A-Za-z0-9_-]+",
    digest=r"[0-9a-f]+",
    store=r"[A-Za-z0-9_.-]+",
    classifier=r"[A-Za-z0-9_.-]+",
    backbone=r"[A-Za-z0-9_.-]+",
    episodes=r"[A-Za-z0-9_.-]+",
    model=r"[A-Za-z0-9_.-]+",
    run=r"[A-Za-z0-9_.-]+",
    table=r"[A-Za-z0-9_]+",
    figure=r"[A-Za-z0-9_]+",
    job=r"\d+",


def named(specs, what, check=lambda spec: None):
    """A function from wildcards to the spec that the wildcard `what` names, checked before any job."""

    def find(wildcards):
        name = wildcards[what]
        try:
            if name not in specs:
                raise FsarError(f"no {what} '{name}' under this configuration{did_you_mean(name, specs)}")
            check(specs[name])
        except FsarError as error:
            sys.exit(report_error(error))
        return specs[name]

    return find


frames_spec = named(FRAMES, "store")
features_spec = named(FEATURES, "store", STUDY.checks.check_features)
masks_spec = named(MASKS, "store", STUDY.checks.check_masks)
saliency_spec = named(SALIENCY, "store", lambda spec: STUDY.checks.check_features(spec.features))
classifier_spec = named(CLASSIFIERS, "classifier", lambda spec: STUDY.checks.check_features(spec.features))
backbone_spec = named(BACKBONES, "backbone")
episodes_spec = named(EPISODES, "episodes", STUDY.checks.check_episodes)
model_spec = named(MODELS, "model", STUDY.checks.check_model)
run_spec = named(RUNS, "run", STUDY.checks.check_run)


def json_of(find):
    """The canonical JSON of what `find` finds, as the rules' `--spec`."""
    return lambda wildcards: find(wildcards).json_text


def stored(path):
    """A file below the stores. In a bucket, Snakemake looks at its time stamp alone; jobs are given its address."""
    if isinstance(ROOTS.stores, Path):
        return str(path)
    return storage.s3(str(path), retrieve=False, region=places.region())


def made(path):
    """The same as an output, which is replaced when the new is whole. In a bucket, Snakemake takes it away before."""
    return update(str(path)) if isinstance(ROOTS.stores, Path) else stored(path)


def forget(failed):
    """Have the next run of Snakemake do failed jobs again.

    Snakemake (9.27) records a failed job as done with its present inputs, and puts the old version of a file that the job
    was to update back with a new time stamp. Left alone, the next run would find that nothing is to be done, and what was
    made from the old inputs would stay. A job whose inputs are not newer, that `-R` alone asked for, has to be asked for
    again.
    """
    for job in [job for one in failed for job in (one.jobs if one.is_group() else [one])]:
        workflow.persistence.cleanup(job)
        for path in [Path(file) for file in job.output if is_flagged(file, "update")]:
            if path.exists():
                path.unlink()
                print(f"removed {path}: the job that was to update it failed", file=sys.stderr)


def store_of(path):
    """The store that a plan or manifest is of."""
    return str(places.place(path).parent)


def index_of(dataset):
    return stored(STUDY.paths.index(dataset))


def manifest_of(spec):
    return stored(STUDY.paths.store(spec) / "manifest.json")


def receipts_of(spec):
    return [stored(STUDY.paths.store(spec) / "receipts" / f"{job}.json") for job in range(STUDY.specs.jobs(spec))]


def summary_of(spec):
    return str(STUDY.paths.run(spec) / "summary.json")


def checkpoint_of(spec):
    """The trained model behind a run."""
    return str(STUDY.paths.model(spec.model) / "checkpoint.pt")


def trained_weights(features):
    """The weights file that the pipeline makes for a feature store's backbone, or nothing."""
    spec = STUDY.specs.training_of(features)
    return [] if spec is None else [str(STUDY.paths.weights(spec))]


def modules_of(kind, component):
    return registry.modules(kind, component.name, component.params)


def components_of(spec):
    """Modules that a run reaches through the registry by name: their code belongs to the run."""
    parts = (("heads", spec.head), ("matching", spec.matching), ("backbones", spec.features.backbone))
    return [module for kind, component in parts for module in modules_of(kind, component)]


def training_modules_of(spec):
    """The same of a training, with the modules of what the head learns from besides features."""
    return [*components_of(spec), *(each.module for each in inputs.of_model(spec))]


def other_inputs_of(spec):
    """(name, spec) of what a model learns from that `fsar train` has no option of its own for."""
    wanted = [each for each in inputs.of_model(spec) if each.has_artifact and not each.has_option]
    return [(each.key, each.spec_of(spec)) for each in wanted]


def other_input_manifests(spec):
    return [manifest_of(needed) for _, needed in other_inputs_of(spec)]


def other_input_options(spec):
    """Return `--input=NAME=PATH` for each of these stores."""
    stores = [(name, STUDY.paths.store(needed)) for name, needed in other_inputs_of(spec)]
    return [f"--input={name}={path}" for name, path in stores]


def masks_of(spec):
    """The manifest of the masks that a model learns from, or nothing."""
    return [] if spec.masks is None else [manifest_of(spec.masks)]


def masks_store(spec):
    """The folder of that store; an empty text where there is none (of which `:q` leaves nothing: write `--masks={...:q}`)."""
    return "" if spec.masks is None else str(STUDY.paths.store(spec.masks))


def masks_stores(wanted):
    """What the names of masks stores look like whose provider's constants `wanted` accepts."""
    names = [
        name for name in registry.names("instance_masks") if wanted(registry.entry("instance_masks", name).attributes)
    ]
    return rf"[A-Za-z0-9_-]+\.({'|'.join(names)})\.[0-9a-f]+"


def mask_weights(wildcards):
    """What the provider of masks loads, once it is checked that it is there or can be had."""
    masks_spec(wildcards)
    return str(STUDY.specs.weights.of_masks())


def mask_weights_address(wildcards):
    """Where the file of this digest can be downloaded."""
    if PRESET.masks.sha256 != wildcards.sha256:
        sys.exit(report_error(FsarError(f"no weights of the SHA-256 {wildcards.sha256} under this configuration")))
    return PRESET.masks.weights


def saliency_of(spec):
    """The manifest of the actionness that a model hides frames by, or nothing."""
    return [] if spec.saliency is None else [manifest_of(spec.saliency)]


def saliency_store(spec):
    """The folder of that store; an empty text where there is none."""
    return "" if spec.saliency is None else str(STUDY.paths.store(spec.saliency))


def classifier_of(spec):
    """The trained classifier by which a model scores live frames, or nothing."""
    return [] if spec.classifier is None else [str(STUDY.paths.classifier(spec.classifier))]


# Without a device there is nothing to lease: `device: cpu` runs as many jobs as there are cores.
GPUS = 0 if PRESET.resources.device == "cpu" else 1
MAKER = "nvidia"  # of the GPUs: the executor for Kubernetes asks for it wherever `gpu` stands, and nowhere else


def memory(extra=0):
    """mem_mb of a rule, times the attempt: a job that was too large for it may be tried again (`retries` of a profile)."""
    return lambda wildcards, attempt: (PRESET.resources.mem_mb + extra) * attempt


def flag(name, value):
    return name if value else ""


def log_of(name):
    return str(ROOTS.results / "logs" / f"{name}.log")


def benchmark_of(name):
    return str(ROOTS.results / "benchmarks" / f"{name}.tsv")


DEMOS = {name: data for name, data in DATASETS.items() if data.card.generator}


def demo_receipts(dataset):
    if dataset not in DEMOS:
        return []
    jobs = range(PRESET.demo_videos.jobs)
    return [str(DEMOS[dataset].folder / "receipts" / f"{job}.json") for job in jobs]


ENDINGS = ("csv", "md", "tex")


def numbered_tables_of(paper):
    """Names of the tables that a paper prints."""
    return [name for name in STUDY.table_names if name.startswith(f"{paper}_table")]


def primary_tables():
    """results/tables/table<n>.csv for every numbered table of the primary paper."""
    paper = STUDY.config.paper
    numbers = [name.removeprefix(f"{paper}_table") for name in numbered_tables_of(paper)]
    return [str(ROOTS.results / "tables" / f"table{number}.csv") for number in numbers]


def cards_counted(table):
    """The cards whose clip indices a table counts."""
    kind, names = STUDY.table(table).kind, STUDY.table(table).datasets
    return list(dict.fromkeys(STUDY.behind(name) for name in names)) if kind == "datasets" else []


def complexity_of(table):
    """What `fsar complexity` makes for a table, or nothing."""
    measured = STUDY.table(table).complexity() is not None
    return [str(ROOTS.results / "complexity" / f"{table}.json")] if measured else []


def complexity_modules(table):
    """Modules that a count or a measurement reaches through the registry by name."""
    parts = STUDY.table(table).components()
    return sorted({module for _, kind, component in parts for module in modules_of(kind, component)})


def frames_behind(table):
    """The frame stores behind a table's numbers, by data set."""
    found = {}
    for cell in STUDY.experiments.cells(table):
        for spec in (cell.run.features.frames, cell.run.tested_on.frames):
            found.setdefault(spec.dataset, set()).add(str(STUDY.paths.store(spec)))
    return {dataset: sorted(stores) for dataset, stores in sorted(found.items())}


def table_spec(wildcards):
    """What `fsar table` needs to know: the table, the data sets behind it, the run of every cell, and what it counts."""
    table, cells = STUDY.table(wildcards.table), STUDY.experiments.cells(wildcards.table)
    frames = frames_behind(wildcards.table)
    runs = sorted({(cell.row.method, cell.run.tested_on.dataset, cell.column.name, cell.run.run_id) for cell in cells})
    cards = cards_counted(wildcards.table)
    return canonical_json(
        {
            "table": table.model_dump(mode="json"),
            "behind": {name: STUDY.behind(name) for name in STUDY.experiments.named_in(table)},
            "cells": runs,
            "way": PRESET.episodes.way,
            "indices": {card: str(STUDY.paths.index(card)) for card in cards},
            "modalities": {card: DATASETS[card].card.modality for card in cards},
            "complexity": next(iter(complexity_of(wildcards.table)), None),
            "frames": frames,
            "max_failures": {name: DATASETS[name].card.max_failures for name in sorted({*frames, *cards})},
        }
    )


def looks_of(figure):
    """What a figure takes out of trained runs, checked."""
    try:
        check_figure(STUDY, figure)
    except FsarError as error:
        sys.exit(report_error(error))
    return STUDY.experiments.looks(figure)


def look_of(wildcards):
    """What a figure takes out of one run."""
    looks = [look for look in looks_of(wildcards.figure) if look.run.run_id == wildcards.run]
    if not looks:
        sys.exit(report_error(FsarError(f"the figure '{wildcards.figure}' looks into no run '{wildcards.run}'")))
    # Two data sets of a paper on one card share the run: what is wanted of it are the examples of both.
    wanted = dict(looks[0].wanted)
    for key in {"attention", "cam"} & set(wanted):
        wanted[key] = [example for look in looks for example in look.wanted[key]]
    return looks[0], wanted


def masks_looked_at(wildcards):
    """The masks store that predicted masks are compared to, or nothing."""
    look, wanted = look_of(wildcards)
    return masks_of(look.run) if "masks" in wanted else []


def inspection_of(figure, look):
    return str(ROOTS.results / "inspections" / figure / f"{look.run.run_id}.npz")


def inspections_of(figure):
    return list(dict.fromkeys(inspection_of(figure, look) for look in looks_of(figure)))


def watched_by(figure):
    """(data set of the paper, file) of the actionness that a figure shows, each file once."""
    folder = ROOTS.results / "actionness" / figure
    return [(watch.dataset, str(folder / f"{watch.saliency.key}.npz")) for watch in STUDY.experiments.watches(figure)]


def intervals_of(dataset):
    """The list of a data set that says in which frames of a clip its action is; an empty text where there is none."""
    data = DATASETS[dataset]
    return "" if data.card.intervals is None else str(data.folder / data.card.intervals)


def examples_of(figure):
    """How many clips of every data set a figure of actionness shows; another figure has its own examples."""
    shown = STUDY.figure(figure)
    return shown.examples if shown.kind == "actionness" else 0


def figure_spec(wildcards):
    """What `fsar figure` needs to know: the figure; the run of every point, or what was taken out of which run or store."""
    points = [
        (point.panel, point.method, point.shot, point.value, point.run.run_id)
        for point in STUDY.experiments.points(wildcards.figure)
    ]
    looks = [
        (look.dataset, look.subject.method, inspection_of(wildcards.figure, look))
        for look in looks_of(wildcards.figure)
    ]
    figure = STUDY.figure(wildcards.figure).model_dump(mode="json")
    found = {"points": points, "looks": looks, "watches": watched_by(wildcards.figure)}
    return canonical_json({"figure": figure, "way": PRESET.episodes.way} | found)


PAPERS = papers(STUDY)


def page_spec(wildcards):
    """What `fsar page` needs to know."""
    return canonical_json(contents(STUDY, wildcards.paper, wildcards.kind, tables_of(STUDY, wildcards.paper)))


def cells_of(paper):
    """The measured numbers of a paper's tables."""
    return [cell for name in tables_of(STUDY, paper) for cell in STUDY.experiments.cells(name)]


def counted_by(paper):
    """The clip indices of a paper's data sets."""
    names = {STUDY.behind(name) for table in tables_of(STUDY, paper) for name in STUDY.experiments.named_in(STUDY.table(table))}
    return [index_of(card) for card in sorted(names)]


def pages_of(paper):
    """What a paper's report shows: its tables, its figures, and the pages about how they came about."""
    tables = [str(ROOTS.results / "tables" / f"{name}.html") for name in tables_of(STUDY, paper)]
    figures = [str(ROOTS.results / "figures" / f"{name}.html") for name in figures_of(STUDY, paper)]
    return tables + figures + [str(ROOTS.results / "report" / paper / f"{kind}.html") for kind in PAGES]


def title_of(wildcards):
    """The title of a table or a figure, for the report's lists."""
    name = wildcards.get("table") or wildcards.get("figure")
    return {"what": (STUDY.table(name) if name in STUDY.table_names else STUDY.figure(name)).title}


def paper_of(wildcards):
    """The paper that a table, figure or page is of, for the report's menu."""
    name = wildcards.get("table") or wildcards.get("figure") or wildcards.get("paper")
    return name.split("_")[0].upper()
