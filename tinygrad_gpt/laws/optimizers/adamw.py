"""The laws of AdamW.

Most are checked at eps = 0.1, lr = 0.1, weight decay 0.5: at eps = 1e-8 a misplaced eps is invisible, and at lr = 1e-3,
weight decay 0.01 decay in the wrong place differs by 1e-8.
"""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.comparing import require_same
from tinygrad_gpt.laws.law import Array, LawBroken, cases, law
from tinygrad_gpt.laws.optimizers.cases import (
    STEEP,
    STEP,
    VALUES,
    adamw,
    after,
    follow,
    now,
    path,
    refusal,
    require_near,
    runs,
    settings,
    start,
)
from tinygrad_gpt.laws.optimizers.under_test import OptimizerUnderTest
from tinygrad_gpt.laws.source import literal
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
    seen = path(sut, p, [g] * steps, **settings)
    stride = -settings["lr"] * g / (abs(g) + settings["eps"])
    require_near("step", np.diff(seen, axis=0), np.stack([stride] * steps), 1e-9, settings["lr"] + 1e-3)


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
    require_near(
        "p at a learning rate of 0", path(sut, p, grads, **settings)[-1], p, 0.0
    )  # not bits: -0.0 - (-0.0) is 0.0


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
    require_near("p", path(sut, p, [np.zeros_like(p)] * steps, **settings)[-1], want, 1e-12, 1 + abs(p))


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
    want = [p]
    for stride in np.diff(path(sut, p, grads, **without), axis=0):
        want.append(want[-1] * (1 - settings["lr"] * settings["weight_decay"]) + stride)
    require_near("p after each step", path(sut, p, grads, **settings), want, 1e-9)
    if sut.moments is not None:
        ends = []
        for given in (settings, without):
            optimizer = start(sut, {"w": p}, **given)
            for grad in grads:
                after(sut, optimizer, {"w": grad})
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
    plain = path(sut, zero, grads, **settings)
    require_same(f"gradients times 2^{power}", path(sut, zero, grads * 2.0**power, **settings), plain)
    require_same("gradients negated", 0.0 - path(sut, zero, -grads, **settings), plain)


def farthest(t: int, lr: float, beta1: float, beta2: float) -> float:
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
    bounds = np.array([farthest(t, lr, beta1, beta2) for t in range(1, len(grads) + 1)])
    steps = abs(np.diff(path(sut, p, grads, **settings), axis=0)).max(axis=(1, 2))
    room = 1e-12 * abs(p).max() + 1e-9 * bounds
    if not (steps <= bounds + room).all():
        raise LawBroken(f"steps of {steps}", f"at most {bounds}")
    growing = [np.full((1, 1), (beta2 / beta1) ** t) for t in range(len(grads))]
    attained = -np.diff(path(sut, np.zeros((1, 1)), growing, **settings)[:, 0, 0])
    require_near("steps along the bound", attained, bounds, 1e-9, 1 + bounds.cumsum())


@law(
    "A07",
    "tensors do not interact",
    area="optimizer",
    case=lambda sut: runs(sut),
    needs=STEP,
    mutants=("steps-per-tensor", "trust-ratio"),
)
def tensors_apart(sut: OptimizerUnderTest, p: Array, grads: Array, settings: dict[str, Any]) -> None:
    """Two tensors step as the one tensor that holds both, and in any order: the same bits."""
    together = follow(
        sut,
        {"ab": np.concatenate([p, 2 * p])},
        [{"ab": np.concatenate([grad, grad + 1])} for grad in grads],
        **settings,
    )[-1]["ab"]
    first, second = [{"a": g, "b": g + 1} for g in grads], [{"b": g + 1, "a": g} for g in grads]
    for parameters, gradients in (({"a": p, "b": 2 * p}, first), ({"b": 2 * p, "a": p}, second)):
        end = follow(sut, parameters, gradients, **settings)[-1]
        require_same("two tensors", np.concatenate([end["a"], end["b"]]), together)


