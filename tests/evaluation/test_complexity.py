"""Parameters against closed forms, operations and memory against what a small module must need."""

import json
from pathlib import Path

import pytest
import torch

from fsar_core.__main__ import main
from fsar_core.components.registry import build
from fsar_core.evaluation import complexity
from fsar_core.papers.registry import load_table

WORKFLOW = Path(__file__).parents[2] / "workflow"
CPU = torch.device("cpu")
SPEC = {
    "dim": 16,
    "height": 4,
    "width": 3,
    "frames": 4,
    "way": 2,
    "shot": 2,
    "query": 3,
    "repeats": 2,
}


def identity(name, metric="otam"):
    return [name, {"name": "identity", "params": {}}, {"name": metric, "params": {}}]


def dmgal(name, **params):
    return [
        name,
        {"name": "dmgal", "params": params | {"s_mga": False, "r2": 2}},
        {"name": "bimhm", "params": {}},
    ]


def test_table_vii_counts_are_the_papers(tmp_path):
    """N(r) = 9D + Dd + 19d² + 17d + 2 with d = D / r, and the four printed millions."""
    table = load_table(WORKFLOW / "tables" / "dmgal_table7.yaml")
    words = ["--spec", json.dumps(table.complexity()), "--out", str(tmp_path / "counted.json")]
    assert main(["complexity", *words]) == 0
    rows = json.loads((tmp_path / "counted.json").read_text(encoding="utf-8"))["rows"]
    assert [rows[row.method]["parameters"] for row in table.rows] == [
        22_055_938,
        6_056_450,
        1_792_258,
        594_050,
    ]
    for ratio, row in zip((2, 4, 8, 16), table.rows, strict=True):
        dim, inner = 2048, 2048 // ratio
        assert (
            rows[row.method]["parameters"] == 9 * dim + dim * inner + 19 * inner**2 + 17 * inner + 2
        )
        assert row.published == f"{rows[row.method]['parameters'] / 1e6:.2f}M"


def test_table_8_of_i2st_costs_what_is_printed():
    """Nothing is computed: parameters within 0.5 % of the printed, operations of a frame within 5 %."""
    table = load_table(WORKFLOW / "tables" / "i2st_table8.yaml")
    found, printed = (
        complexity.count(table.complexity()),
        {row.method: row.printed_cost for row in table.rows},
    )
    assert {name: cost["parameters"] for name, cost in found.items()} == {
        "OTAM": 23_508_032,  # ResNet-50 without its classifier
        "TRX": 23_508_032
        + 2 * (5 * 2048 + 2) * 1152
        + 4 * 1152,  # keys and values of pairs and triples, LayerNorm
        **dict.fromkeys(("I²ST-S", "I²ST-T"), 88_406_337),
        "I²ST": 130_365_761,
    }
    frames = (5 + 5) * 8
    for name, cost in found.items():
        assert cost["parameters"] == pytest.approx(
            float(printed[name].parameters.rstrip("M")) * 1e6, rel=0.005
        )
        assert cost["flop"] / frames == pytest.approx(
            float(printed[name].flops.rstrip("G")) * 1e9, rel=0.05
        )
    assert found["OTAM"]["flop"] / frames == pytest.approx(8.174e9, rel=1e-3)
    assert found["I²ST"]["flop"] / frames == pytest.approx(17.05e9, rel=1e-3)


NETWORK = {"backbone": {"name": "demo_cnn", "params": {"dim": 16}}, "crop": 32, "classes": 7}
NETWORK |= {"frames": 4, "way": 2, "shot": 2, "query": 3, "repeats": 2, "passes": ["test"]}


def i2st(name):
    return [name, {"name": "i2st", "params": {}}, {"name": "global_local", "params": {}}]


def test_a_whole_network_is_the_backbone_with_the_head():
    found = complexity.measure(NETWORK | {"rows": [identity("plain"), i2st("i2st")]}, CPU)
    backbone = complexity.parameters(build("backbones", "demo_cnn", dim=16))
    assert found["plain"]["parameters"] == backbone
    assert found["i2st"]["parameters"] == backbone + complexity.parameters(
        build("heads", "i2st", dim=16, frames=4, classes=7)
    )
    alone = complexity.count(
        SPEC | {"height": 2, "width": 2, "rows": [identity("plain"), i2st("i2st")]}
    )
    # 32 pixels are a grid of 2 x 2 behind demo_cnn: what the head adds is what it costs by itself.
    assert (
        found["i2st"]["flop"] - found["plain"]["flop"]
        == alone["i2st"]["flop"] - alone["plain"]["flop"]
    )
    for cost in found.values():
        assert set(cost) == {"parameters", "flop", "test"}
        assert len(cost["test"]["seconds"]) == 2 and cost["test"]["peak_bytes"] > 0


