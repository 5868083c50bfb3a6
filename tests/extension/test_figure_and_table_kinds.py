"""A fourth paper with a table and a figure, both of new kinds, by adding files only."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
import yaml

from tests.extension.project import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.timeout(1200)]

TABLE_KIND = '''
"""How the queries of a run were answered: right, and wrong by how little."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from fsar_core.evaluation.results import read_queries
from fsar_core.papers.kinds import TableInputs, TableKind
from fsar_core.papers.models import Curve
from fsar_core.papers.needs import CellNeed, Column, Experiment, TableNeeds
from fsar_core.rendering.tables import Block


class MarginRow(Curve):
    """A method."""

    compare_to: str | None = None


class MarginsTable(TableKind):
    """Kind margins: right queries, and wrong ones within a margin."""

    kind: Literal["margins"]
    dataset: str
    margin: float
    rows: list[MarginRow]

    def measured_on(self):
        return [self.dataset]

    def components(self):
        parts = []
        for row in self.rows:
            parts.append((f"row '{row.method}'", "heads", row.head))
            parts.append((f"row '{row.method}'", "matching", row.matching))
        return parts

    def needs(self):
        column = Column(1)
        cells = [
            CellNeed(row, column, Experiment.of_curve(row, self.dataset, 1)) for row in self.rows
        ]
        return TableNeeds(cells=tuple(cells))

    def make(self, inputs: TableInputs):
        records = []
        for (method, dataset, _), run in inputs.runs.items():
            queries = read_queries(run)
            close = (queries.correct == 0) & (queries.margin.abs() < self.margin)
            record = {"method": method, "dataset": dataset, "queries": len(queries)}
            records.append(record | {"right": queries.correct.sum(), "close": close.sum()})
        table = pd.DataFrame(records)
        body = [[str(value) for value in row] for row in table.itertuples(index=False)]
        return table, [Block("Measured here: answers.", list(table.columns), body)]
'''

FIGURE_KIND = '''
"""A bar for the accuracy of each method."""

from __future__ import annotations

from typing import ClassVar, Literal

import pandas as pd

from fsar_core.evaluation.results import read_summary
from fsar_core.papers.kinds import FigureInputs, FigureKind
from fsar_core.papers.models import Curve
from fsar_core.papers.needs import Experiment, FigureNeeds, PointNeed
from fsar_core.rendering.drawing import drawing


class BarsFigure(FigureKind):
    """Kind bars: accuracies of methods on one data set."""

    caption: ClassVar[str] = "A bar for the accuracy of each method."

    kind: Literal["bars"]
    dataset: str
    methods: list[Curve]

    def measured_on(self):
        return [self.dataset]

    def needs(self):
        points = [
            PointNeed(0, curve.method, 1, Experiment.of_curve(curve, self.dataset, 1))
            for curve in self.methods
        ]
        return FigureNeeds(points=tuple(points))

    def draw(self, inputs: FigureInputs):
        rows = [(one.method, read_summary(one.run)["accuracy"]) for one in inputs.results]
        table = pd.DataFrame(rows, columns=["method", "accuracy"])
        with drawing() as pyplot:
            canvas, axes = pyplot.subplots()
            axes.bar(table.method, table.accuracy)
        return canvas, table
'''

METHODS = [
    {"method": "OTAM", "head": {"name": "identity"}, "matching": {"name": "otam"}},
    {"method": "Bi-MHM", "head": {"name": "identity"}, "matching": {"name": "bimhm"}},
]
ABOUT = {"where": "nowhere", "dataset": "ssv2_full"}
TABLE = {"kind": "margins", "title": "Answers", **ABOUT, "margin": 0.5, "rows": METHODS}
FIGURE = {"kind": "bars", "title": "Accuracies", **ABOUT, "methods": METHODS}


@pytest.fixture
def project(tmp_path, smoke) -> Project:
    """A project with the additions, which starts from the stores and runs of the toy run."""
    project = Project.copy(tmp_path / "project", tmp_path / "work")
    shutil.copytree(smoke.path, project.folder, dirs_exist_ok=True)
    project.add("fsar_core/tables/margins.py", TABLE_KIND)
    project.add("fsar_core/figures/bars.py", FIGURE_KIND)
    project.add("workflow/tables/fourth_table1.yaml", yaml.safe_dump(TABLE, sort_keys=False))
    project.add("workflow/figures/fourth_fig1.yaml", yaml.safe_dump(FIGURE, sort_keys=False))
    return project


def test_a_fourth_paper_is_checked_planned_made_and_reported(project):
    said = project.check()
    assert "fourth_table1: 2 runs on demo_temporal" in said
    assert "fourth_fig1: 2 runs on demo_temporal" in said

    plan = project.snakemake("-n", "--", "fourth", "report_fourth")
    for rule in ("table", "figure", "page", "fourth", "report_fourth"):
        assert f"\n{rule} " in plan
    assert "fill_frames" not in plan

    project.snakemake("--", "fourth")
    runs = {}
    for path in project.folder.glob("results/runs/*/summary.json"):
        spec = (summary := json.loads(path.read_text()))["spec"]
        if spec["head"]["name"] == "identity" and spec["test"]["shot"] == 1:
            runs.setdefault((spec["matching"]["name"], summary["dataset"]), path.parent)
    folders = [runs[name, "demo_temporal"] for name in ("otam", "bimhm")]
    queries = [pd.read_csv(folder / "queries.csv.gz") for folder in folders]
    table = pd.read_csv(project.folder / "results/tables/fourth_table1.csv").set_index("method")
    for method, own in zip(("OTAM", "Bi-MHM"), queries):
        close = (own.correct == 0) & (own.margin.abs() < 0.5)
        numbers = table.loc[method, ["queries", "right", "close"]].tolist()
        assert numbers == [len(own), own.correct.sum(), close.sum()]
    figure = pd.read_csv(project.folder / "results/figures/fourth_fig1.csv").set_index("method")
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in folders]
    assert figure.accuracy.tolist() == [round(own["accuracy"], 4) for own in summaries]
    assert (project.folder / "results/figures/fourth_fig1.png").stat().st_size > 1000

    project.snakemake("--", "report_fourth")
    pages = {path.stem for path in project.folder.glob("results/report/fourth/*.html")}
    assert pages == {"data", "training", "classes", "effects", "times"}
    assert "Nothing to be done" in project.snakemake("--", "fourth", "report_fourth")


@pytest.mark.parametrize(
    ("path", "content", "told"),
    [
        ("workflow/tables/fourth_table2.yaml", {**TABLE, "margn": 1}, "did you mean 'margin'?"),
        ("workflow/figures/fourth_fig2.yaml", {**FIGURE, "kind": "bar"}, "did you mean 'bars'?"),
    ],
)
def test_mistakes_in_files_of_new_kinds_are_one_line(project, path, content, told):
    project.add(path, yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(AssertionError) as failure:
        project.check()
    line = str(failure.value).splitlines()[0]
    assert path.rsplit("/", 1)[1] in line and told in line
