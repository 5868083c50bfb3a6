"""Sums over work, computed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsar_core.maintenance.cost import Cost, by_rule, size, time
from fsar_core.maintenance.throughputs import Throughputs
from tests.maintenance.toys import Toy, toy

SPEEDS = Throughputs(
    source="s",
    clips={"fill_features": 2.0, "clip_index": 100.0},
    start=6,
    gpu=4,
    gpu_source="g",
    ratios={"features": 2.0},
)


def store(folder: Path, jobs: int = 4) -> Toy:
    parts = [("plan_features", folder / "plan.json"), ("seal_features", folder / "manifest.json")]
    parts += [("fill_features", folder / "receipts" / f"{job}.json") for job in range(jobs)]
    volume = ("features", 8e9)
    return toy(folder / "manifest.json", "fill_features.x", parts, 7200.0, volume, gpu=True)


def test_a_store(tmp_path):
    """4 jobs of 1,800 clips at 2 a second: 4 x 900 s, and 6 s a job to start; 8 GB halved."""
    costs = by_rule([store(tmp_path)], SPEEDS)
    assert costs["fill_features"].jobs == 4
    assert costs["fill_features"].bytes == 4e9
    assert costs["fill_features"].core_hours == pytest.approx((3600 + 24) / 3600)
    # A GPU is 4 times as fast as a core once a job has started.
    assert costs["fill_features"].gpu_hours == pytest.approx((3600 / 4 + 24) / 3600)
    assert costs["fill_features"].other_core_hours == 0
    # Planning and sealing use no GPU.
    assert costs["plan_features"] == costs["seal_features"] == Cost(1, 0.0, 6 / 3600, 0.0, 6 / 3600)


def test_of_a_store_the_rest_counts(tmp_path):
    work = store(tmp_path)
    for name in ("plan.json", "receipts/0.json", "receipts/2.json", "receipts/3.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    costs = by_rule([work], SPEEDS)
    assert set(costs) == {"fill_features", "seal_features"}
    assert costs["fill_features"].jobs == 1
    assert costs["fill_features"].bytes == 1e9
    assert costs["fill_features"].core_hours == pytest.approx(906 / 3600)
    assert by_rule([work], SPEEDS, done=True) == by_rule([store(tmp_path / "elsewhere")], SPEEDS)


def test_rules_are_added_up(tmp_path):
    index = [toy(tmp_path / n, "clip_index", clips=1400.0) for n in "ab"]
    (own,) = by_rule(index, SPEEDS).values()
    assert own == Cost(2, 0.0, pytest.approx(40 / 3600), 0.0, pytest.approx(40 / 3600))
    assert Cost(1, 2.0, 3.0, 4.0, 5.0) + own == Cost(
        3, 2.0, 3 + own.core_hours, 4.0, 5 + own.other_core_hours
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0.0 kB"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (3e9, "3.0 GB"), (4.2e12, "4.2 TB")],
)
def test_bytes_for_people(count, text):
    assert size(count) == text


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (0, "less than 1 min"),
        (1 / 50, "1 min"),
        (0.5, "30 min"),
        (1, "1.0 h"),
        (99.94, "99.9 h"),
        (51234.5, "51,234 h"),
    ],
)
def test_hours_for_people(hours, text):
    assert time(hours) == text