@law(
    "A08",
    "what decays, and how often",
    area="optimizer",
    case=lambda sut: runs(sut),
    needs=STEP,
    mutants=("decays-biases", "tied-twice", "tied-gradient-dropped"),
)
def what_decays(sut: OptimizerUnderTest, p: Array, grads: Array, settings: dict[str, Any]) -> None:
    """Biases, gains and other 1-D parameters do not decay (or all do, if declared); a tied weight is stepped
    once, under whichever of its names the gradient comes.
    """
    bias = p.reshape(-1)
    end = follow(sut, {"w": p, "b": bias}, [{"b": np.zeros_like(bias)}] * len(grads), **settings)[-1]["b"]
    decayed = bias * (1 - settings["lr"] * settings["weight_decay"]) ** len(grads)
    want = decayed if sut.decays == "all" else bias
    require_near("a parameter of one axis", end, want, 1e-12, 1 + abs(bias), policy=f"decays={sut.decays!r}")
    if sut.tied:
        alone = follow(sut, {"w": p}, [{"w": grad} for grad in grads], **settings)[-1]["w"]
        for given in ("w", "head"):  # an array's gradient may come under any of its names
            tied = follow(sut, {"w": p, "head": p}, [{given: grad} for grad in grads], **settings)[-1]
            for name in ("w", "head"):
                require_same(f"{name}, tied, its gradient given as {given}", tied.get(name, tied["w"]), alone)


@law(
    "A09",
    "no gradient, no step",
    area="optimizer",
    case=lambda sut: cases(
        p=arrays((2, 2), VALUES),
        grads=arrays((4, 2, 2), VALUES),
        there=st.lists(st.booleans(), min_size=4, max_size=4),
        settings=settings(),
    ),
    needs=STEP,
    mutants=("none-decays", "none-is-zero", "steps-for-all"),
)
def no_gradient(sut: OptimizerUnderTest, p: Array, grads: Array, there: list[bool], settings: dict[str, Any]) -> None:
    """A parameter without a gradient is left alone, decay, moments and step count too: as if the step had not been."""
    others = [{"other": grad} for grad in grads]
    given = [other | ({"w": other["other"]} if here else {}) for other, here in zip(others, there, strict=True)]
    want = path(sut, p, grads[np.array(there)], **settings)[-1]
    require_same("with steps left out", follow(sut, {"w": p, "other": p.copy()}, given, **settings)[-1]["w"], want)


@law(
    "A10",
    "state is all there is",
    area="optimizer",
    case=lambda sut: cases(
        p=arrays((2, 2), VALUES), grads=arrays((5, 2, 2), VALUES), stop=st.integers(0, 5), settings=settings()
    ),
    needs=(*STEP, "state", "load"),
    mutants=("step-count-lost", "state-aliases-moments"),
)
def state_is_all(sut: OptimizerUnderTest, p: Array, grads: Array, stop: int, settings: dict[str, Any]) -> None:
    """Some steps, save, a fresh optimizer, load, the other steps: the same bits as without the break, even if the old
    optimizer went on after saving.
    """
    assert sut.state is not None
    assert sut.load is not None
    whole = path(sut, p, grads, **settings)
    old = start(sut, {"w": p}, **settings)
    for grad in grads[:stop]:
        after(sut, old, {"w": grad})
    saved, half = sut.state(old), now(sut, old)
    for grad in grads[stop:]:
        after(sut, old, {"w": grad})
    fresh = start(sut, half, **settings)
    sut.load(fresh, saved)
    for grad in grads[stop:]:
        after(sut, fresh, {"w": grad})
    require_same(f"resumed after {stop} steps", now(sut, fresh)["w"], whole[-1])


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
    require_near(
        "p after each step",
        path(sut, p, grads, **settings),
        adamw(p, grads, **settings),
        1e-12,
        1 + settings["lr"] * steps,
    )


