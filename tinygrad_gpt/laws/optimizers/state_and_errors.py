"""The laws of how an optimizer behaves: tensors, names, missing and invalid gradients, settings, states."""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.assertions import require_same
from tinygrad_gpt.laws.law import Array, LawBroken, cases, law
from tinygrad_gpt.laws.optimizers.cases import (
    STEP,
    VALUES,
    declared_slack,
    exception_of,
    new_optimizer,
    parameter_path,
    parameters_by_step,
    parameters_of,
    require_close,
    runs,
    settings,
    step_once,
)
from tinygrad_gpt.laws.optimizers.under_test import OptimizerUnderTest
from tinygrad_gpt.laws.source import literal
from tinygrad_gpt.laws.strategies import arrays


@law(
    "A07",
    "tensors do not interact",
    area="optimizer",
    case=lambda sut: runs(sut),
    needs=STEP,
    mutants=("steps-per-tensor", "trust-ratio"),
)
def tensors_apart(sut: OptimizerUnderTest, p: Array, grads: Array, settings: dict[str, Any]) -> None:
    """Two tensors, in any order, are updated to the same bits as one tensor that holds both."""
    together = parameters_by_step(
        sut,
        {"ab": np.concatenate([p, 2 * p])},
        [{"ab": np.concatenate([grad, grad + 1])} for grad in grads],
        **settings,
    )[-1]["ab"]
    first, second = [{"a": g, "b": g + 1} for g in grads], [{"b": g + 1, "a": g} for g in grads]
    for parameters, gradients in (({"a": p, "b": 2 * p}, first), ({"b": 2 * p, "a": p}, second)):
        end = parameters_by_step(sut, parameters, gradients, **settings)[-1]
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
    """Biases, gains and other 1-D parameters do not decay (or all parameters do, if declared). A tied weight is updated
    once, with the gradient under any of its names.
    """
    bias = p.reshape(-1)
    end = parameters_by_step(sut, {"w": p, "b": bias}, [{"b": np.zeros_like(bias)}] * len(grads), **settings)[-1]["b"]
    decayed = bias * (1 - settings["lr"] * settings["weight_decay"]) ** len(grads)
    want = decayed if sut.decays == "all" else bias
    policy = f"decays={sut.decays!r}"
    require_close("a parameter of one axis", end, want, 1e-12, 1 + abs(bias), policy, slack=declared_slack(sut, bias))
    if sut.tied:
        alone = parameters_by_step(sut, {"w": p}, [{"w": grad} for grad in grads], **settings)[-1]["w"]
        for given in ("w", "head"):  # an array's gradient may be given under any of its names
            tied = parameters_by_step(sut, {"w": p, "head": p}, [{given: grad} for grad in grads], **settings)[-1]
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
    """A step does not change a parameter without a gradient: no decay, and the same moments and step count."""
    others = [{"other": grad} for grad in grads]
    given = [other | ({"w": other["other"]} if here else {}) for other, here in zip(others, there, strict=True)]
    want = parameter_path(sut, p, grads[np.array(there)], **settings)[-1]
    require_same(
        "with steps left out", parameters_by_step(sut, {"w": p, "other": p.copy()}, given, **settings)[-1]["w"], want
    )


@law(
    "A10",
    "the saved state is complete",
    area="optimizer",
    case=lambda sut: cases(
        p=arrays((2, 2), VALUES), grads=arrays((5, 2, 2), VALUES), stop=st.integers(0, 5), settings=settings()
    ),
    needs=(*STEP, "state", "load"),
    mutants=("step-count-lost", "state-aliases-moments"),
)
def state_is_all(sut: OptimizerUnderTest, p: Array, grads: Array, stop: int, settings: dict[str, Any]) -> None:
    """Saving after some steps and loading into a new optimizer gives the same bits as going on without a break, even if
    the old optimizer goes on after saving.
    """
    assert sut.state is not None
    assert sut.load is not None
    whole = parameter_path(sut, p, grads, **settings)
    old = new_optimizer(sut, {"w": p}, **settings)
    for grad in grads[:stop]:
        step_once(sut, old, {"w": grad})
    saved, half = sut.state(old), parameters_of(sut, old)
    for grad in grads[stop:]:
        step_once(sut, old, {"w": grad})
    fresh = new_optimizer(sut, half, **settings)
    sut.load(fresh, saved)
    for grad in grads[stop:]:
        step_once(sut, fresh, {"w": grad})
    require_same(f"resumed after {stop} steps", parameters_of(sut, fresh)["w"], whole[-1])


_BAD_SETTINGS = [
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
    """A learning rate, beta, eps or decay that is negative, NaN or too large is an error of init."""
    p = np.ones((2, 2))
    accepted = [
        bad
        for bad in _BAD_SETTINGS
        if exception_of(lambda bad=bad: new_optimizer(sut, {"w": p}, **settings | bad)) is None
    ]
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
    """A step does not change the caller's gradient arrays, unless the object declares otherwise."""
    if sut.gradients == "consumed":
        return
    assert sut.step is not None
    optimizer = new_optimizer(sut, {"w": p}, **settings)
    for grad in grads:
        given = grad.astype(sut.dtype)
        before = given.copy()
        sut.step(optimizer, {"w": given})
        require_same("the gradient after a step", given, before, "gradients='kept'")


@law(
    "A18",
    "a state that does not fit",
    area="optimizer",
    case=lambda sut: cases(p=arrays((2, 2), VALUES), grad=arrays((2, 2), VALUES), settings=settings()),
    needs=(*STEP, "state", "load"),
    mutants=("state-fits-anything",),
)
def state_of_a_stranger(sut: OptimizerUnderTest, p: Array, grad: Array, settings: dict[str, Any]) -> None:
    """Loading the state of an optimizer with other names or shapes is an error."""
    assert sut.state is not None
    assert sut.load is not None
    optimizer = new_optimizer(sut, {"w": p}, **settings)
    step_once(sut, optimizer, {"w": grad})
    saved = sut.state(optimizer)
    for what, other in (("names", {"x": p}), ("shapes", {"w": p.reshape(-1)}), ("more names", {"w": p, "x": p.copy()})):
        stranger = new_optimizer(sut, other, **settings)
        if exception_of(lambda stranger=stranger: sut.load(stranger, saved)) is None:
            raise LawBroken(f"an optimizer with other {what} accepted the state", "an error")


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
    """A NaN or infinite gradient is an error that names its parameter. It changes nothing: not this parameter, not one
    before it, not the later steps.
    """
    spoilt = grads[1].copy()
    spoilt.flat[place] = value
    parameters = {"first": p, "second": p + 1}
    good = [{"first": grads[0], "second": grads[1]}] * 2
    optimizer = new_optimizer(sut, parameters, **settings)
    before = step_once(sut, optimizer, good[0])
    error = exception_of(lambda: step_once(sut, optimizer, {"first": grads[0], "second": spoilt}))
    if error is None or "second" not in str(error):
        seen = "no error" if error is None else repr(error)
        raise LawBroken(f"{seen} for a gradient of second with {value}", "an error that names second")
    end, want = step_once(sut, optimizer, good[1]), parameters_by_step(sut, parameters, good, **settings)[-1]
    for name in parameters:
        require_same(f"{name} after a refused step (before it {before[name]})", end[name], want[name])


STATE_AND_ERROR_LAWS = (
    tensors_apart,
    what_decays,
    no_gradient,
    state_is_all,
    bad_settings,
    callers_gradients,
    state_of_a_stranger,
    not_finite,
)
