"""Training curves: what is drawn and told is what the histories hold."""

from __future__ import annotations

import pandas as pd
import pytest

from fsar_core.errors import FsarError
from fsar_core.report import training
from fsar_core.report._runs import ModelOfTable

HEAD = "step,episodes,loss,val_accuracy,lr,seconds\n"
MODELS = [ModelOfTable(model=m, dataset="demo", shot=1, method=m.upper()) for m in ("a", "b")]


@pytest.fixture
def folder(tmp_path):
    texts = {
        "a": "5,10,1.5,40.0,0.1,2.0\n10,20,0.5,60.0,0.1,4.0\n15,30,0.4,60.0,0.1,7.5\n",
        "b": "0,0,,33.0,0.0,0.0\n",
    }
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "history.csv").write_text(HEAD + text)
    return tmp_path


def test_the_first_of_equal_validations_is_the_best(folder):
    first = training.summary(training.histories(MODELS, folder)).iloc[0]
    assert (first.episodes, first.best_episodes, first.best_accuracy) == (30, 20, 60.0)
    assert (first.last_loss, first.seconds) == (0.4, 7.5)


def test_the_history_of_another_model_is_refused(folder):
    table = pd.read_csv(folder / "a" / "history.csv")
    table.assign(model="a").to_csv(folder / "a" / "history.csv", index=False)
    assert training.histories(MODELS, folder).model.tolist() == ["a", "a", "a", "b"]
    table.assign(model="b").to_csv(folder / "a" / "history.csv", index=False)
    with pytest.raises(
        FsarError,
        match=r"a/history\.csv: the history of b, expected that of a; make it again with `",
    ):
        training.histories(MODELS, folder)


def test_what_is_drawn(folder):
    left, right = training.draw(training.histories(MODELS[:1], folder)).axes
    assert left.lines[0].get_xydata().tolist() == [[10, 1.5], [20, 0.5], [30, 0.4]]
    assert right.lines[0].get_ydata().tolist() == [40, 60, 60]
    assert right.lines[0].get_label() == "A"


def page_of(models, folder) -> str:
    return training.TrainingPage(models=models, models_folder=folder).render("x")


def test_the_page(folder):
    page = page_of(MODELS, folder)
    assert "<h2>demo, 1-shot</h2>" in page
    assert (
        "<td>A</td><td>demo</td><td>1</td><td>30</td><td>20</td><td>60.0</td><td>0.400</td><td>8</td>"
        in page
    )
    assert "1 more models have nothing to learn" in page
    assert "Nothing in these tables has anything to learn." in page_of(MODELS[1:], folder)
    assert "Nothing in these tables" in page_of([], folder)
    assert isinstance(training.histories([], folder), pd.DataFrame)
