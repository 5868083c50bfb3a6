"""Tables of kind parameters, and the costs beside the accuracies of a table."""

import csv
import json
import re

import pytest

from fsar_core.__main__ import main
from fsar_core.config import validate
from fsar_core.errors import FsarError
from fsar_core.papers.registry import validate_table
from fsar_core.specs import Component
from fsar_core.tables.accuracy import AccuracyTable, costs
from tests.tables.made import Made

PARAMETERS = {
    "kind": "parameters",
    "title": "Toy sizes",
    "where": "Nobody et al., Table VII",
    "dim": 16,
    "frames": 8,
    "rows": [
        {"method": "r_2: 2", "published": "1.24M", "head": {"name": "dmgal", "params": {"r2": 2}}},
        {"method": "r_2: 4", "published": "0.6M", "head": {"name": "dmgal", "params": {"r2": 4}}},
    ],
}


@pytest.fixture
def parameters(tmp_path):
    """Ending -> text of a table of kind parameters, from the command line on."""
    counted = {"rows": {"r_2: 2": {"parameters": 1_236_000}, "r_2: 4": {"parameters": 650_001}}}
    (tmp_path / "counted.json").write_text(json.dumps(counted), encoding="utf-8")
    spec = {
        "table": PARAMETERS,
        "behind": {},
        "cells": [],
        "way": 5,
        "complexity": str(tmp_path / "counted.json"),
    }
    words = [
        "--name",
        "toy",
        "--spec",
        json.dumps(spec),
        "--runs",
        str(tmp_path),
        "--out",
        str(tmp_path / "toy_table7"),
    ]
    assert main(["table", *words]) == 0
    return {
        ending: (tmp_path / f"toy_table7.{ending}").read_text(encoding="utf-8")
        for ending in ("csv", "md", "tex")
    }


def test_parameters_as_csv(parameters):
    assert parameters["csv"].splitlines() == [
        "method,parameters,millions_published,agrees",
        "r_2: 2,1236000,1.24,True",
        "r_2: 4,650001,0.6,False",
    ]


def test_parameters_as_markdown(parameters):
    assert parameters["md"] == (
        "# Toy sizes\n"
        "\n"
        "Parameters counted here, of the head built for features of 16 channels and 8 frames, and printed in Nobody et al., "
        "Table VII.\n"
        "\n"
        "| Method   | Counted   | In millions   | Printed   | Equal   |\n"
        "|----------|-----------|---------------|-----------|---------|\n"
        "| r_2: 2   | 1,236,000 | 1.24M         | 1.24M     | yes     |\n"
        "| r_2: 4   | 650,001   | 0.7M          | 0.6M      | no      |\n"
    )


def test_parameters_as_latex(parameters):
    assert r" r\_2: 4  & 650,001   & 0.7M          & 0.6M      & no      \\" in parameters["tex"]
    assert parameters["tex"].count(r"\begin{table}") == 1


COMPONENTS = {"head": {"name": "dmgal"}, "matching": {"name": "trx"}}
COST = {
    "title": "Toy costs",
    "where": "Nobody et al., Table VIII",
    "backbone": "ResNet-50",
    "datasets": ["ucf101"],
    "shots": [1],
    "cost": {
        "dim": 4,
        "height": 2,
        "width": 3,
        "frames": 8,
        "way": 5,
        "shot": 1,
        "query": 10,
        "repeats": 3,
    },
    "rows": [
        {"method": "Elsewhere", "published": {"ucf101": {1: 84.4}}},
        {"method": "all", **COMPONENTS},
        {"method": "wise", **COMPONENTS, "compare_to": "all"},
    ],
}
MEASURED = {
    "spec": COST["cost"],
    "environment": {"device": "CPU, threads: 2", "torch": "2.11.0"},
    "rows": {
        "all": {
            "parameters": 25394434,
            "flop": 4_000_000_000,
            "test": {"seconds": [2.5, 2.0, 1.5], "peak_bytes": 400 * 2**20},
            "train": {"seconds": [4.0, 8.0, 5.0], "peak_bytes": 1200 * 2**20},
        },
        "wise": {
            "parameters": 25394434,
            "flop": 1_234_567_890,
            "test": {"seconds": [0.5, 0.25, 1.0], "peak_bytes": 100 * 2**20},
            "train": {"seconds": [2.5, 2.5, 2.5], "peak_bytes": 900 * 2**20},
        },
    },
}


