"""Inside against outside of an action, groups of frames and shares of evidence: by hand, by loops and against the head's mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fsar_core.evaluation.actionness import groups, separation, shares
from fsar_core.layers.temporal_masking import TemporalMask


def test_separation_by_hand():
    """Inside 3 and 1, outside 2 and 0: 2 - 1, and three of four pairs. Then a tie. Then nothing outside, and nothing inside."""
    actionness = np.array([[3, 2, 1, 0], [1, 1, 5, 7], [1, 2, 3, 4], [1, 2, 3, 4]], np.float32)
    inside = np.array([[1, 0, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    difference, area = separation(actionness, inside)
    assert difference.tolist() == pytest.approx([1, 1 - 13 / 3, np.nan, np.nan], nan_ok=True)
    assert area.tolist() == pytest.approx([0.75, 0.5 / 3, np.nan, np.nan], nan_ok=True)


def test_the_area_is_that_of_the_library():
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    actionness, inside = random.integers(0, 5, (50, 8)), random.random((50, 8)) < 0.5
    _, area = separation(actionness, inside)
    for scores, labels, found in zip(actionness, inside, area):
        if labels.all() or not labels.any():
            assert np.isnan(found)
        else:
            assert found == pytest.approx(metrics.roc_auc_score(labels, scores))


def test_no_actionness_tells_nothing_apart():
    difference, area = separation(np.zeros((1, 4)), np.array([[True, False, False, True]]))
    assert (difference.tolist(), area.tolist()) == ([0.0], [0.5])


@pytest.mark.parametrize("salient", [1, 2, 4])
def test_groups_are_what_the_mask_hides(salient):
    scores = torch.randint(0, 4, (40, 8), generator=torch.Generator().manual_seed(0)).float()
    found = groups(scores.numpy(), salient)
    assert ((found == 0).sum(1) == salient).all() and ((found == 2).sum(1) == salient).all()
    if 2 * salient < 8:
        hidden = TemporalMask(8, 2 * salient, "saliency")(scores, scores)
        np.testing.assert_array_equal(found != 1, hidden)
    top = TemporalMask(8, salient, "top")(scores, scores)
    np.testing.assert_array_equal(found == 0, top)


def test_shares_by_hand():
    actionness = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]])
    evidence = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]])
    found = shares(evidence, actionness, 1)
    np.testing.assert_allclose(found[:2], [[0.1, 0.5, 0.4], [0.4, 0.5, 0.1]])
    assert np.isnan(found[2]).all()
