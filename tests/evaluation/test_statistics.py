import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fsar_core.errors import FsarError
from fsar_core.evaluation import statistics


def queries(correct, classes=None, predicted=None, clips=None) -> pd.DataFrame:
    """One row a query; `correct` is [episode query]."""
    correct = np.array(correct)
    zeros = np.zeros(correct.size, int)
    return pd.DataFrame(
        {
            "episode": np.repeat(np.arange(len(correct)), correct.shape[1]),
            "clip": np.arange(correct.size) if clips is None else clips,
            "class": zeros if classes is None else classes,
            "predicted": zeros if predicted is None else predicted,
            "correct": correct.reshape(-1),
        }
    )


def test_episode_accuracy_by_hand():
    found = statistics.episode_accuracy(queries([[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]]))
    assert found.dtype == np.float64 and found.tolist() == [0.25, 1.0, 0.5]


def test_episode_accuracy_is_in_the_order_of_episodes():
    shuffled = queries([[1, 0], [1, 1], [0, 0]]).sample(frac=1, random_state=1)
    assert statistics.episode_accuracy(shuffled).tolist() == [0.5, 1.0, 0.0]


def test_mean_and_interval_by_hand():
    # mean 0.5; squared deviations 4 x 0.25 + 0 = 1; variance 1 / 4; standard error 0.5 / sqrt(5)
    found = statistics.estimate(np.array([0.0, 1.0, 0.5, 1.0, 0.0]))
    assert found.mean == 50.0 and found.episodes == 5
    assert found.ci95 == pytest.approx(100 * 2.7764451051978 * 0.5 / math.sqrt(5), rel=1e-10)


def test_quantiles_are_those_of_student():
    """From printed tables; for many episodes that of the normal distribution."""
    printed = {1: 12.706, 2: 4.303, 4: 2.776, 29: 2.045, 99: 1.984}
    assert {degrees: round(statistics.t95(degrees), 3) for degrees in printed} == printed
    assert statistics.t95(999) == pytest.approx(1.959964, rel=1.3e-3)
    normal = statistics.t95(10**9)
    assert 0.5 * (1 + math.erf(normal / math.sqrt(2))) == pytest.approx(0.975, abs=1e-9)


@pytest.mark.parametrize("count", [2, 3, 5, 10, 30, 300])
def test_intervals_of_few_episodes_cover_the_mean_too(count):
    """Values are normal, as Student's t has them. By 1.96 standard errors two would cover 70 % and five 88 %."""
    trials = np.random.default_rng(count).normal(0.6, 0.1, size=(4000, count))
    found = [statistics.estimate(trial) for trial in trials]
    covered = np.mean([abs(estimate.mean - 60) <= estimate.ci95 for estimate in found])
    assert covered == pytest.approx(0.95, abs=0.012)


def test_intervals_of_thirty_accuracies_cover_the_mean():
    """As many test episodes as a configuration must have, of five queries each."""
    trials = np.random.default_rng(7).binomial(5, 0.6, size=(4000, 30)) / 5
    found = [statistics.estimate(trial) for trial in trials]
    covered = np.mean([abs(estimate.mean - 60) <= estimate.ci95 for estimate in found])
    assert covered == pytest.approx(0.95, abs=0.012)


def test_statistics_are_read_without_scipy():
    code = "import sys, fsar_core.evaluation.statistics; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_interval_of_ten_thousand_binary_episodes():
    # 5 % half-width of a share of 1/2: 1.96 x sqrt(n / (n - 1) / 4 / n)
    found = statistics.estimate(np.tile([0.0, 1.0], 5000))
    assert found.mean == 50.0
    assert found.ci95 == pytest.approx(100 * 1.960201 * 0.5 / math.sqrt(9999), rel=1e-6)


def test_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(0)
    trials = random.binomial(5, 0.6, size=(2000, 200)) / 5
    found = [statistics.estimate(trial) for trial in trials]
    covered = np.mean([abs(estimate.mean - 60) <= estimate.ci95 for estimate in found])
    assert 0.935 < covered < 0.965


def test_equal_episodes_have_no_interval():
    assert statistics.estimate(np.full(4, 0.25)) == statistics.Estimate(25.0, 0.0, 4)


@pytest.mark.parametrize("count", [0, 1])
def test_one_episode_has_no_interval(count):
    with pytest.raises(
        FsarError, match=f"at least 2 episodes, found {count}; raise the number of test episodes"
    ):
        statistics.estimate(np.ones(count))


def test_paired_difference_by_hand():
    # by episode: 1 - 0.5, 0.5 - 0.5, 0.5 - 1, 1 - 0 -> mean 0.25, sum of squared deviations 1.25, variance 1.25 / 3
    method = queries([[1, 1], [1, 0], [0, 1], [1, 1]])
    plain = queries([[0, 1], [0, 1], [1, 1], [0, 0]])
    found = statistics.paired_difference(method, plain)
    assert found.mean == 25.0 and found.episodes == 4
    assert found.ci95 == pytest.approx(100 * 3.182446305284 * math.sqrt(1.25 / 3 / 4), rel=1e-10)
    back = statistics.paired_difference(plain, method)
    assert (back.mean, back.ci95) == (-25.0, found.ci95)


