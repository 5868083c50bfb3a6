"""Run times: sums over Snakemake's benchmark files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fsar_core.report import times
from tests.rendering.test_html import Cells

RULES = Path(__file__).resolve().parents[2] / "workflow" / "rules"


def job(folder, rule, name, *lines):
    (folder / rule).mkdir(exist_ok=True)
    (folder / rule / f"{name}.tsv").write_text(
        "s\th:m:s\tmax_rss\tcpu_time\n" + "".join(f"{line}\n" for line in lines)
    )


def test_sums_by_rule(tmp_path):
    job(tmp_path, "train", "a", "10.0\t0:00:10\t500.0\t20.0")
    job(tmp_path, "train", "b", "30.0\t0:00:30\t700.0\t25.0")
    # Repeated: the last line counts. Too short to be measured: NA.
    job(tmp_path, "test", "a", "99.0\t0:01:39\t1.0\t1.0", "4.0\t0:00:04\tNA\tNA")
    (tmp_path / "empty").mkdir()
    first, second = times.times(tmp_path).itertuples(index=False)
    assert tuple(first) == ("train", 2, 40.0, 20.0, 30.0, 45.0, 700.0)
    assert tuple(second)[:6] == ("test", 1, 4.0, 4.0, 4.0, 0.0)


def test_rules_are_told_in_words(tmp_path):
    job(tmp_path, "train_head", "a", "10.0\t0:00:10\t500.0\t20.0")
    job(tmp_path, "mine", "a", "4.0\t0:00:04\t100.0\t2.0")
    rows = Cells(times.TimesPage(benchmarks=tmp_path).render("x")).rows
    assert rows[1][:5] == ["training heads", "train_head", "1", "10.0 s", "10.0 s"] and rows[2][
        :2
    ] == ["mine", "mine"]
    ours = set(
        re.findall(
            r'benchmark_of\("(\w+)', "".join(path.read_text() for path in RULES.glob("*.smk"))
        )
    )
    assert ours == set(times.RULES)


def test_nothing_was_run(tmp_path):
    assert times.times(tmp_path / "none").empty
    assert "Together 0.0 s" in times.TimesPage(benchmarks=tmp_path / "none").render("x")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (61, "1 min 01 s"),
        (3600, "1 h 00 min"),
        (8000, "2 h 13 min"),
        (float("nan"), "-"),
    ],
)
def test_times_for_people(seconds, text):
    assert times.clock(seconds) == text
