"""The laws of AdamW's arithmetic: the size and direction of a step.

Most are checked at eps = 0.1, lr = 0.1, weight decay 0.5: at eps = 1e-8 a misplaced eps is invisible, and at lr = 1e-3,
weight decay 0.01, decay at the wrong point of the update differs by 1e-8.
"""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.assertions import require_same
from tinygrad_gpt.laws.law import Array, LawBroken, cases, law
from tinygrad_gpt.laws.optimizers.cases import (
    NONZERO_VALUES,
    STEP,
    VALUES,
    adamw,
    declared_slack,
    new_optimizer,
    parameter_path,
    require_close,
    runs,
    settings,
    step_once,
)
from tinygrad_gpt.laws.optimizers.under_test import OptimizerUnderTest
from tinygrad_gpt.laws.strategies import arrays, normal, seeds


@law(
    "A01",
    "a constant gradient",
    area="optimizer",
    case=lambda sut: cases(
        p=arrays((2, 2), VALUES),
        g=arrays((2, 2), NONZERO_VALUES),
        steps=st.integers(1, 6),
        settings=settings(weight_decay=0.0),
    ),
    needs=STEP,
    mutants=("eps-scaled", "eps-in-the-root", "no-bias-correction", "steps-from-0", "climbs"),
    cites=("karpathy/nanochat#304", "aiqm/torchani#261", "pytorch/pytorch#22628"),
)
def constant_gradient(sut: OptimizerUnderTest, p: Array, g: Array, steps: int, settings: dict[str, Any]) -> None:
    """With a constant gradient g and no decay, every step is -lr g / (|g| + eps), also the first (1e-9)."""
    seen = parameter_path(sut, p, [g] * steps, **settings)
    stride = -settings["lr"] * g / (abs(g) + settings["eps"])
    want = np.stack([stride] * steps)
    require_close("step", np.diff(seen, axis=0), want, 1e-9, settings["lr"] + 1e-3, slack=declared_slack(sut, seen))


@law(
    "A02",
    "learning rate 0",
    area="optimizer",
    case=lambda sut: runs(sut, lr=0.0),
    needs=STEP,
    mutants=("decay-without-lr",),
    cites=("joennlae/tensorli#1",),
)
def learning_rate_zero(sut: OptimizerUnderTest, p: Array, grads: Array, settings: dict[str, Any]) -> None:
    """With learning rate 0 no parameter changes by one bit, not even by decay."""
    seen = parameter_path(sut, p, grads, **settings)
    require_close("p before the first step", seen[0], p, 0.0, slack=declared_slack(sut, p))
    require_close("p at a learning rate of 0", seen[-1], seen[0], 0.0)  # values, not bits: -0.0 - (-0.0) is 0.0


@law(
    "A03",
    "decay alone",
    area="optimizer",
    case=lambda sut: cases(
        p=arrays((2, 2), VALUES), steps=st.integers(1, 6), settings=settings(eps=st.sampled_from([0.1, 1e-8]))
    ),
    needs=STEP,
    mutants=("l2-in-the-gradient", "decay-without-lr"),
)
def decay_alone(sut: OptimizerUnderTest, p: Array, steps: int, settings: dict[str, Any]) -> None:
    """If the gradient is always 0, p after t steps is p (1 - lr decay)^t (1e-12)."""
    want = p * (1 - settings["lr"] * settings["weight_decay"]) ** steps
    seen = parameter_path(sut, p, [np.zeros_like(p)] * steps, **settings)
    require_close("p", seen[-1], want, 1e-12, 1 + abs(p), slack=declared_slack(sut, seen))