def test_pairing_removes_what_the_episodes_share():
    """Var(x - y) = Var x + Var y - 2 Cov(x, y); hard episodes are hard for both."""
    random = np.random.default_rng(1)
    hardness = random.uniform(0.1, 0.9, size=(500, 1))
    x, y = (random.uniform(size=(500, 10)) < hardness + shift for shift in (0.1, 0.0))
    paired = statistics.paired_difference(queries(x.astype(int)), queries(y.astype(int)))
    a, b = x.mean(1), y.mean(1)
    variance = a.var(ddof=1) + b.var(ddof=1) - 2 * np.cov(a, b)[0, 1]
    assert paired.mean == pytest.approx(100 * (a.mean() - b.mean()))
    assert paired.ci95 == pytest.approx(
        100 * statistics.t95(499) * math.sqrt(variance / 500), rel=1e-9
    )
    single = [statistics.estimate(values).ci95 for values in (a, b)]
    assert paired.ci95 < 0.8 * math.hypot(*single)


@pytest.mark.parametrize(
    "other",
    [
        queries([[1, 0], [1, 1]], clips=[0, 1, 2, 4]),
        queries([[1, 0], [1, 1]], classes=[0, 0, 0, 1]),
        queries([[1, 0], [1, 1], [0, 0]]),
        queries([[1, 0, 1, 1]]),
    ],
    ids=["clip", "class", "more episodes", "one episode"],
)
def test_other_episodes_are_not_paired(other):
    with pytest.raises(FsarError, match="not of the same test episodes"):
        statistics.paired_difference(queries([[1, 0], [1, 1]]), other)


def test_per_class_and_confusion_by_hand():
    table = queries(
        [[1, 0, 1], [0, 0, 1]], classes=[3, 1, 3, 1, 3, 0], predicted=[3, 3, 3, 0, 1, 0]
    )
    found = statistics.per_class(table, ("a", "b", "c", "d"))
    assert found == {"a": 100.0, "b": 0.0, "d": pytest.approx(200 / 3)}
    counts = statistics.confusion(table, 4)
    assert counts.dtype == np.int64
    # row: the query's class, column: what it was taken for
    assert counts.tolist() == [[1, 0, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 2]]
    assert counts.trace() == table["correct"].sum() and counts.sum() == len(table)


def test_gains_of_classes_by_hand():
    """Class 3 differs by 1, 0, 0, -1, 1 in five episodes of a query each; class 1 never; class 7 was asked for once."""
    classes = [3, 1, 3, 1, 3, 1, 3, 1, 3, 7]
    plain = queries([[0, 1], [1, 0], [0, 1], [1, 1], [0, 0]], classes)
    method = queries([[1, 1], [1, 0], [0, 1], [0, 1], [1, 1]], classes)
    found = statistics.class_gains(method, plain)
    assert found["class"].tolist() == [1, 3, 7] and found["queries"].tolist() == [4, 5, 1]
    assert found["gain"].tolist() == pytest.approx([0, 20, 100])
    # squared deviations from 0.2: 0.64 + 0.04 + 0.04 + 1.44 + 0.64 = 2.8; variance 2.8 / 4
    expected = 100 * 2.7764451051978 * math.sqrt(2.8 / 4 / 5)
    assert found["ci95"].tolist() == pytest.approx([0, expected, math.nan], nan_ok=True)


def test_queries_of_one_episode_are_one_cluster():
    """Two queries of a class in each of three episodes that always agree say no more than one: the interval of the means."""
    plain = queries([[0, 0], [0, 0], [1, 1]])
    method = queries([[1, 1], [0, 0], [1, 1]])
    found = statistics.class_gains(method, plain).iloc[0]
    alone = statistics.paired_difference(method, plain)
    assert found.queries == 6 and (found.gain, found.ci95) == pytest.approx(
        (alone.mean, alone.ci95)
    )


def test_gains_of_other_queries_are_refused():
    plain = queries([[0, 1], [1, 0]])
    with pytest.raises(FsarError, match="cannot be paired"):
        statistics.class_gains(plain, plain.assign(clip=plain["clip"] + 1))


def test_accuracies_of_classes_by_hand():
    """Class 3 is right in three of its five queries; the interval is that of five zeros and ones."""
    found = statistics.class_accuracies(
        queries([[1, 1], [1, 0], [0, 1], [0, 1], [1, 1]], [3, 1, 3, 1, 3, 1, 3, 1, 3, 7])
    )
    assert found["class"].tolist() == [1, 3, 7] and found["queries"].tolist() == [4, 5, 1]
    assert found["accuracy"].tolist() == pytest.approx([75, 60, 100])
    halves = [
        100 * 3.182446305284 * math.sqrt(0.75 / 3 / 4),
        100 * 2.7764451051978 * math.sqrt(1.2 / 4 / 5),
    ]
    assert found["ci95"].tolist() == pytest.approx([*halves, math.nan], nan_ok=True)
