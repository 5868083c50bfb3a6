"""`fsar check`: valid or one line, and how much would be computed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fsar_core.__main__ import main
from fsar_core.config import read_yaml

ROOT = Path(__file__).resolve().parents[2]
TABLE = {
    "title": "t",
    "where": "w",
    "backbone": "b",
    "datasets": ["ssv2_small", "ucf101"],
    "shots": [1, 5],
    "rows": [
        {"method": "A", "head": {"name": "identity"}, "matching": {"name": "otam"}},
        {
            "method": "B",
            "head": {"name": "identity"},
            "matching": {"name": "bimhm"},
            "compare_to": "A",
        },
        {"method": "C", "published": {"ucf101": {1: 3.0}}},
    ],
}


@pytest.fixture
def project(tmp_path):
    """project(config=, table=, card=) writes a small project and returns the command line that checks it."""

    def write(config=None, tables=None, cards=None):
        raw = read_yaml(ROOT / "config.yaml") | (config or {})
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
        (tmp_path / "workflow" / "tables").mkdir(parents=True)
        for name, table in ({"x_table1": TABLE} if tables is None else tables).items():
            (tmp_path / "workflow" / "tables" / f"{name}.yaml").write_text(
                yaml.safe_dump(table), encoding="utf-8"
            )
        shipped = sorted((ROOT / "workflow" / "datasets").glob("*/card.yaml"))
        found = {path.parent.name: path.read_text(encoding="utf-8") for path in shipped} | (
            cards or {}
        )
        for name, text in found.items():
            (tmp_path / "workflow" / "datasets" / name).mkdir(parents=True)
            (tmp_path / "workflow" / "datasets" / name / "card.yaml").write_text(
                text, encoding="utf-8"
            )
        return [
            "check",
            "--config",
            str(tmp_path / "config.yaml"),
            "--workflow",
            str(tmp_path / "workflow"),
        ]

    return write


def test_it_counts_runs(project, capsys, tmp_path):
    behind = {"ssv2_small": "demo_temporal", "ucf101": "demo_spatial"}
    second = TABLE | {"datasets": ["ssv2_small"], "rows": TABLE["rows"][:1]}
    assert main(project({"datasets": behind}, {"x_table1": TABLE, "x_table2": second})) == 0
    assert capsys.readouterr() == (
        "x_table1: 8 runs on demo_spatial, demo_temporal\n"
        "x_table2: 2 runs on demo_temporal\n"
        f"{tmp_path}/config.yaml, cards, tables and figures are valid; preset demo, 8 different runs in all\n",
        "",
    )


def test_a_teacher_that_is_not_there_yet_is_told_to_all_and_stops_nobody(project, capsys, tmp_path):
    """Only runs that learn from masks need it."""
    raw = read_yaml(ROOT / "config.yaml")
    raw["presets"]["demo"]["masks"] |= {"provider": "seem", "weights": "missing.pt"}
    assert (
        main(
            project(
                {
                    "presets": raw["presets"],
                    "roots": raw["roots"] | {"weights": str(tmp_path / "w")},
                }
            )
        )
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith(
        "not yet: preset 'demo': masks.weights: no file 'missing.pt', here or in roots.weights ("
    )
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "missing.pt").write_bytes(b"one")
    assert (
        main(["check", "--config", f"{tmp_path}/config.yaml", "--workflow", f"{tmp_path}/workflow"])
        == 0
    )
    assert "not yet" not in capsys.readouterr().out


def test_wrong_parameters_of_a_teacher(project, capsys):
    raw = read_yaml(ROOT / "config.yaml")
    raw["presets"]["demo"]["masks"] |= {
        "provider": "seem",
        "weights": "x.pt",
        "params": {"size": 5},
    }
    assert main(project({"presets": raw["presets"]})) == 2
    line = "preset 'demo': masks: instance_masks 'seem': size=5 is not valid; valid: whole numbers from 32 to 2048"
    assert capsys.readouterr().err == f"fsar: error: {line}\n"


def test_columns_on_one_card_are_counted_once(project, capsys):
    assert (
        main(project({"datasets": {"ssv2_small": "demo_temporal", "ucf101": "demo_temporal"}})) == 0
    )
    assert capsys.readouterr().out.splitlines()[0] == "x_table1: 4 runs on demo_temporal"


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({"config": {"sed": 1}}, "config.yaml: unknown key 'sed'; did you mean 'seed'?"),
        (
            {"config": {"preset": "dmeo"}},
            "config.yaml: preset 'dmeo' is not among presets; did you mean 'demo'?",
        ),
        (
            {"config": {"datasets": {"ssv2_small": "demo_temporal"}}},
            "config.yaml: datasets names nothing behind 'ucf101'; valid: ssv2_small",
        ),
        (
            {"tables": {"x_table1": TABLE | {"shot": [1]}}},
            "x_table1.yaml: unknown key 'shot'; did you mean 'shots'?",
        ),
        (
            {
                "tables": {
                    "x_table1": TABLE
                    | {"rows": [TABLE["rows"][0] | {"matching": {"name": "otma"}}]}
                }
            },
            "x_table1.yaml: row 'A': unknown name 'otma' in matching; did you mean 'otam'?",
        ),
        # A card that no data set of config.yaml stands on is checked all the same.
        (
            {"cards": {"unused": "titel: x\n"}},
            "unused/card.yaml: unknown key 'titel'; did you mean 'title'?",
        ),
    ],
)
def test_mistakes_are_one_line(project, capsys, files, line):
    assert main(project(**files)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fsar: error: ")
    assert err.endswith(f"{line}\n")
    assert err.count("\n") == 1


def test_more_ways_than_a_split_has_classes(project, capsys):
    raw = read_yaml(ROOT / "config.yaml")
    raw["presets"]["demo"]["episodes"]["way"] = 12
    assert main(project({"presets": raw["presets"]})) == 2
    assert capsys.readouterr().err == (
        "fsar: error: x_table1.yaml under preset 'demo': 12-way episodes of 'demo_temporal', whose split 'val' has 8 classes; "
        "lower `episodes.way` of the preset, or `ways` of the table\n"
    )


def test_more_ways_than_the_test_split_has_classes(project, capsys):
    table = {"x_table1": TABLE | {"shots": [1], "ways": [5, 17], "rows": TABLE["rows"][:2]}}
    assert main(project(tables=table)) == 2
    assert (
        "x_table1.yaml under preset 'demo': 17-way episodes of 'demo_temporal', whose split 'test' has 16 classes"
        in (capsys.readouterr().err)
    )


def test_a_key_that_stands_twice(project, capsys, tmp_path):
    line = project()
    (tmp_path / "mine.yaml").write_text("presets:\n  demo:\n    training: {lr: 0.1, lr: 0.2}\n")
    assert main([*line, "--configfile", str(tmp_path / "mine.yaml")]) == 2
    assert capsys.readouterr().err == (
        f"fsar: error: {tmp_path}/mine.yaml: not readable as YAML: "
        "line 3: the key 'lr' is in line 3 already; remove one of them\n"
    )


def test_a_missing_configuration(tmp_path, capsys):
    assert main(["check", "--config", str(tmp_path / "x.yaml")]) == 2
    assert capsys.readouterr().err == f"fsar: error: {tmp_path}/x.yaml: no such file\n"


def test_the_shipped_project_is_valid():
    code = (
        "import sys; from fsar_core.__main__ import main; status = main(['check']);"
        "sys.exit('torch was imported' if 'torch' in sys.modules else status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    names = [
        path.stem
        for kind in ("tables", "figures")
        for path in sorted((ROOT / "workflow" / kind).glob("*.yaml"))
    ]
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == names
    assert lines[-1].startswith("config.yaml, cards, tables and figures are valid; preset demo, ")
    # Tables that count, and a figure of actionness, which needs a store but no run.
    assert {"dmgal_table7: no run", "dmgal_table1: no run on demo_spatial, demo_temporal"} <= set(
        lines
    )
    assert "sgtm_actionness: no run on demo_partial, demo_spatial, demo_temporal" in lines
    assert "sgtm_fig2: 3 runs on demo_spatial" in lines


def test_files_are_laid_over_one_another_as_snakemake_does(project, capsys, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("datasets: {ssv2_small: demo_spatial, ucf101: demo_spatial}\n")
    words = project({"datasets": {"ssv2_small": "demo_temporal", "ucf101": "demo_spatial"}})
    assert main([*words, "--configfile", str(mine)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "x_table1: 4 runs on demo_spatial"
    assert lines[1].startswith(f"{tmp_path}/config.yaml with {mine}, cards, ")
