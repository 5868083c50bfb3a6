"""A new kind of store with its rule, and an input and a head that use it, by adding files only."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml

from fsar_core.stores.reader import StoreReader
from tests.extension.project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.timeout(1200)]

STORE_KIND = '''
"""Motion stores: how much every frame differs from the one before it."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from fsar_core.specs import LAYOUT_VERSION, FrameSpec, Spec
from fsar_core.stores.inputs import SPLIT_COLUMNS, job_inputs, shards_digest
from fsar_core.stores.kinds import StoreKind, Task
from fsar_core.stores.layout import FILE_CLIPS, Plan, whole_files
from fsar_core.stores.reader import StoreReader
from fsar_core.stores.writer import Block

WHITE = 255


class MotionSpec(Spec):
    """A motion store: float32 [clip view frames], mean absolute difference in 0..1."""

    kind: Literal["motion"] = "motion"
    frames: FrameSpec
    layout: int = LAYOUT_VERSION

    @property
    def dataset(self):
        return self.frames.dataset

    @property
    def key(self):
        return f"{self.dataset}.{self.frames.count}frames.{self.digest}"


class Motion(StoreKind):
    """Motion of every frame of every clip."""

    spec_type = MotionSpec
    title = "motion store"
    requires: ClassVar = {"frames": "the frame store"}

    def needs(self, spec, graph):
        return {"frames": [graph.of(spec.frames)]}

    def clips_per_job(self, spec, study):
        return study.preset.frames.clips_per_job

    def frame_bytes(self, spec):
        return np.dtype(np.float32).itemsize

    def plan(self, spec, index, clips_per_job):
        return Plan(
            layout=LAYOUT_VERSION,
            spec=spec.model_dump(mode="json"),
            clips=len(index),
            views=spec.frames.views,
            shapes={"motion": [spec.frames.count]},
            dtypes={"motion": "float32"},
            clips_per_job=whole_files(clips_per_job),
        )

    def task(self, job):
        shards = shards_digest(job.options.frames, job.rows)
        inputs = job_inputs(job.plan, job.index, job.rows, SPLIT_COLUMNS, frames=shards)
        return Task(inputs, lambda: blocks(job))


def blocks(job):
    """Yield motion [clip view frames] of a job's rows; failed clips stay failed."""
    frames = StoreReader(job.options.frames, "frames", job.spec.frames)
    for start in range(job.rows.start, job.rows.stop, FILE_CLIPS):
        rows = np.arange(start, min(start + FILE_CLIPS, job.rows.stop))
        views = [differences(frames.read(rows, view)) for view in range(frames.views)]
        failures = [
            {"row": int(row), "path": "", "problem": "failed in the frame store"}
            for row in rows
            if row in frames.failed
        ]
        yield Block({"motion": np.stack(views, axis=1)}, failures)


def differences(clips):
    """Return [clip frames] of [clip frames height width channels]; a first frame has none."""
    moved = np.abs(np.diff(clips.astype(np.float32), axis=1)).mean((-3, -2, -1)) / WHITE
    return np.pad(moved, ((0, 0), (1, 0)))
'''

RULES = '''
# Motion stores: the frame rules' three with other inputs.


use rule plan_frames as plan_motion with:
    input:
        index=needs("motion", "index"),
    output:
        plan=made(ROOTS.stores / "motion" / "{store}" / "plan.json"),
    log:
        log_of("plan_motion/{store}"),
    params:
        spec=given("motion", "spec"),
        store=lambda wildcards, output: store_of(output.plan),
        clips_per_job=given("motion", "clips_per_job"),


rule fill_motion:
    input:
        plan=stored(ROOTS.stores / "motion" / "{store}" / "plan.json"),
        index=needs("motion", "index"),
        frames=needs("motion", "frames"),
    output:
        receipt=made(ROOTS.stores / "motion" / "{store}" / "receipts" / "{job}.json"),
    log:
        log_of("fill_motion/{store}.{job}"),
    benchmark:
        benchmark_of("fill_motion/{store}.{job}")
    resources:
        mem_mb=memory(),
    params:
        spec=given("motion", "spec"),
        store=lambda wildcards, input: store_of(input.plan),
        frames=lambda wildcards, input: store_of(input.frames),
    shell:
        "python -m fsar_core fill --spec {params.spec:q} --store {params.store:q} --index {input.index:q}"
        " --job {wildcards.job} --receipt {output.receipt:q} --frames {params.frames:q} > {log:q} 2>&1"


use rule seal_frames as seal_motion with:
    input:
        plan=stored(ROOTS.stores / "motion" / "{store}" / "plan.json"),
        receipts=receipts_of("motion"),
    output:
        manifest=made(ROOTS.stores / "motion" / "{store}" / "manifest.json"),
    log:
        log_of("seal_motion/{store}"),
    params:
        store=lambda wildcards, input: store_of(input.plan),
        max_failures=given("motion", "max_failures"),


