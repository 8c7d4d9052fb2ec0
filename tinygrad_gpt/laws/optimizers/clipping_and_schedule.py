"""The laws of gradient clipping and of the learning-rate schedule."""

import math

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.assertions import require_same
from tinygrad_gpt.laws.law import Case, LawBroken, law
from tinygrad_gpt.laws.optimizers.cases import (
    exception_of,
    require_close,
)
from tinygrad_gpt.laws.optimizers.under_test import Arrays, OptimizerUnderTest
from tinygrad_gpt.laws.strategies import arrays, dyadic


@st.composite
def _gradient_sets(draw: st.DrawFn, sut: OptimizerUnderTest) -> Case:
    """One to three gradients of one dtype, small or near the limits of float32; a bound as a multiple of their norm."""
    dtype = draw(st.sampled_from(sut.dtypes))
    scale = draw(st.sampled_from([1.0, 1e25, 1e-25]))
    drawn = draw(st.lists(arrays((2, 2), dyadic(8)), min_size=1, max_size=3))
    return {
        "gradients": {f"g{i}": (scale * x).astype(dtype) for i, x in enumerate(drawn)},
        "share": draw(st.sampled_from([0.5, 0.01, 1.5, 100.0]) | st.floats(0.1, 10)),
        "spoil": draw(st.sampled_from([math.nan, math.inf])),
    }


@law(
    "A15",
    "clipping",
    area="optimizer",
    case=_gradient_sets,
    needs=("clip",),
    mutants=(
        "clips-each-tensor",
        "clips-each-entry",
        "norm-in-float32",
        "always-scales",
        "clips-nan",
        "clips-to-1",
        "clips-in-place",
    ),
)
def clipping(sut: OptimizerUnderTest, gradients: Arrays, share: float, spoil: float) -> None:
    """Clipping scales all gradients by one factor, so that their joint norm is at most the bound (1e-6). If the norm is
    below the bound, no bit changes. dtypes and the caller's arrays stay. The norm before clipping is returned, computed
    in float64. NaN and inf are refused.
    """
    assert sut.clip is not None
    norm = math.hypot(*(float(value) for grad in gradients.values() for value in grad.flat))
    bound = share * norm if norm else 1.0
    given = {name: grad.copy() for name, grad in gradients.items()}
    clipped, returned = sut.clip(dict(given), bound)
    require_close("the norm", returned, norm, 1e-6 + sut.rtol, norm)
    factor = min(1.0, bound / norm) if norm else 1.0
    for name, grad in gradients.items():
        if sut.gradients == "kept":
            require_same(f"the caller's {name} after clipping", given[name], grad, "gradients='kept'")
        got = np.asarray(clipped[name])
        if got.dtype != grad.dtype:
            raise LawBroken(f"{name}, clipped, of {got.dtype}", f"{grad.dtype}, the gradient's dtype")
        if share > 1.001:
            require_same(f"{name}, clipped to {share} times the norm", got, grad)
        want = grad.astype(np.float64) * factor
        require_close(f"{name}, clipped", got, want, 1e-6 + sut.rtol, abs(want) + 1e-40)
    spoilt = {name: grad.copy() for name, grad in gradients.items()}
    spoilt["g0"].flat[0] = spoil
    answers: list[tuple[Arrays, float]] = []
    if exception_of(lambda: answers.append(sut.clip(spoilt, bound))) is None:
        clipped, returned = answers[0]
        seen = f"a norm of {returned} and a first entry of {np.asarray(clipped['g0']).flat[0]}"
        raise LawBroken(f"{seen}, where a gradient holds {spoil}", "an error")


@st.composite
def _plans(draw: st.DrawFn, sut: OptimizerUnderTest) -> Case:
    """A schedule's settings: the warm-up ends before the last step."""
    total = draw(st.integers(1, 40))
    peak = draw(st.sampled_from([1.0, 1e-3, 6e-4]))
    return {
        "peak_lr": peak,
        "total_steps": total,
        "warmup_steps": draw(st.integers(0, total - 1)),
        "min_lr": peak * draw(st.sampled_from([0.0, 0.1, 1.0])),
    }


@law(
    "A16",
    "the schedule's shape",
    area="optimizer",
    case=_plans,
    needs=("schedule",),
    mutants=("warmup-from-0", "jump-after-warmup", "rises-again", "remembers-steps"),
)
def schedule_shape(sut: OptimizerUnderTest, peak_lr: float, total_steps: int, warmup_steps: int, min_lr: float) -> None:
    """The learning rate depends on the step alone. It starts above 0, rises to the peak, falls to the minimum without a
    jump, and stays there.
    """
    plan = {"peak_lr": peak_lr, "total_steps": total_steps, "warmup_steps": warmup_steps, "min_lr": min_lr}
    assert sut.schedule is not None
    steps = range(1, total_steps + 5)
    rates = np.array([sut.schedule(step, **plan) for step in steps])
    backwards = np.array([sut.schedule(step, **plan) for step in reversed(steps)])[::-1]
    require_same("called in reverse order", rates, backwards)
    warm, cool = rates[: warmup_steps + 1], rates[warmup_steps:]
    if not (rates[0] > 0 or warmup_steps == 0):
        raise LawBroken(f"a learning rate of {rates[0]} at step 1", "above 0: at 0 the step would do nothing")
    tolerance = 1e-12 + sut.rtol
    rounding = tolerance * peak_lr
    if (np.diff(warm) < 0).any() or (np.diff(cool) > rounding).any():
        raise LawBroken(f"rates of {rates}", f"rising for {warmup_steps} steps, then falling")
    if warmup_steps < total_steps - 1:  # if one step is left after the warm-up, the peak is also the end
        require_close("the highest rate", rates.max(), peak_lr, tolerance, peak_lr)
    elif not rates.max() <= peak_lr + rounding:
        raise LawBroken(f"a rate of {rates.max()}", f"at most peak_lr {peak_lr}")
    require_close("the rates after the last step", rates[total_steps:], np.full(4, min_lr), tolerance, peak_lr)
    if (cool < min_lr - rounding).any():
        raise LawBroken(f"rates of {cool}", f"at least min_lr {min_lr}")
    longest = (
        peak_lr / max(warmup_steps, 1),
        0.5 * math.pi * (peak_lr - min_lr) / max(total_steps - warmup_steps - 1, 1),
    )
    for part, limit, what in ((warm, longest[0], "warm-up"), (cool, longest[1], "decay")):
        jumps = abs(np.diff(part))
        if (jumps > limit + rounding).any() and len(part) > 2:
            raise LawBroken(f"a jump of {jumps.max():.3g} in the {what}", f"at most {limit:.3g} a step")


CLIPPING_AND_SCHEDULE_LAWS = (clipping, schedule_shape)