@law(
    "A04",
    "decay is decoupled",
    area="optimizer",
    case=lambda sut: runs(sut, lr=0.1, eps=0.1),
    needs=STEP,
    mutants=("l2-in-the-gradient", "decay-after-the-step", "decay-without-lr"),
    cites=(
        "nntrainer/nntrainer#3565",
        "huggingface/transformers#14539",
        "bitsandbytes-foundation/bitsandbytes#2010",
    ),
)
def decoupled(sut: OptimizerUnderTest, p: Array, grads: Array, settings: dict[str, Any]) -> None:
    """Decay subtracts lr * decay * p, with the p before the step, and does not enter the moments (1e-9)."""
    without = {**settings, "weight_decay": 0.0}
    plain, want = parameter_path(sut, p, grads, **without), [p]
    for stride in np.diff(plain, axis=0):
        want.append(want[-1] * (1 - settings["lr"] * settings["weight_decay"]) + stride)
    require_close(
        "p after each step",
        parameter_path(sut, p, grads, **settings),
        want,
        1e-9,
        slack=declared_slack(sut, want, plain),
    )
    if sut.moments is not None:
        ends = []
        for given in (settings, without):
            optimizer = new_optimizer(sut, {"w": p}, **given)
            for grad in grads:
                step_once(sut, optimizer, {"w": grad})
            ends.append([np.array(moment) for moment in sut.moments(optimizer)["w"]])
        for moment, plain, name in zip(*ends, "mv", strict=True):
            require_same(f"{name} with decay", moment, plain)


@law(
    "A05",
    "scale of the gradient",
    area="optimizer",
    case=lambda sut: cases(
        grads=st.integers(1, 5).flatmap(lambda n: arrays((n, 2, 2), NONZERO_VALUES)),
        power=st.integers(-20, 20),
        settings=settings(eps=0.0, weight_decay=0.0),
    ),
    needs=STEP,
    mutants=("eps-never-0", "gradient-clipped-inside"),
)
def scale_invariant(sut: OptimizerUnderTest, grads: Array, power: int, settings: dict[str, Any]) -> None:
    """With eps = 0, gradients times 2^n give the same bits, and negated gradients give the opposite steps."""
    zero = np.zeros((2, 2))
    plain = parameter_path(sut, zero, grads, **settings)
    require_same(f"gradients times 2^{power}", parameter_path(sut, zero, grads * 2.0**power, **settings), plain)
    require_same("gradients negated", 0.0 - parameter_path(sut, zero, -grads, **settings), plain)


def _farthest(t: int, lr: float, beta1: float, beta2: float) -> float:
    """The largest possible step t without decay: Cauchy-Schwarz on the sums m and v."""
    r = beta1**2 / beta2
    terms = t if r == 1 else (1 - r**t) / (1 - r)
    root = math.sqrt((1 - beta2**t) / (1 - beta2) * terms)
    return lr * (1 - beta1) / (1 - beta1**t) * root


@law(
    "A06",
    "the largest step",
    area="optimizer",
    case=lambda sut: runs(
        sut,
        values=NONZERO_VALUES,
        steps=30,
        weight_decay=0.0,
        betas=st.sampled_from([(0.9, 0.999), (0.9, 0.95), (0.9, 0.81), (0.5, 0.5)]),
        eps=0.0,
    ),
    needs=STEP,
    mutants=("v-uncorrected", "quoted-bound"),
    examples=30,
)
def longest_step(sut: OptimizerUnderTest, p: Array, grads: Array, settings: dict[str, Any]) -> None:
    """Without decay, step t is at most lr (1-b1)/(1-b1^t) sqrt((1-b2^t)/(1-b2) (1-r^t)/(1-r)) with r = b1^2/b2. A
    gradient that grows by b2/b1 each step attains this bound (1e-9).
    """
    lr, (beta1, beta2) = settings["lr"], settings["betas"]
    bounds = np.array([_farthest(t, lr, beta1, beta2) for t in range(1, len(grads) + 1)])
    seen = parameter_path(sut, p, grads, **settings)
    steps = abs(np.diff(seen, axis=0)).max(axis=(1, 2))
    if not (steps <= bounds + 1e-12 * abs(p).max() + 1e-9 * bounds + declared_slack(sut, seen)).all():
        raise LawBroken(f"steps of {steps}", f"at most {bounds}")
    growing = [np.full((1, 1), (beta2 / beta1) ** t) for t in range(len(grads))]
    grown = parameter_path(sut, np.zeros((1, 1)), growing, **settings)[:, 0, 0]
    require_close(
        "steps along the bound", -np.diff(grown), bounds, 1e-9, 1 + bounds.cumsum(), slack=declared_slack(sut, grown)
    )