rule motion:
    """Every motion store."""
    input:
        every("motion"),
'''

INPUT = '''
"""Motion of the frames of all clips, `support_motion` and `query_motion`."""

from __future__ import annotations

from fsar_core.inputs.base import Input, StoreSource


class Motion(Input):
    """Read from a motion store, in training and in tests."""

    at_test = True

    def plan(self, study, dataset, setup, count):
        from fsar_core.stores import kinds

        return kinds.get("motion").spec_type(frames=study.frames(dataset, count))

    def open(self, path, spec, model, index=None):
        from fsar_core.stores.reader import StoreReader

        return MotionSource(self.key, StoreReader(path, "motion", spec))


class MotionSource(StoreSource):
    """Motion of the stored views that episodes take."""

    def batch(self, episodes):
        """Return [batch way shot frames] and [batch query frames]."""
        return {f"{side}_motion": values for side, values in self.sides(episodes).items()}
'''

HEAD = '''
"""Frames that move count for more."""

from __future__ import annotations

from typing import ClassVar

import torch

from fsar_core.components.head import Head
from fsar_core.components.parameters import Positive


class MotionWeights(Head):
    """Multiplies every frame by a learned function of its motion.

    Args:
        scale: of the motion, before training.
    """

    inputs: ClassVar = {"motion": {}}

    def __init__(self, scale: Positive = 1.0) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(float(scale)))

    def encode(self, clips):
        return clips

    def forward(self, support, query, support_motion, query_motion):
        return self.relate(self._weighted(support, support_motion), self._weighted(query, query_motion))

    def _weighted(self, clips, motion):
        return clips * (1 + self.scale * motion)[..., None, None, None]
'''

TABLE = {
    "title": "A new kind of store",
    "where": "nowhere",
    "backbone": "demo_cnn",
    "datasets": ["ssv2_full"],
    "shots": [1],
    "rows": [
        {
            "method": "Weighted by motion",
            "head": {"name": "motion_weights"},
            "matching": {"name": "otam"},
        },
    ],
}
TARGET = "results/tables/additions_table1.csv"


@pytest.fixture
def project(tmp_path, smoke) -> Project:
    """A project with the kind of store, which starts from the stores of the toy run."""
    project = Project.copy(tmp_path / "project", tmp_path / "work")
    shutil.copytree(smoke.path, project.folder, dirs_exist_ok=True)
    project.add("fsar_core/store_kinds/motion.py", STORE_KIND)
    project.add("workflow/rules/motion.smk", RULES)
    project.add("fsar_core/inputs/motion.py", INPUT)
    project.add("fsar_core/heads/motion_weights.py", HEAD)
    project.add("workflow/tables/additions_table1.yaml", yaml.safe_dump(TABLE, sort_keys=False))
    return project


def test_a_new_kind_of_store_is_filled_and_read(project):
    assert "additions_table1: 1 run on demo_temporal" in project.check()
    plan = project.snakemake("-n", "-p", "--", TARGET)
    for rule in ("plan_motion", "fill_motion", "seal_motion", "train_head", "evaluate_head"):
        assert f"rule {rule}:" in plan
    assert "rule fill_frames:" not in plan
    # Training and test are given the store.
    assert plan.count("--input=motion=stores/motion/demo_temporal.") == 2

    project.snakemake("--", "motion")
    (store,) = project.files("stores/motion/*")
    motion = StoreReader(store, "motion")
    frames = StoreReader(*project.files(f"stores/frames/{_frames_key(motion)}"), "frames")
    clip = frames.read_clip(3).astype(np.float32) / 255
    expected = np.abs(np.diff(clip, axis=0)).mean((-3, -2, -1))
    np.testing.assert_allclose(motion.read_clip(3), [0, *expected], atol=1e-6)

    project.snakemake("--", TARGET)
    rows = (project.folder / TARGET).read_text().splitlines()
    assert rows[1].startswith("Weighted by motion,")
    (path,) = project.files("results/runs/*.motion_weights.*/summary.json")
    summary = json.loads(path.read_text())
    assert list(summary["spec"]["inputs"]) == list(summary["spec"]["test_inputs"]) == ["motion"]
    assert "motion" in summary["inputs"]
    assert "Nothing to be done" in project.snakemake("--", TARGET)


def test_verbs_for_people_know_a_new_kind_of_store(project):
    project.snakemake("--", "motion")
    (store,) = project.files("stores/motion/*")
    config = ("--config", str(project.root / "test_config.yaml"))
    workflow = ("--workflow", str(project.root / "workflow"))
    assert "train_head" in project.fsar("status", *config, *workflow, "additions_table1")
    assert f"{store.name}: " in project.fsar("verify", str(store))
    assert store.name not in project.fsar("clean", *config, *workflow, "--min-age", "0")


def _frames_key(motion: StoreReader) -> str:
    from fsar_core.specs import FrameSpec

    return FrameSpec.model_validate(motion.spec["frames"]).key
