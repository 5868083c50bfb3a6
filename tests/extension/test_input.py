"""A head that needs a new kind of input for every training clip, by adding two files."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import yaml

from tests.extension.project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.timeout(1200)]

INPUT = '''
"""Mean brightness of the frames of training clips, `support_brightness` and `query_brightness`."""

from __future__ import annotations

from fsar_core.inputs.base import Input, StoreSource

WHITE = 255


class Brightness(Input):
    """Measured on the frame store."""

    def plan(self, study, dataset, setup, count):
        return study.frames(dataset, count)

    def open(self, path, spec, model, index=None):
        from fsar_core.stores.reader import StoreReader

        return BrightnessSource(self.key, StoreReader(path, "frames", spec))


class BrightnessSource(StoreSource):
    """Brightness in 0..1 of the stored views that episodes take."""

    def batch(self, episodes):
        """Return [batch way shot frames] and [batch query frames]."""
        sides = self.sides(episodes)
        return {
            f"{side}_brightness": clips.float().mean((-3, -2, -1)) / WHITE
            for side, clips in sides.items()
        }
'''

HEAD = '''
"""Features from which the brightness of a frame can be read."""

from __future__ import annotations

from typing import ClassVar

import torch

from fsar_core.components.head import Head
from fsar_core.components.parameters import NonNegative, PositiveInt
from fsar_core.types import HeadOutput


class Brightening(Head):
    """Scales channels; a linear map of the result has to predict the brightness.

    Args:
        dim: channels of the features.
        weight: of the loss; without it, no brightness is needed.
    """

    inputs: ClassVar = {"brightness": {"weight": True}}

    def __init__(self, dim: PositiveInt, weight: NonNegative = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.factors = torch.nn.Parameter(torch.ones(dim, 1, 1))
        self.readout = torch.nn.Linear(dim, 1)

    def encode(self, clips):
        return self.factors * clips

    def forward(self, support, query, support_brightness=None, query_brightness=None):
        encoded = self.relate(self.encode(support), self.encode(query))
        if not (self.training and self.weight):
            return encoded
        errors = [
            self.readout(clips.mean((-2, -1)))[..., 0] - brightness
            for clips, brightness in (
                (encoded.support, support_brightness),
                (encoded.query, query_brightness),
            )
        ]
        loss = sum(error.square().mean() for error in errors)
        return HeadOutput(encoded.support, encoded.query, {"brightness": self.weight * loss})
'''

METHODS = ("With brightness", "Without")
TABLE = {
    "title": "A new input",
    "where": "nowhere",
    "backbone": "demo_cnn",
    "datasets": ["ssv2_full"],
    "shots": [1],
    "rows": [
        {"method": METHODS[0], "head": {"name": "brightening"}, "matching": {"name": "bimhm"}},
        {
            "method": METHODS[1],
            "head": {"name": "brightening", "params": {"weight": 0}},
            "matching": {"name": "bimhm"},
            "compare_to": METHODS[0],
        },
    ],
}
TARGET = "results/tables/additions_table1.csv"


@pytest.fixture
def project(tmp_path, smoke) -> Project:
    """A project with the input and the head, which starts from the stores of the toy run."""
    project = Project.copy(tmp_path / "project", tmp_path / "work")
    shutil.copytree(smoke.path, project.folder, dirs_exist_ok=True)
    project.add("fsar_core/inputs/brightness.py", INPUT)
    project.add("fsar_core/heads/brightening.py", HEAD)
    project.add("workflow/tables/additions_table1.yaml", yaml.safe_dump(TABLE, sort_keys=False))
    return project


def test_a_head_is_trained_with_a_new_input(project):
    assert "additions_table1: 2 runs on demo_temporal" in project.check()
    plan = project.snakemake("-n", "-p", "--", TARGET)
    assert "fill_frames" not in plan and "fill_features" not in plan
    (given,) = {word for word in plan.split() if word.startswith("--input=")}
    assert given.startswith("--input=brightness=stores/frames/demo_temporal.")

    project.snakemake("--", TARGET)
    rows = (project.folder / TARGET).read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [*METHODS]

    models = [
        torch.load(path) for path in project.files("results/models/*.brightening.*/checkpoint.pt")
    ]
    (bright,) = [model for model in models if "brightness" in model["inputs"]]
    (plain,) = [model for model in models if "brightness" not in model["inputs"]]
    # Both start from the same weights; only the loss on the brightness changes these.
    readout = "head.readout.weight"
    assert not torch.equal(bright["model"][readout], plain["model"][readout])

    summaries = project.files("results/runs/*.brightening.*/summary.json")
    specs = [json.loads(path.read_text())["spec"] for path in summaries]
    recorded = [spec["inputs"] for spec in specs if "inputs" in spec]
    assert [inputs["brightness"]["kind"] for inputs in recorded] == ["frames"]
    assert not any("test_inputs" in spec for spec in specs)
    assert "Nothing to be done" in project.snakemake("--", TARGET)
