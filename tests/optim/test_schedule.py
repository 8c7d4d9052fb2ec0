"""What the law of schedules (A16) does not say: our numbers, our messages."""

import math

import pytest

from tinygrad_gpt.optim import cosine_schedule


def rates(steps, **plan):
    return [cosine_schedule(step, **plan) for step in steps]


def test_by_hand():
    # up by quarters, the peak at step 4, half a cosine over four steps, then the minimum
    want = [
        0.25,
        0.5,
        0.75,
        1.0,
        0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2,
        0.55,
        0.1 + 0.9 * (1 - math.sqrt(0.5)) / 2,
        0.1,
        0.1,
    ]
    assert rates(range(1, 10), peak_lr=1.0, total_steps=8, warmup_steps=3, min_lr=0.1) == pytest.approx(want, rel=1e-14)


def test_without_warm_up_the_first_step_is_the_peak():
    assert rates([1, 3, 5, 6], peak_lr=2.0, total_steps=5) == pytest.approx([2.0, 1.0, 0.0, 0.0], abs=1e-15)


def test_a_single_step_is_the_peak_and_then_it_is_over():
    assert rates([1, 2, 3], peak_lr=2.0, total_steps=1, min_lr=0.5) == [2.0, 0.5, 0.5]
    assert rates([1, 2, 3], peak_lr=2.0, total_steps=2, warmup_steps=1) == [1.0, 2.0, 0.0]


@pytest.mark.parametrize(
    ("step", "plan", "message"),
    [
        (0, {}, "step must be a whole number of at least 1; got 0"),
        (1, {"warmup_steps": 9}, "warmup_steps must be from 0 to below total_steps 9; got 9"),
        (1, {"warmup_steps": -1}, "warmup_steps must be a whole number of at least 0; got -1"),
        (1, {"min_lr": 2.0}, "min_lr must be from 0 to peak_lr 1.0; got 2.0"),
        (1, {"min_lr": -0.1}, "min_lr must be a finite number of at least 0; got -0.1"),
        (1, {"peak_lr": math.nan}, "peak_lr must be a finite number of at least 0; got nan"),
        (1, {"peak_lr": math.inf}, "peak_lr must be a finite number of at least 0; got inf"),
    ],
)
def test_bad_plans_are_named(step, plan, message):
    with pytest.raises(ValueError, match=message):
        cosine_schedule(step, **{"peak_lr": 1.0, "total_steps": 9} | plan)
