"""Figures: the points are the runs' results, what is drawn is the points, and the files are the same every time."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from PIL import Image

from fsar_core.__main__ import main
from fsar_core.config import validate
from fsar_core.errors import FsarError
from fsar_core.figures import curves
from fsar_core.papers.kinds import Result

OTAM = {"head": {"name": "identity"}, "matching": {"name": "otam"}}
DMGAL = {"head": {"name": "dmgal"}, "matching": {"name": "otam"}}
PANELS = [
    {
        "title": "Frames",
        "dataset": "ssv2_small",
        "shots": [1, 5],
        "label": "frames of a clip",
        "sets": ["frames"],
        "values": [4, 8],
        "curves": [{"method": "OTAM", **OTAM}, {"method": "DMGAL", **DMGAL}],
    },
    {
        "title": "Compression",
        "dataset": "ssv2_small",
        "shots": [1],
        "label": "r1",
        "sets": ["r1"],
        "values": [2, 4, 8],
        "curves": [{"method": "DMGAL", **DMGAL}],
    },
]
RAW = {"title": "Fig. 1: a toy", "where": "nowhere", "panels": PANELS}


@pytest.fixture
def spec(tmp_path):
    """JSON for `fsar figure`; the accuracy of a point is 40 + 2 x its value + its shot, of DMGAL 5 more."""
    points = []
    for number, panel in enumerate(PANELS):
        for curve in panel["curves"]:
            for shot in panel["shots"]:
                for value in panel["values"]:
                    run = f"{number}-{curve['method']}-{shot}-{value}"
                    accuracy = 40 + 2 * value + shot + 5 * (curve["method"] == "DMGAL")
                    (tmp_path / "runs" / run).mkdir(parents=True)
                    summary = {
                        "accuracy": accuracy,
                        "ci95": 1.5,
                        "episodes": 1000,
                        "dataset": "toy",
                    }
                    (tmp_path / "runs" / run / "summary.json").write_text(json.dumps(summary))
                    points.append([number, curve["method"], shot, value, run])
    figure = validate(curves.CurvesFigure, RAW, "toy").model_dump(mode="json")
    return json.dumps({"figure": figure, "way": 5, "points": points})


def draw(spec, tmp_path, name="a") -> int:
    words = [
        "--name",
        "toy",
        "--spec",
        spec,
        "--runs",
        str(tmp_path / "runs"),
        "--out",
        str(tmp_path / name / "fig"),
    ]
    return main(["figure", *words])


def test_the_files(spec, tmp_path):
    assert draw(spec, tmp_path) == 0 and draw(spec, tmp_path, "b") == 0
    table = pd.read_csv(tmp_path / "a" / "fig.csv")
    assert list(table) == [
        "panel",
        "dataset",
        "method",
        "shot",
        "x",
        "accuracy",
        "ci95",
        "episodes",
        "run",
    ]
    assert len(table) == 2 * 2 * 2 + 3 and set(table.dataset) == {"toy"}
    found = table[(table.panel == "Frames") & (table.method == "DMGAL") & (table.shot == 5)]
    assert (
        found.x.tolist() == [4, 8]
        and found.accuracy.tolist() == [58, 66]
        and found.ci95.tolist() == [1.5, 1.5]
    )
    with Image.open(tmp_path / "a" / "fig.png") as picture:
        assert (
            picture.width > 1000
            and len(set(picture.convert("L").resize((64, 64)).get_flattened_data())) > 10
        )
    assert (tmp_path / "a" / "fig.pdf").read_bytes().startswith(b"%PDF")
    page = (tmp_path / "a" / "fig.html").read_text()
    assert "<h1>Fig. 1: a toy</h1>" in page and "(11 rows)" in page and "<td>DMGAL</td>" in page
    for ending in ("csv", "png", "pdf", "html"):
        assert (tmp_path / "a" / f"fig.{ending}").read_bytes() == (
            tmp_path / "b" / f"fig.{ending}"
        ).read_bytes()


def test_what_is_drawn(spec, tmp_path):
    plan = json.loads(spec)
    figure = validate(curves.CurvesFigure, plan["figure"], "toy")
    points = [Result(*place, run=tmp_path / "runs" / run) for *place, run in plan["points"]]
    canvas = curves.draw_curves(figure, curves.curves(figure, points), way=5)
    frames, compression = canvas.axes
    assert (frames.get_xlabel(), frames.get_ylabel()) == ("frames of a clip", "5-way accuracy (%)")
    *lines, chance = frames.lines
    assert [line.get_ydata().tolist() for line in lines] == [[49, 57], [53, 61], [54, 62], [58, 66]]
    assert set(chance.get_ydata()) == {20}
    labels = [text.get_text() for text in frames.get_legend().texts]
    assert labels == [
        "DMGAL, 5-shot",
        "DMGAL, 1-shot",
        "OTAM, 5-shot",
        "OTAM, 1-shot",
    ]  # as the lines end, 66, 62, 61, 57
    colours = [line.get_color() for line in frames.get_legend().legend_handles]
    assert colours == [line.get_color() for line in reversed(lines)]
    low, high = frames.collections[0].get_paths()[0].get_extents().intervaly
    assert (low, high) == (47.5, 58.5)  # the band of 49 to 57 at ± 1.5
    assert compression.get_xscale() == "log" and compression.get_xticks().tolist() == [2, 4, 8]
    assert "measured on toy; bands: 95 % interval over 1,000 episodes" in canvas.get_suptitle()


def test_the_scale_of_an_axis_may_be_chosen(spec, tmp_path):
    plan = json.loads(spec)
    plan["figure"]["panels"][0]["scale"], plan["figure"]["panels"][1]["scale"] = "log", "linear"
    figure = validate(curves.CurvesFigure, plan["figure"], "toy")
    points = [Result(*place, run=tmp_path / "runs" / run) for *place, run in plan["points"]]
    frames, compression = curves.draw_curves(figure, curves.curves(figure, points), way=5).axes
    assert (frames.get_xscale(), compression.get_xscale()) == ("log", "linear")
    assert compression.get_xticks().tolist() == [2, 4, 8]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"values": [4]}, "values"),
        ({"values": [8, 4]}, "panel 'Frames': values [8, 4] must rise"),
        ({"sets": []}, "sets"),
        ({"scale": "square"}, "scale"),
        (
            {"sets": ["masked"], "values": [0, 2]},
            "panel 'Frames': 0 has no place on a logarithmic axis; `scale: linear`",
        ),
        ({"curves": [PANELS[0]["curves"][0]] * 2}, "panel 'Frames' has two curves of one name"),
        ({"lable": "x"}, "unknown key 'panels.0.lable'; did you mean 'label'?"),
    ],
)
def test_mistakes(changes, words):
    with pytest.raises(FsarError) as error:
        validate(curves.CurvesFigure, RAW | {"panels": [PANELS[0] | changes]}, "toy.yaml")
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_run_that_is_not_done(spec, tmp_path, capsys):
    run = json.loads(spec)["points"][0][-1]
    (tmp_path / "runs" / run / "summary.json").unlink()
    assert draw(spec, tmp_path) == 2
    assert f"{run}/summary.json: missing; run snakemake to test this run" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
