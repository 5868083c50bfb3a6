"""A new head, metric and backbone, each by adding one file: `fsar check`, a plan, and a real run."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from tests.extension.project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.timeout(1200)]

METRIC = '''
"""Nearest frame: the most similar pair of frames decides."""

from __future__ import annotations

from typing import Literal

from fsar_core.components.metric import Metric
from fsar_core.components.parameters import Positive


class NearestFrame(Metric):
    """Compares clips by their most similar frames.

    Args:
        scale: factor of the logits.
        shots: how the clips of a class are joined.
    """

    def __init__(self, scale: Positive = 10.0, shots: Literal["max", "mean"] = "max") -> None:
        super().__init__()
        self.scale, self.shots = scale, shots

    def encode(self, clips):
        return (clips / clips.norm(dim=-1, keepdim=True).clamp(min=1e-6),)

    def compare(self, support, query):
        similarity = (support[0][:, None, ..., None, :] * query[0][:, :, None, None, None]).sum(-1)
        best = similarity.amax((-1, -2))
        return self.scale * (best.amax(-1) if self.shots == "max" else best.mean(-1))
'''

HEAD = '''
"""A learned factor for every channel."""

from __future__ import annotations

import torch

from fsar_core.components.head import Head
from fsar_core.components.parameters import Positive, PositiveInt


class ChannelScale(Head):
    """Multiplies every channel by a learned factor.

    Args:
        dim: channels of the features.
        start: value of every factor before training.
    """

    def __init__(self, dim: PositiveInt, start: Positive = 1.0) -> None:
        super().__init__()
        self.factors = torch.nn.Parameter(torch.full((dim, 1, 1), float(start)))

    def encode(self, clips):
        return self.factors * clips
'''

BACKBONE = '''
"""One convolution, trained by the pipeline."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from torch import nn

from fsar_core.components.backbone import Backbone
from fsar_core.components.parameters import PositiveInt
from fsar_core.components.weights import load_strictly, read_state_dict


class OneConv(Backbone):
    """A convolution with stride 16.

    Args:
        weights: a file that `fsar train-backbone` wrote; None for random weights.
        dim: channels of its output.
    """

    cuts = ("frames", "conv")
    trainable = True

    def __init__(
        self,
        weights: str | Path | None = None,
        weights_root: str | Path | None = None,
        dim: PositiveInt = 16,
    ) -> None:
        convolution = nn.Sequential(nn.Conv2d(3, dim, 16, 16), nn.ReLU())
        super().__init__(OrderedDict(conv=convolution), mean=(0.45,) * 3, std=(0.225,) * 3)
        if weights is not None:
            load_strictly(self, read_state_dict(Path(weights)), weights)
'''

NEAREST = {"name": "nearest_frame", "params": {"scale": 4.0, "shots": "mean"}}
TABLE = {
    "title": "Additions",
    "where": "nowhere",
    "backbone": "demo_cnn",
    "datasets": ["ssv2_full"],
    "shots": [1],
    "rows": [
        {"method": "Nearest frame", "head": {"name": "identity"}, "matching": NEAREST},
        {
            "method": "Scaled channels",
            "head": {"name": "channel_scale", "params": {"start": 0.5}},
            "matching": {"name": "bimhm"},
            "compare_to": "Nearest frame",
        },
        {
            "method": "One convolution",
            "head": {"name": "identity"},
            "matching": {"name": "bimhm"},
            "setup": "convolution",
        },
    ],
}
SETUP = {
    "name": "one_conv",
    "cut": "conv",
    "crop": 32,
    "training": {"epochs": 1, "batch": 32, "lr": 0.01, "weight_decay": 0.0001},
    "clips_per_job": 192,
    "batch_clips": 16,
}


@pytest.fixture
def project(tmp_path, smoke) -> Project:
    """A project with the three additions, which starts from the stores of the toy run."""
    project = Project.copy(tmp_path / "project", tmp_path / "work")
    shutil.copytree(smoke.path, project.folder, dirs_exist_ok=True)
    project.add("fsar_core/metrics/nearest_frame.py", METRIC)
    project.add("fsar_core/heads/channel_scale.py", HEAD)
    project.add("fsar_core/backbones/one_conv.py", BACKBONE)
    project.add("workflow/tables/additions_table1.yaml", yaml.safe_dump(TABLE, sort_keys=False))
    project.configure({"presets": {"demo": {"setups": {"convolution": {"backbone": {**SETUP}}}}}})
    return project


def test_new_components_are_listed_checked_and_run(project):
    listed = project.fsar("list")
    assert "nearest_frame        Nearest frame: the most similar pair of frames decides." in listed
    assert "channel_scale        A learned factor for every channel." in listed
    assert "one_conv             One convolution, trained by the pipeline." in listed
    assert "additions_table1: 3 runs on demo_temporal" in project.check()

    target = "results/tables/additions_table1.csv"
    plan = project.snakemake("-n", "--", target)
    assert "train_backbone" in plan and "fill_frames" not in plan
    project.snakemake("--", target)
    rows = (project.folder / target).read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [row["method"] for row in TABLE["rows"]]
    summaries = {}
    for path in (project.folder / "results/runs").glob("*/summary.json"):
        summary = json.loads(path.read_text())
        summaries[summary["spec"]["matching"]["name"], summary["spec"]["head"]["name"]] = summary
    spec = summaries["nearest_frame", "identity"]["spec"]
    assert spec["matching"]["params"] == {"scale": 4.0, "shots": "mean"}
    assert summaries["bimhm", "channel_scale"]["spec"]["head"]["params"]["start"] == 0.5
    assert "Nothing to be done" in project.snakemake("--", target)


def test_an_invalid_parameter_of_a_new_metric_is_refused_before_any_job(project):
    table = {**TABLE, "title": "Wrong"}
    table["rows"] = [
        {**TABLE["rows"][0], "matching": {"name": "nearest_frame", "params": {"shots": "men"}}}
    ]
    project.add("workflow/tables/additions_table2.yaml", yaml.safe_dump(table, sort_keys=False))
    with pytest.raises(AssertionError, match=r"shots='men'.*mean"):
        project.check()