def test_a_network_can_be_trained_too():
    found = complexity.measure(
        NETWORK | {"rows": [identity("a")], "passes": ["train"], "repeats": 1}, CPU
    )["a"]
    assert set(found) == {"parameters", "flop", "train"} and len(found["train"]["seconds"]) == 1


def test_peak_bytes_of_known_tensors():
    values = torch.zeros(1000, 250)  # 1,000,000 bytes, there before

    def two_at_once():
        first = values + 1
        second = first * 2
        del first
        return second.exp().sum()  # beside `second`

    for _ in range(2):
        assert 2_000_000 <= complexity.peak_bytes(two_at_once, CPU) < 2_001_000
    assert 1_000_000 <= complexity.peak_bytes(lambda: values + 1, CPU) < 1_001_000


def test_a_test_pass_is_in_evaluation_mode_and_a_training_pass_is_not(monkeypatch):
    """Whatever ran before: dropout and BatchNorm cost other operations, and stay as they were set."""
    modes = []

    def noted(self, episodes):
        modes.append(
            (
                self.training,
                self.head.training,
                self.tail.training,
                torch.is_inference_mode_enabled(),
            )
        )
        return forward(self, episodes)

    forward = complexity.EpisodeModel.forward
    monkeypatch.setattr(complexity.EpisodeModel, "forward", noted)
    complexity.count(SPEC | {"rows": [identity("a")]})
    assert modes == [(False, False, False, True)]
    modes.clear()
    complexity.measure(
        NETWORK | {"rows": [identity("a")], "passes": ["train", "test"], "repeats": 2}, CPU
    )
    train, test = (True, True, True, False), (False, False, False, True)
    assert modes == [test, train, test, train, test, train, test]


def test_rows_are_measured_in_rounds():
    found = complexity.measure(
        SPEC | {"rows": [identity("a"), dmgal("b"), dmgal("c", c_mga="frame_all")]}, CPU
    )
    assert list(found) == ["a", "b", "c"]
    dim, inner = 16, 8
    assert found["b"]["parameters"] == 9 * dim + dim * inner + 19 * inner**2 + 17 * inner + 2
    for cost in found.values():
        for kind in ("test", "train"):
            assert len(cost[kind]["seconds"]) == 2 and min(cost[kind]["seconds"]) > 0
        assert cost["test"]["peak_bytes"] > 0
    assert found["b"]["train"]["peak_bytes"] > found["b"]["test"]["peak_bytes"]
    # The scores of all pairs of patches: queries times supports times frames times as many frames.
    patches = 4 * 3
    scores = 3 * patches * 4 * patches * 4  # [query patches, support patches, frames]
    products = (
        2 * (2 * inner + dim) * scores
    )  # both directions of motion side by side, then the values
    assert found["c"]["flop"] - found["b"]["flop"] == products * 4 - products


def test_only_what_is_trained_is_counted():
    module = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 5).requires_grad_(False)
    )
    assert complexity.parameters(module) == 3 * 4 + 4 + 4 + 4


def test_a_measurement_names_its_machine(tmp_path):
    spec = json.dumps(SPEC | {"rows": [identity("a")]})
    threads = str(torch.get_num_threads())
    words = [
        "--spec",
        spec,
        "--out",
        str(tmp_path / "cost.json"),
        "--threads",
        threads,
        "--device",
        "cpu",
    ]
    assert main(["complexity", *words]) == 0
    record = json.loads((tmp_path / "cost.json").read_text(encoding="utf-8"))
    assert record["environment"]["device"] == f"CPU, threads: {threads}"
    assert record["spec"] == json.loads(spec) and set(record["rows"]) == {"a"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_peak_bytes_on_a_gpu():
    values = torch.zeros(1024, 256, device="cuda")
    assert complexity.peak_bytes(lambda: values + 1, values.device) == 1024 * 256 * 4
