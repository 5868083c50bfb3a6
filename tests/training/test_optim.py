import math

import pytest
import torch
from pydantic import ValidationError

from fsar_core.training import optim
from tests.training.toys import training_spec


def rates(**changes) -> list[float]:
    spec = training_spec(**changes)
    return [optim.rate(spec, step) for step in range(optim.steps(spec))]


@pytest.mark.parametrize(
    ("episodes", "batch", "accumulate", "steps"),
    [(24, 2, 1, 12), (24, 2, 4, 3), (25, 4, 2, 3), (7, 7, 1, 1)],
)
def test_steps(episodes, batch, accumulate, steps):
    assert (
        optim.steps(training_spec(episodes=episodes, batch=batch, accumulate=accumulate)) == steps
    )


def test_too_few_episodes_for_a_step():
    with pytest.raises(
        ValidationError,
        match=r"7 episodes do not fill one step of batch 4 x accumulate 2; raise `episodes`",
    ):
        training_spec(episodes=7, batch=4, accumulate=2)


def test_constant():
    assert rates(lr=0.5, episodes=8) == [0.5] * 4


def test_warm_up_is_linear_from_a_tenth():
    found = rates(lr=1.0, warmup=3, episodes=12)
    assert found == pytest.approx([0.1, 0.4, 0.7, 1.0, 1.0, 1.0])


def test_cosine():
    found = rates(lr=2.0, schedule="cosine", episodes=8)
    assert found == pytest.approx([2.0, 1 + math.sqrt(0.5), 1.0, 1 - math.sqrt(0.5)])


def test_cosine_begins_after_the_warm_up_and_ends_near_zero():
    found = rates(lr=1.0, schedule="cosine", warmup=2, episodes=204)
    assert found[:3] == pytest.approx([0.1, 0.55, 1.0])
    assert found[52] == pytest.approx(0.5)
    assert found[101] == pytest.approx(0.5 * (1 - math.cos(math.pi / 100)))
    assert found[101] < 3e-4 and found[2:] == sorted(found[2:], reverse=True)


def test_step_milestones_are_fractions_of_the_training():
    found = rates(lr=1.0, schedule="step", milestones=(0.4, 0.8), episodes=20)
    assert found == pytest.approx([1.0] * 4 + [0.1] * 4 + [0.01] * 2)


def test_factors_and_the_first_rate_of_the_warm_up_as_a_configuration_says_them():
    found = rates(lr=1.0, schedule="step", milestones=(0.4, 0.8), factors=(0.5, 0.1), episodes=20)
    assert found == pytest.approx([1.0] * 4 + [0.5] * 4 + [0.1] * 2)
    assert rates(lr=1.0, warmup=4, warmup_lr=0.2, episodes=12) == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    )


def test_milestones_and_factors_that_contradict_each_other():
    with pytest.raises(ValidationError, match="2 milestones need as many factors, found 1"):
        training_spec(milestones=(0.4, 0.8), factors=(0.1,))
    with pytest.raises(ValidationError, match=r"milestones \[0.8, 0.4\] must rise"):
        training_spec(milestones=(0.8, 0.4))


def test_step_after_a_warm_up_that_ends_behind_the_first_milestone():
    found = rates(lr=1.0, schedule="step", milestones=(0.2,), warmup=4, episodes=12)
    assert found == pytest.approx([0.1, 0.325, 0.55, 0.775, 0.1, 0.1])


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)],
)
def test_optimizers(name, kind):
    parameter = torch.nn.Parameter(torch.ones(2))
    made = optim.optimizer(training_spec(optimizer=name, lr=0.3, weight_decay=0.25), [parameter])
    assert type(made) is kind
    assert made.defaults["lr"] == 0.3 and made.defaults["weight_decay"] == 0.25
    assert made.param_groups[0]["params"] == [parameter]


def test_first_updates_by_hand():
    """SGD: w - lr (g + decay w). Adam: a unit step of lr. AdamW: w (1 - lr decay) and then a unit step."""
    found = {}
    for name in optim.OPTIMIZERS:
        parameter = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
        made = optim.optimizer(training_spec(optimizer=name, lr=0.1, weight_decay=0.5), [parameter])
        parameter.grad = torch.tensor([3.0], dtype=torch.float64)
        made.step()
        found[name] = parameter.item()
    assert found["sgd"] == pytest.approx(2 - 0.1 * (3 + 0.5 * 2))
    assert found["adam"] == pytest.approx(1.9, abs=1e-6)
    assert found["adamw"] == pytest.approx(2 * (1 - 0.05) - 0.1, abs=1e-6)
