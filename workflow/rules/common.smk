# The configuration, checked; and functions that look up in the graph of artifacts what rules are given. Torch-free.
import os
import sys
from pathlib import Path

from fsar_core.__main__ import report as report_error
from fsar_core.config import load_config, read_yaml
from fsar_core.errors import FsarError
from fsar_core.runtime.failed_jobs import forget
from fsar_core.runtime.run_locks import sign_locks
from fsar_core.storage import object_client, places
from fsar_core.storage.provenance import canonical_json, code_digest
from fsar_core.study import Study
from fsar_core.study.checks.components import check_place

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
    GRAPH = STUDY.artifacts
    GRAPH.describe()
    places.check_usable(STUDY.config.roots.stores)
except FsarError as error:
    sys.exit(report_error(error))

ROOTS = STUDY.config.roots
PRESET = STUDY.preset


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


# -- what a rule is given ------------------------------------------------------------------------------------------------


def artifact(kind, wildcards):
    """The artifact that a job makes, or a part of; it is checked before any job starts."""
    try:
        return GRAPH.of_job(kind, wildcards)
    except FsarError as error:
        sys.exit(report_error(error))


def needs(kind, name):
    """An input of a rule that makes artifacts of a kind, which is files of other artifacts."""
    return lambda wildcards: one_or_more(artifact(kind, wildcards).input_files(name))


def given(kind, name):
    """A parameter of a rule that makes artifacts of a kind."""
    return lambda wildcards: artifact(kind, wildcards).params[name]


def code_of(kind, verb):
    """The digest of the code that makes an artifact: of a verb, and of components that it reaches by name."""
    return lambda wildcards: code_digest(f"fsar_core.cli.jobs.{verb}", *artifact(kind, wildcards).modules)


def receipts_of(kind):
    """The receipts of the jobs that fill a store."""
    return lambda wildcards: [stored(path) for path in artifact(kind, wildcards).receipts]


def every(kind):
    """The files of all artifacts of a kind."""
    return [stored(path) for one in GRAPH.of_kind(kind).values() for path in one.files]


def title_of(kind):
    """How the report's lists call a table, figure or page."""
    return lambda wildcards: {"what": artifact(kind, wildcards).title}


def paper_of(kind):
    """Where the report's menu has a table, figure or page."""
    return lambda wildcards: artifact(kind, wildcards).paper.upper()


# -- files ---------------------------------------------------------------------------------------------------------------


def stored(path):
    """A file as Snakemake knows it. In a bucket, it looks at its time stamp alone; jobs are given its address."""
    if isinstance(path, Path):
        return str(path)
    return storage.s3(str(path), retrieve=False, region=object_client.region())


def files_of(kind, key):
    """The files of one artifact."""
    return [stored(path) for path in GRAPH.find(kind, key).files]


def one_or_more(paths):
    """A single file by itself, so that a rule can take its folder."""
    return stored(paths[0]) if len(paths) == 1 else [stored(path) for path in paths]


def made(path):
    """The same as an output, which is replaced when the new is whole. In a bucket, Snakemake takes it away before."""
    return update(str(path)) if isinstance(path, Path) else stored(path)


def store_of(path):
    """The store that a plan or manifest is of."""
    return str(places.place(path).parent)


def log_of(name):
    return str(ROOTS.results / "logs" / f"{name}.log")


def benchmark_of(name):
    return str(ROOTS.results / "benchmarks" / f"{name}.tsv")


# -- resources -----------------------------------------------------------------------------------------------------------

# Without a device there is nothing to lease: `device: cpu` runs as many jobs as there are cores.
GPUS = 0 if PRESET.resources.device == "cpu" else 1
MAKER = "nvidia"  # of the GPUs: the executor for Kubernetes asks for it wherever `gpu` stands, and nowhere else


def memory(extra=0):
    """mem_mb of a rule, times the attempt: a job that was too large for it may be tried again (`retries` of a profile)."""
    return lambda wildcards, attempt: (PRESET.resources.mem_mb + extra) * attempt


def flag(name, value):
    return name if value else ""
