"""`fsar show`: one thing in words, whatever it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fsar_core.__main__ import main
from fsar_core.components import registry
from fsar_core.data.index import write_index
from fsar_core.documentation.things import tell
from fsar_core.evaluation.results import write
from tests.builders import toy_index
from tests.workflow.folders import SMOKE, study

ROOT = Path(__file__).resolve().parents[2]
TOY = [
    "--config",
    str(ROOT / "config.yaml"),
    "--workflow",
    str(ROOT / "workflow"),
    "--configfile",
    str(SMOKE),
]


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """said(name): the lines about it, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def show(name: str) -> list[str]:
        status = main(["show", name, *TOY])
        out, err = capsys.readouterr()
        assert (status, err) == (0, "")
        return [" ".join(line.split()) for line in out.splitlines()]

    return show


def done(run: str, accuracy: float) -> None:
    """A run's results in this folder, of a table of no queries."""
    import pandas as pd

    folder = Path("results/runs") / run
    folder.mkdir(parents=True)
    write(
        folder / "queries.csv.gz",
        folder / "summary.json",
        pd.DataFrame({"clip": []}),
        {"accuracy": accuracy, "ci95": 1.25},
    )


def test_a_table_half_way(said):
    cells = [
        c
        for c in study().experiments.cells("dmgal_table2")
        if c.row.method == "DMGAL-FT (OTAM)" and c.column.shot == 1
    ]
    (run,) = {cell.run.run_id for cell in cells}
    done(run, 61.04)
    Path("results/tables").mkdir()
    Path("results/tables/dmgal_table2.md").touch()
    lines = said("dmgal_table2")
    assert lines[0] == f"dmgal_table2: {study().table('dmgal_table2').title}"
    assert "measured on demo_temporal in place of ssv2_small, ssv2_full" in lines
    assert (
        "files results/tables/dmgal_table2.csv, .md, .tex, .html, .left_out.csv" in lines
        and "1 of 5 are there" in lines
    )
    assert "made by snakemake --cores 2 -- results/tables/dmgal_table2.csv" in lines
    at = lines.index("DMGAL-FT (OTAM): dmgal, otam; gain over OTAM")
    assert lines[at + 1] == f"demo_temporal, 1-shot: 61.0 ± 1.2 % ({run})"
    assert lines[at + 2].startswith(
        "demo_temporal, 3-shot: to be run (demo_temporal.demo_cnn.dmgal.otam.3shot."
    )
    (printed,) = [line for line in lines if line.startswith("only printed ")]
    assert "HyRSM" in printed and "DMGAL" not in printed


def test_tables_that_run_nothing(said):
    lines = said("dmgal_table7")
    assert "measured on no videos" in lines and any(
        line.startswith("rows C-MGA, ") for line in lines
    )
    assert "rows SSv2-Full, SSv2-Small, Kinetics, HMDB51, UCF101" in said("dmgal_table1")


@pytest.mark.parametrize(
    ("figure", "on", "runs"),
    [
        ("sgtm_fig2", "demo_spatial in place of kinetics100", 3),  # of results
        (
            "i2st_masks",
            "demo_temporal in place of ssv2_full; demo_spatial in place of kinetics100",
            2,
        ),  # looks into models
        ("dmgal_fig6", "demo_temporal in place of ssv2_small", 16),
        ("sgtm_actionness", "demo_partial in place of partial; ", 0),
    ],
)
def test_a_figure(said, figure, on, runs):
    lines = said(figure)
    assert any(line.startswith(f"measured on {on}") for line in lines), lines
    assert sum(": to be run (" in line for line in lines) == runs
    assert f"files results/figures/{figure}.png, .pdf, .csv, .html" in lines


def test_a_data_set_before_and_after_its_clips_were_opened(said):
    lines = said("demo_temporal")
    assert "stands behind ssv2_small, ssv2_full" in lines
    assert "train 24 classes, 192 clips" in lines
    assert "left out not known before the clips are opened: snakemake --cores 2 index" in lines
    index = toy_index()
    index.loc[3, "problem"] = "unreadable: no header"
    write_index(study().paths.index("demo_temporal"), index)
    assert any(
        line.startswith("left out 1 of ") and line.endswith("clips, its card allows 0.0%")
        for line in said("demo_temporal")
    )


def test_a_data_set_of_a_paper_that_another_stands_behind(said):
    lines = said("ucf101")
    assert "in its place demo_spatial, in this configuration" in lines
    assert any(
        line.startswith("clips not yet: data/ucf101/split.tsv: no such split list")
        for line in lines
    )
    lines = said("partial")  # of no card
    assert lines[0] == "partial: a data set of the papers; demo_partial stands behind it"


def test_components(said):
    lines = said("trx")
    assert lines[0].startswith("trx, a metric: TRX: negative distance")
    assert "out_dim 1152; 16 in the preset demo" in lines  # smoke.yaml's
    (used,) = [line for line in lines if line.startswith("used by")]
    assert "dmgal_table2" in used and "dmgal_fig9" in used and "i2st_table3" not in used
    assert any("Perrett" in line for line in lines)
    assert "used by setups of the preset demo: vit" in said("demo_vit")
    assert "used by the preset demo" in said("annotated")
    assert "used by not by this preset" in said("clipseg")


def test_every_name_of_the_list_has_something_to_say():
    whole = study()
    names = [name for kind in registry.KINDS for name in registry.names(kind)]
    for name in (*names, *whole.table_names, *whole.figure_names, *whole.config.datasets):
        assert len(tell(whole, name)) > 2, name


def test_a_run(said):
    run = study().experiments.points("sgtm_fig2")[0].run.run_id
    lines = said(run)
    assert lines[0] == f"{run}: to be run"
    assert (
        "shown in sgtm_fig2" in lines and "shown in sgtm_table4: Ours, kinetics100, 1-shot" in lines
    )
    assert "tested on demo_spatial, 5-way 1-shot, 40 episodes" in lines
    done(run, 50.0)
    assert said(run)[0] == f"{run}: 50.0 ± 1.2 %"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "dmgal_tabel2",
            "nothing is called 'dmgal_tabel2'; did you mean 'dmgal_table2'?; `fsar list` has all names",
        ),
        ("zzzzzz", "nothing is called 'zzzzzz'; `fsar list` has all names"),
    ],
)
def test_an_unknown_name_is_one_line(name, line, capsys):
    assert main(["show", name, *TOY]) == 2
    assert capsys.readouterr() == ("", f"fsar: error: {line}\n")


def test_without_torch():
    code = (
        "import sys; from fsar_core.__main__ import main; status = main(['show', 'dmgal_table2']);"
        "sys.exit('torch was imported' if 'torch' in sys.modules else status)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (ran.returncode, ran.stderr) == (0, "")