def test_costs_beside_accuracies():
    table = validate(AccuracyTable, COST, "toy_table8.yaml")
    found = Made("toy", table, complexity=MEASURED).frame()
    assert found.iloc[2].to_dict() == {
        **{
            "method": "wise",
            "reference": "-",
            "backbone": "ResNet-50",
            "ucf101_1shot_published": None,
        },
        **{"parameters": 25394434, "gflop": 1.235},
        **{"test_peak_mib": 100, "test_peak_mib_ratio": 0.25},
        **{
            "test_seconds": 0.5,
            "test_seconds_min": 0.25,
            "test_seconds_max": 1.0,
            "test_seconds_ratio": 0.25,
        },
        **{"train_peak_mib": 900, "train_peak_mib_ratio": 0.75},
        **{
            "train_seconds": 2.5,
            "train_seconds_min": 2.5,
            "train_seconds_max": 2.5,
            "train_seconds_ratio": 0.5,
        },
    } | {"ucf101_1shot_published": pytest.approx(float("nan"), nan_ok=True)}
    assert found["parameters"].isna().tolist() == [True, False, False]
    assert found["test_seconds_ratio"].isna().tolist() == [True, True, False]


def test_costs_for_reading():
    table = validate(AccuracyTable, COST, "toy_table8.yaml")
    block = costs.block(table, MEASURED)
    assert block.header[-2:] == ["MiB, training pass", "seconds, training pass"]
    assert block.body == [
        ["all", "25,394,434", "4.0", "400", "2 [1.5, 2.5]", "1,200", "5 [4, 8]"],
        [
            "wise",
            "25,394,434",
            "1.2",
            "100 (0.25×)",
            "0.5 [0.25, 1] (0.25×)",
            "900 (0.75×)",
            "2.5 [2.5, 2.5] (0.50×)",
        ],
    ]
    assert (
        "(CPU, threads: 2, torch 2.11.0): head and metric on one 5-way 1-shot episode with 10 queries"
        in block.caption
    )
    resolved = Made("toy", table, {}, {}, 5, MEASURED)
    md, tex = resolved.markdown(), resolved.latex()
    assert md.index("Measured here") < md.index("Printed in") and md.count("\n|---") == 2
    assert r"100 (0.25$\times$)" in tex and "×" not in tex


NETWORK = {
    "title": "Toy networks",
    "where": "Nobody et al., Table 8",
    "backbone": "ResNet-50",
    "datasets": ["hmdb51"],
    "shots": [1],
    "cost": {
        **{"backbone": {"name": "resnet50"}, "crop": 224, "classes": 64, "frames": 8},
        **{"way": 5, "shot": 1, "query": 5, "repeats": 3, "passes": ["test"]},
    },
    "rows": [
        {
            "method": "plain",
            "printed_cost": {"parameters": "23.5M", "flops": "8.2G", "latency": "73.6ms"},
            "head": {"name": "identity"},
            "matching": {"name": "otam"},
        },
        {
            "method": "Elsewhere",
            "printed_cost": {"parameters": "130.2M", "flops": "17.1G", "latency": "114.3ms"},
        },
        {"method": "silent"},
        {
            "method": "new",
            "head": {"name": "i2st"},
            "matching": {"name": "global_local"},
            "compare_to": "plain",
        },
    ],
}
MEASURED_NETWORKS = {
    "environment": MEASURED["environment"],
    "rows": {
        "plain": {
            "parameters": 23508032,
            "flop": 8_174_354_432 * 80,
            "test": {"seconds": [0.2, 0.1, 0.3], "peak_bytes": 500 * 2**20},
        },
        "new": {
            "parameters": 130365761,
            "flop": 17_050_388_736 * 80,
            "test": {"seconds": [0.4, 0.5, 0.4], "peak_bytes": 600 * 2**20},
        },
    },
}


@pytest.fixture
def networks():
    """(the table, what was measured)"""
    table = validate(AccuracyTable, NETWORK, "toy_table8.yaml")
    return table, {"spec": table.complexity(), **MEASURED_NETWORKS}


