"""The laws of AdamW's numbers: what a step is.

Most are checked at eps = 0.1, lr = 0.1, weight decay 0.5: at eps = 1e-8 a misplaced eps is invisible, and at lr = 1e-3,
weight decay 0.01 decay in the wrong place differs by 1e-8.
"""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.assertions import require_same
from tinygrad_gpt.laws.law import Array, LawBroken, cases, law
from tinygrad_gpt.laws.optimizers.cases import (
    STEEP,
    STEP,
    VALUES,
    adamw,
    new_optimizer,
    path_of_matrix,
    require_near,
    runs,
    settings,
    slack,
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
        g=arrays((2, 2), STEEP),
        steps=st.integers(1, 6),
        settings=settings(weight_decay=0.0),
    ),
    needs=STEP,
    mutants=("eps-scaled", "eps-in-the-root", "no-bias-correction", "steps-from-0", "climbs"),
    cites=("karpathy/nanochat#304", "aiqm/torchani#261", "pytorch/pytorch#22628"),
)
def constant_gradient(sut: OptimizerUnderTest, p: Array, g: Array, steps: int, settings: dict[str, Any]) -> None:
    """Under a constant gradient g, without decay, every step is -lr g / (|g| + eps), from the first on (1e-9)."""
    seen = path_of_matrix(sut, p, [g] * steps, **settings)
    stride = -settings["lr"] * g / (abs(g) + settings["eps"])
    want = np.stack([stride] * steps)
    require_near("step", np.diff(seen, axis=0), want, 1e-9, settings["lr"] + 1e-3, room=slack(sut, seen))


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
    """At a learning rate of 0 nothing moves, by decay neither: not by one ulp."""
    seen = path_of_matrix(sut, p, grads, **settings)
    require_near("p before the first step", seen[0], p, 0.0, room=slack(sut, p))
    require_near("p at a learning rate of 0", seen[-1], seen[0], 0.0)  # not bits: -0.0 - (-0.0) is 0.0


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
    """Where the gradient is always 0, p after t steps is p (1 - lr decay)^t (1e-12)."""
    want = p * (1 - settings["lr"] * settings["weight_decay"]) ** steps
    seen = path_of_matrix(sut, p, [np.zeros_like(p)] * steps, **settings)
    require_near("p", seen[-1], want, 1e-12, 1 + abs(p), room=slack(sut, seen))


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
    """Decay takes lr decay p from the p before the step, and moments do not see it: steps differ by no more (1e-9)."""
    without = {**settings, "weight_decay": 0.0}
    plain, want = path_of_matrix(sut, p, grads, **without), [p]
    for stride in np.diff(plain, axis=0):
        want.append(want[-1] * (1 - settings["lr"] * settings["weight_decay"]) + stride)
    require_near(
        "p after each step", path_of_matrix(sut, p, grads, **settings), want, 1e-9, room=slack(sut, want, plain)
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
        grads=st.integers(1, 5).flatmap(lambda n: arrays((n, 2, 2), STEEP)),
        power=st.integers(-20, 20),
        settings=settings(eps=0.0, weight_decay=0.0),
    ),
    needs=STEP,
    mutants=("eps-never-0", "gradient-clipped-inside"),
)
def scale_invariant(sut: OptimizerUnderTest, grads: Array, power: int, settings: dict[str, Any]) -> None:
    """At eps = 0 gradients times 2^n give the same bits, and negated gradients the opposite steps."""
    zero = np.zeros((2, 2))
    plain = path_of_matrix(sut, zero, grads, **settings)
    require_same(f"gradients times 2^{power}", path_of_matrix(sut, zero, grads * 2.0**power, **settings), plain)
    require_same("gradients negated", 0.0 - path_of_matrix(sut, zero, -grads, **settings), plain)


def _farthest(t: int, lr: float, beta1: float, beta2: float) -> float:
    """The longest step number t without decay: Cauchy and Schwarz on the sums that m and v are."""
    r = beta1**2 / beta2
    terms = t if r == 1 else (1 - r**t) / (1 - r)
    root = math.sqrt((1 - beta2**t) / (1 - beta2) * terms)
    return lr * (1 - beta1) / (1 - beta1**t) * root


@law(
    "A06",
    "the longest step",
    area="optimizer",
    case=lambda sut: runs(
        sut,
        values=STEEP,
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
    """Without decay step t is at most lr (1-b1)/(1-b1^t) sqrt((1-b2^t)/(1-b2) (1-r^t)/(1-r)), r = b1^2/b2, and a
    gradient that grows by b2/b1 each step attains it (1e-9); lr max(1, (1-b1)/sqrt(1-b2)) is no bound.
    """
    lr, (beta1, beta2) = settings["lr"], settings["betas"]
    bounds = np.array([_farthest(t, lr, beta1, beta2) for t in range(1, len(grads) + 1)])
    seen = path_of_matrix(sut, p, grads, **settings)
    steps = abs(np.diff(seen, axis=0)).max(axis=(1, 2))
    if not (steps <= bounds + 1e-12 * abs(p).max() + 1e-9 * bounds + slack(sut, seen)).all():
        raise LawBroken(f"steps of {steps}", f"at most {bounds}")
    growing = [np.full((1, 1), (beta2 / beta1) ** t) for t in range(len(grads))]
    grown = path_of_matrix(sut, np.zeros((1, 1)), growing, **settings)[:, 0, 0]
    require_near("steps along the bound", -np.diff(grown), bounds, 1e-9, 1 + bounds.cumsum(), room=slack(sut, grown))


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
    """Up to 50 steps with random gradients follow algorithm 2 of arXiv:1711.05101, in float64 to 1e-12."""
    p, *grads = normal(seed, (steps + 1, 2, 3))
    seen, want, length = path_of_matrix(sut, p, grads, **settings), adamw(p, grads, **settings), settings["lr"] * steps
    require_near("p after each step", seen, want, 1e-12, 1 + length, room=slack(sut, want, length))


@law(
    "A12",
    "float32 stays float32",
    area="optimizer",
    case=lambda sut: runs(sut),
    needs=(*STEP, "float32"),
    mutants=("promotes", "replaces-arrays"),
)
def float32_stays(sut: OptimizerUnderTest, p: Array, grads: Array, settings: dict[str, Any]) -> None:
    """A float32 parameter stays float32 and near the recurrence in float64, and the array given to init is the one that
    changes (unless declared otherwise).
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
        raise LawBroken(f"p of {end.dtype}", "float32, as it was given")
    if sut.in_place and not np.array_equal(single, end):
        raise LawBroken(f"the array given to init holds {single}", f"{end}", "in_place=True")
    rounded = [grad.astype(np.float32).astype(np.float64) for grad in grads]
    want = adamw(p.astype(np.float32).astype(np.float64), rounded, **settings)[-1]
    tolerance = 1e-2 if settings["eps"] < 1e-3 else 1e-4  # m / sqrt(v) is as exact as a cancelling m, if eps is small
    require_near("p in float32", end, want, tolerance, settings["lr"] * len(grads) + abs(p).max() + 1e-3)


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
    """In a quadratic bowl, p comes within 1e-3 of the optimum in 1,000 steps."""
    optimizer = new_optimizer(sut, {"w": p}, lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    for _ in range(1000):
        p = step_once(sut, optimizer, {"w": curvature * (p - optimum)})["w"]
    require_near("p", p, optimum, 1e-3)


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