@law(
    "A12",
    "float32 stays float32",
    area="optimizer",
    case=lambda sut: runs(sut),
    needs=STEP,
    mutants=("promotes", "replaces-arrays"),
)
def float32_stays(sut: OptimizerUnderTest, p: Array, grads: Array, settings: dict[str, Any]) -> None:
    """A float32 parameter stays float32 and near the float64 path, and the array given to init is the one that changes
    (unless declared otherwise).
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
        raise LawBroken(f"{end.dtype}", "float32")
    if sut.in_place and not np.array_equal(single, end):
        raise LawBroken(f"the array given to init holds {single}", f"{end}", "in_place=True")
    rounded = [grad.astype(np.float32).astype(np.float64) for grad in grads]
    want = path(sut, p.astype(np.float32).astype(np.float64), rounded, **settings)[-1]
    near_zero = settings["eps"] < 1e-3  # m / sqrt(v) is then only as exact as a cancelling m
    require_near(
        "p in float32", end, want, 1e-2 if near_zero else 1e-4, settings["lr"] * len(grads) + abs(p).max() + 1e-3
    )


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
    optimizer = start(sut, {"w": p}, lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    for _ in range(1000):
        p = after(sut, optimizer, {"w": curvature * (p - optimum)})["w"]
    require_near("p", p, optimum, 1e-3)


BAD_SETTINGS = [
    *({"lr": lr} for lr in (-0.1, math.nan, math.inf)),
    *({"betas": betas} for betas in ((1.0, 0.999), (0.9, 1.0), (-0.1, 0.9), (0.9, math.nan), (0.9, 1.5))),
    *({"eps": eps} for eps in (-1e-8, math.nan)),
    *({"weight_decay": decay} for decay in (-0.1, math.nan)),
]


@law(
    "A14",
    "bad settings",
    area="optimizer",
    case=lambda sut: cases(settings=settings()),
    needs=STEP,
    mutants=("nan-setting",),
    examples=10,
)
def bad_settings(sut: OptimizerUnderTest, settings: dict[str, Any]) -> None:
    """A learning rate, beta, eps or decay that is negative, NaN or too large is an error when the optimizer is made."""
    p = np.ones((2, 2))
    accepted = [bad for bad in BAD_SETTINGS if refusal(lambda bad=bad: start(sut, {"w": p}, **settings | bad)) is None]
    if accepted:
        raise LawBroken(f"accepted {', '.join(map(literal, accepted))}", "an error")


@law(
    "A17",
    "the caller's gradients",
    area="optimizer",
    case=lambda sut: runs(sut),
    needs=STEP,
    mutants=("writes-into-gradients",),
)
def callers_gradients(sut: OptimizerUnderTest, p: Array, grads: Array, settings: dict[str, Any]) -> None:
    """A step leaves the caller's gradient arrays as they were, or the object declares otherwise."""
    if sut.gradients == "consumed":
        return
    assert sut.step is not None
    optimizer = start(sut, {"w": p}, **settings)
    for grad in grads:
        given = grad.copy()
        sut.step(optimizer, {"w": given})
        require_same("the gradient after a step", given, grad, "gradients='kept'")


@law(
    "A18",
    "a state that does not fit",
    area="optimizer",
    case=lambda sut: cases(p=arrays((2, 2), VALUES), grad=arrays((2, 2), VALUES), settings=settings()),
    needs=(*STEP, "state", "load"),
    mutants=("state-fits-anything",),
)
def state_of_a_stranger(sut: OptimizerUnderTest, p: Array, grad: Array, settings: dict[str, Any]) -> None:
    """The state of an optimizer over other names or other shapes is refused."""
    assert sut.state is not None
    assert sut.load is not None
    optimizer = start(sut, {"w": p}, **settings)
    after(sut, optimizer, {"w": grad})
    saved = sut.state(optimizer)
    for what, other in (("names", {"x": p}), ("shapes", {"w": p.reshape(-1)}), ("more names", {"w": p, "x": p.copy()})):
        stranger = start(sut, other, **settings)
        if refusal(lambda stranger=stranger: sut.load(stranger, saved)) is None:
            raise LawBroken(f"the state was taken by an optimizer of other {what}", "an error")


@law(
    "A19",
    "a gradient that is not finite",
    area="optimizer",
    case=lambda sut: cases(
        p=arrays((2, 2), VALUES),
        grads=arrays((2, 2, 2), VALUES),
        value=st.sampled_from([math.nan, math.inf, -math.inf]),
        place=st.integers(0, 3),
        settings=settings(),
    ),
    needs=STEP,
    mutants=("no-guard", "guard-too-late"),
)
def not_finite(
    sut: OptimizerUnderTest, p: Array, grads: Array, value: float, place: int, settings: dict[str, Any]
) -> None:
    """A NaN or infinite gradient is an error that names its parameter, and nothing has changed: neither that parameter,
    nor one before it, nor what later steps do.
    """
    spoilt = grads[1].copy()
    spoilt.flat[place] = value
    parameters = {"first": p, "second": p + 1}
    good = [{"first": grads[0], "second": grads[1]}] * 2
    optimizer = start(sut, parameters, **settings)
    before = after(sut, optimizer, good[0])
    error = refusal(lambda: after(sut, optimizer, {"first": grads[0], "second": spoilt}))
    if error is None or "second" not in str(error):
        seen = "no error" if error is None else repr(error)
        raise LawBroken(f"{seen} for a gradient of second with {value}", "an error that names second")
    end, want = after(sut, optimizer, good[1]), follow(sut, parameters, good, **settings)[-1]
    for name in parameters:
        require_same(f"{name} after a refused step (before it {before[name]})", end[name], want[name])


ADAMW_LAWS = (
    constant_gradient,
    learning_rate_zero,
    decay_alone,
    decoupled,
    scale_invariant,
    longest_step,
    tensors_apart,
    what_decays,
    no_gradient,
    state_is_all,
    recurrence,
    float32_stays,
    minimises,
    bad_settings,
    callers_gradients,
    state_of_a_stranger,
    not_finite,
)