def test_printed_costs_are_columns_beside_the_measured(networks):
    table, measured = networks
    found = Made("toy", table, complexity=measured).frame().set_index("method")
    assert list(found.columns[3:]) == [
        *("parameters", "gflop_per_frame", "test_peak_mib", "test_peak_mib_ratio"),
        *("test_seconds", "test_seconds_min", "test_seconds_max", "test_seconds_ratio"),
        *("parameters_published", "gflop_per_frame_published", "test_seconds_published"),
    ]
    assert found.loc["plain", ["gflop_per_frame", "test_seconds"]].tolist() == [8.174, 0.2]
    assert found.loc["new", ["gflop_per_frame", "test_seconds_ratio"]].tolist() == [17.05, 2]
    published = [name for name in found.columns if name.endswith("_published")][1:]
    assert found.loc["plain", published].tolist() == [23_500_000, 8.2, 0.0736]
    assert found.loc["Elsewhere", published].tolist() == [130_200_000, 17.1, 0.1143]
    assert (
        found.loc["new", published].isna().all()
        and found.loc["Elsewhere", ["parameters"]].isna().all()
    )


def test_printed_costs_for_reading(networks):
    table, measured = networks
    block = costs.block(table, measured)
    assert block.header == [
        *("Method", "Parameters", "GFLOP a frame", "MiB, test pass", "seconds, test pass"),
        *("Parameters, printed", "FLOPs, printed", "latency, printed"),
    ]
    assert block.body == [
        ["plain", "23,508,032", "8.17", "500", "0.2 [0.1, 0.3]", "23.5M", "8.2G", "73.6ms"],
        ["Elsewhere", "-", "-", "-", "-", "130.2M", "17.1G", "114.3ms"],
        ["new", "130,365,761", "17.05", "600 (1.20×)", "0.4 [0.4, 0.5] (2.00×)", "-", "-", "-"],
    ]
    assert (
        "(CPU, threads: 2, torch 2.11.0): whole networks, resnet50 of random weights with head and metric, on one 5-way "
        "1-shot episode with 5 queries, 8 frames of 224 x 224 pixels."
    ) in block.caption
    assert block.caption.endswith("Beside them what is printed in Nobody et al., Table 8.")


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        (
            {"crop": None},
            "expected either dim, height and width of the features or backbone and crop of the frames",
        ),
        (
            {"dim": 4},
            "expected either dim, height and width of the features or backbone and crop of the frames",
        ),
        ({"passes": ["test", "tets"]}, "passes.1"),
        ({"passes": []}, "passes"),
        (
            COST["cost"],
            "a `printed_cost` stands beside what `cost` measures of a whole network; name its backbone",
        ),
    ],
)
def test_a_cost_is_of_features_or_of_frames(cost, told):
    changed = cost if "dim" in cost and len(cost) > 1 else NETWORK["cost"] | cost
    with pytest.raises(FsarError, match=re.escape(told)):
        validate(AccuracyTable, NETWORK | {"cost": changed}, "x")


@pytest.mark.parametrize(
    "wrong", [{"parameters": "23.5"}, {"flops": "8.2M"}, {"latency": "73.6 ms"}]
)
def test_a_printed_cost_has_its_unit(wrong):
    rows = [NETWORK["rows"][0] | {"printed_cost": NETWORK["rows"][0]["printed_cost"] | wrong}]
    with pytest.raises(FsarError, match=next(iter(wrong))):
        validate(AccuracyTable, NETWORK | {"rows": rows}, "x")


def test_what_is_built_for_a_network(networks):
    table, _ = networks
    assert table.components()[-1] == ("cost", "backbones", Component(name="resnet50"))
    assert table.complexity()["backbone"] == {"name": "resnet50"}
    assert [name for name, _, _ in table.complexity()["rows"]] == ["plain", "new"]


def test_what_is_to_be_measured():
    """Nothing but what decides the numbers: another title measures nothing again."""
    table = validate(AccuracyTable, COST | {"title": "Another"}, "x")
    component = {"head": {"name": "dmgal", "params": {}}, "matching": {"name": "trx", "params": {}}}
    rows = [(name, component["head"], component["matching"]) for name in ("all", "wise")]
    assert table.complexity() == {"rows": rows, **COST["cost"]}
    assert (
        validate(
            AccuracyTable, {key: value for key, value in COST.items() if key != "cost"}, "x"
        ).complexity()
        is None
    )
    counted = validate_table(PARAMETERS, "x").complexity()
    assert counted["rows"][0] == ("r_2: 2", {"name": "dmgal", "params": {"r2": 2}}, None)
    assert (counted["dim"], counted["frames"]) == (16, 8)


def test_every_line_of_the_csv_has_all_columns(parameters):
    assert {len(line) for line in csv.reader(parameters["csv"].splitlines())} == {4}