@law(
    "A11",
    "the published recurrence",
    area="optimizer",
    case=lambda sut: cases(
        seed=seeds(), steps=st.integers(1, 50), settings=settings(eps=st.sampled_from([1e-8, 1e-3, 0.1]))
    ),
    needs=STEP,
    mutants=("eps-scaled", "decay-after-the-step", "no-bias-correction", "betas-swapped"),
)
def recurrence(sut: OptimizerUnderTest, seed: int, steps: int, settings: dict[str, Any]) -> None:
    """Up to 50 steps with random gradients equal algorithm 2 of arXiv:1711.05101 within 1e-12 in float64."""
    p, *grads = normal(seed, (steps + 1, 2, 3))
    seen, want, length = parameter_path(sut, p, grads, **settings), adamw(p, grads, **settings), settings["lr"] * steps
    require_close("p after each step", seen, want, 1e-12, 1 + length, slack=declared_slack(sut, want, length))


@law(
    "A12",
    "float32 stays float32",
    area="optimizer",
    case=lambda sut: runs(sut),
    needs=(*STEP, "float32"),
    mutants=("promotes", "replaces-arrays"),
)
def float32_stays(sut: OptimizerUnderTest, p: Array, grads: Array, settings: dict[str, Any]) -> None:
    """A float32 parameter stays float32 and close to the recurrence in float64. The array given to init is the one that
    changes, unless declared otherwise.
    """
    assert sut.init is not None
    assert sut.step is not None
    assert sut.parameters is not None
    single = p.astype(np.float32)
    optimizer = sut.init({"w": single}, **settings)
    for grad in grads:
        sut.step(optimizer, {"w": grad.astype(np.float32)})
    end = np.asarray(sut.parameters(optimizer)["w"])
    if end.dtype != np.float32:
        raise LawBroken(f"p of {end.dtype}", "float32, as given to init")
    if sut.in_place and not np.array_equal(single, end):
        raise LawBroken(f"the array given to init holds {single}", f"{end}", "in_place=True")
    rounded = [grad.astype(np.float32).astype(np.float64) for grad in grads]
    want = adamw(p.astype(np.float32).astype(np.float64), rounded, **settings)[-1]
    # With a small eps, m / sqrt(v) is only as exact as m, in which terms cancel.
    tolerance = 1e-2 if settings["eps"] < 1e-3 else 1e-4
    require_close("p in float32", end, want, tolerance, settings["lr"] * len(grads) + abs(p).max() + 1e-3)


@law(
    "A13",
    "it minimises",
    area="optimizer",
    case=lambda sut: cases(
        p=arrays((1, 3), st.floats(-2, 2)),
        optimum=arrays((1, 3), st.floats(-2, 2)),
        curvature=arrays((1, 3), st.sampled_from([0.5, 1.0, 10.0])),
    ),
    needs=STEP,
    mutants=("climbs", "ignores-new-gradients"),
    examples=3,
)
def minimises(sut: OptimizerUnderTest, p: Array, optimum: Array, curvature: Array) -> None:
    """On a quadratic function, p comes within 1e-3 of the minimum in 1,000 steps."""
    optimizer = new_optimizer(sut, {"w": p}, lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    for _ in range(1000):
        p = step_once(sut, optimizer, {"w": curvature * (p - optimum)})["w"]
    require_close("p", p, optimum, 1e-3)


ADAMW_LAWS = (
    constant_gradient,
    learning_rate_zero,
    decay_alone,
    decoupled,
    scale_invariant,
    longest_step,
    recurrence,
    float32_stays,
    minimises,
)
