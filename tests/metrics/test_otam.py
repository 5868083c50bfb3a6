import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fsar_core.errors import FsarError
from fsar_core.metrics.otam import OTAM, alignment_cost
from tests.oracles import matching as oracle

matrices = st.integers(1, 6).flatmap(
    lambda frames: st.lists(
        st.lists(st.floats(0, 2, width=32), min_size=frames, max_size=frames),
        min_size=frames,
        max_size=frames,
    )
)


def alignments(frames: int) -> int:
    """How many weighted paths lead through the table: e^(-cost) of an all-zero matrix at λ = 1."""
    return round(constant_paths(1.0, frames))


def constant_paths(x: float, frames: int) -> float:
    """Σ over all paths of x^(cells visited): exp(-cost/λ) of a matrix of one constant c, with x = exp(-c/λ).

    Row l leaves column 1 with first(l) = x (2 + first(l-1)) = x^(l+1) + 2 (x + ... + x^l). Each of the other T-1
    columns multiplies by x and goes down one row or none; column T+1 collects every row twice, the last once.
    """
    first = [x ** (row + 1) + 2 * sum(x**i for i in range(1, row + 1)) for row in range(frames)]
    last = [
        x ** (frames - 1)
        * sum(math.comb(frames - 1, down) * first[row - down] for down in range(row + 1))
        for row in range(frames)
    ]
    return 2 * sum(last) - last[-1]


@settings(max_examples=60, deadline=None)
@given(matrices, st.sampled_from([0.1, 0.5]))
def test_log_space_equals_the_cell_by_cell_table(matrix, lambda_):
    found = alignment_cost(torch.tensor(matrix), lambda_).item()
    assert found == pytest.approx(oracle.otam_cost(matrix, lambda_), abs=2e-5)


@settings(max_examples=30, deadline=None)
@given(matrices, st.sampled_from([0.01, 0.1, 0.5]))
def test_soft_cost_is_below_the_hard_one_by_at_most_the_entropy_of_all_paths(matrix, lambda_):
    soft = alignment_cost(torch.tensor(matrix, dtype=torch.float64), lambda_).item()
    hard = oracle.otam_cost(matrix, 0)
    assert -1e-9 <= hard - soft <= lambda_ * math.log(alignments(len(matrix))) + 1e-9


def test_small_lambda_is_the_hard_minimum():
    matrix = torch.rand(8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hard = oracle.otam_cost(matrix.tolist(), 0)
    assert alignment_cost(matrix, 1e-5).item() == pytest.approx(hard, abs=1e-4)
    assert alignment_cost(matrix, 0.5).item() < hard - 0.1


@pytest.mark.parametrize("frames", [1, 2, 3, 8])
@pytest.mark.parametrize("constant", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("lambda_", [0.1, 0.5])
def test_constant_matrix_has_a_closed_form(frames, constant, lambda_):
    found = alignment_cost(torch.full((frames, frames), constant), lambda_).item()
    expected = -lambda_ * math.log(constant_paths(math.exp(-constant / lambda_), frames))
    assert found == pytest.approx(expected, abs=1e-5)


def test_two_frames_by_hand():
    a, b, c, d = 0.2, 0.9, 0.4, 0.1
    e = [math.exp(-x) for x in (a, b, c, d)]
    top = e[0] * e[1]
    low = e[3] * (e[0] + e[2] * (2 + e[0]))
    found = alignment_cost(torch.tensor([[a, b], [c, d]]), 1.0).item()
    assert found == pytest.approx(-math.log(2 * top + low), abs=1e-6)


@pytest.mark.parametrize("size", [2.0, 50.0, 1000.0])
def test_large_distances_do_not_underflow(size):
    matrix = size * (0.5 + torch.rand(8, 8, generator=torch.Generator().manual_seed(1)))
    found = alignment_cost(matrix, 0.1)
    assert found.item() == pytest.approx(oracle.otam_cost(matrix.tolist(), 0.1), rel=1e-5)
    naive = -0.1 * torch.log(torch.exp(-matrix.sum(dim=1) / 0.1).sum())
    assert naive.isinf()  # what the test is about: exp first, then log, in float32


def test_gradients_are_path_weights():
    matrix = torch.rand(
        5, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64, requires_grad=True
    )
    assert torch.autograd.gradcheck(lambda d: alignment_cost(d, 0.5), matrix)
    far = torch.full((4, 4), 500.0, requires_grad=True)
    alignment_cost(far, 0.1).backward()
    # Middle columns are visited once by every path, so their path weights sum to 1.
    torch.testing.assert_close(far.grad[:, 1:].sum(dim=0), torch.ones(3), atol=1e-3, rtol=0)


@oracle.reads_published
@pytest.mark.parametrize("shot", [1, 5])
@pytest.mark.parametrize("lambda_", [0.1, 0.5])
def test_published_logits(shot, lambda_):
    numbers = oracle.published(shot)
    found = OTAM(lambda_=lambda_)(numbers["support"], numbers["query"])[0]
    torch.testing.assert_close(found, numbers[f"otam_logits_lambda{lambda_}"], atol=1e-4, rtol=0)


@oracle.reads_published
@pytest.mark.parametrize("shot", [1, 5])
def test_published_logits_of_prototypes(shot):
    numbers = oracle.published(shot)
    found = OTAM(lambda_=0.5, shots="prototype")(numbers["support"], numbers["query"])[0]
    torch.testing.assert_close(found, numbers["otam_logits_prototype_lambda0.5"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("shots", ["distance", "prototype"])
def test_oracle(shots):
    generator = torch.Generator().manual_seed(3)
    support, query = (
        torch.rand(1, 3, 2, 5, 4, generator=generator),
        torch.rand(1, 4, 5, 4, generator=generator),
    )
    expected = oracle.otam_logits(support[0].tolist(), query[0].tolist(), 0.1, eps=0.2, shots=shots)
    found = OTAM(lambda_=0.1, cosine_eps=0.2, shots=shots)(support, query)[0]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_order_matters_and_the_two_directions_are_symmetric():
    steps = torch.eye(6)
    classes = torch.stack([steps, steps.flip(0)])
    forward, backward = OTAM(lambda_=0.1)(classes[None, :, None], steps[None, None])[0, 0]
    assert forward > backward + 2
    generator = torch.Generator().manual_seed(4)
    a, b = torch.rand(1, 3, 4, 5, generator=generator), torch.rand(1, 2, 4, 5, generator=generator)
    forth, back = OTAM()(a[:, :, None], b), OTAM()(b[:, :, None], a)
    torch.testing.assert_close(forth, back.mT)


def test_autocast_changes_nothing():
    generator = torch.Generator().manual_seed(5)
    support, query = (
        torch.rand(1, 2, 1, 4, 64, generator=generator),
        torch.rand(1, 2, 4, 64, generator=generator),
    )
    expected = OTAM(lambda_=0.1)(support, query)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = OTAM(lambda_=0.1)(support, query)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lambda_": 0}, "otam: lambda_=0 is not valid; valid: numbers above 0"),
        ({"lambda_": -0.1}, "lambda_"),
        ({"cosine_eps": 0.0}, "cosine_eps"),
        ({"shots": "mean"}, "otam: shots='mean' is not valid; valid: 'distance', 'prototype'"),
    ],
)
def test_bad_parameters_name_the_valid_ones(params, message):
    with pytest.raises(FsarError, match=message):
        OTAM(**params)
