"""Cases for the laws of optimizers, how an optimizer is run, and the comparison."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.assertions import require_within
from tinygrad_gpt.laws.law import Array, Case
from tinygrad_gpt.laws.optimizers.under_test import Arrays, OptimizerUnderTest
from tinygrad_gpt.laws.strategies import arrays

STEP = ("init", "step", "parameters")
_LRS = st.sampled_from([0.1, 0.01, 1.0, 1e-3])
_BETAS = st.sampled_from([(0.9, 0.999), (0.9, 0.95), (0.5, 0.5), (0.0, 0.9)])
_EPSILONS = st.sampled_from([0.1, 1.0, 1e-8])
_DECAYS = st.sampled_from([0.5, 0.1, 0.01])
VALUES = st.sampled_from([0.5, -1.0, 2.0, 0.25, -3.0]) | st.floats(-4, 4, allow_subnormal=False)
NONZERO_VALUES = VALUES.filter(lambda g: abs(g) > 1e-3)  # no gradient of 0
_SHAPES = st.sampled_from([(2, 2), (1, 3), (3, 1)])


def settings(
    lr: Any = _LRS, betas: Any = _BETAS, eps: Any = _EPSILONS, weight_decay: Any = _DECAYS
) -> st.SearchStrategy[dict[str, Any]]:
    """Keywords for init; a number instead of a strategy is fixed."""
    given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
    return st.fixed_dictionaries(
        {name: value if isinstance(value, st.SearchStrategy) else st.just(value) for name, value in given.items()}
    )


@st.composite
def runs(draw: st.DrawFn, /, sut: OptimizerUnderTest, values: Any = VALUES, steps: int = 5, **given: Any) -> Case:
    """A matrix p, gradients (steps, *p.shape), settings."""
    shape = draw(_SHAPES)
    n = draw(st.integers(1, steps))
    return {
        "p": draw(arrays(shape, VALUES)),
        "grads": draw(arrays((n, *shape), values)),
        "settings": draw(settings(**given)),
    }


def parameters_by_step(
    sut: OptimizerUnderTest, parameters: Arrays, gradients: list[Arrays], **settings: Any
) -> list[Arrays]:
    """The parameters before the first step and after each."""
    optimizer = new_optimizer(sut, parameters, **settings)
    return [parameters_of(sut, optimizer), *(step_once(sut, optimizer, grads) for grads in gradients)]


def new_optimizer(sut: OptimizerUnderTest, parameters: Arrays, **settings: Any) -> Any:
    """A new optimizer over copies in its dtype; two names of one array stay two names of one array."""
    assert sut.init is not None
    copies: dict[int, Array] = {id(array): array.astype(sut.dtype) for array in parameters.values()}
    return sut.init({name: copies[id(array)] for name, array in parameters.items()}, **settings)


def parameters_of(sut: OptimizerUnderTest, optimizer: Any) -> Arrays:
    """Copies of the parameters."""
    assert sut.parameters is not None
    return {name: np.array(array) for name, array in sut.parameters(optimizer).items()}


def step_once(sut: OptimizerUnderTest, optimizer: Any, gradients: Arrays) -> Arrays:
    """Copies of the parameters after one more step, with copies of these gradients."""
    assert sut.step is not None
    sut.step(optimizer, {name: grad.astype(sut.dtype) for name, grad in gradients.items()})
    return parameters_of(sut, optimizer)


def parameter_path(sut: OptimizerUnderTest, p: Array, grads: Any, **settings: Any) -> Array:
    """One matrix before the first step and after each: (steps + 1, *p.shape)."""
    return np.array(
        [seen["w"] for seen in parameters_by_step(sut, {"w": p}, [{"w": grad} for grad in grads], **settings)]
    )


def require_close(
    what: str, got: Any, want: Any, tolerance: float, scale: Any = 1.0, policy: str = "", slack: float = 0.0
) -> None:
    """Raise LawBroken unless |got - want| <= tolerance * scale + slack everywhere; NaN never is."""
    bound = tolerance * np.asarray(scale) + slack
    require_within(what, np.asarray(got, np.float64), np.asarray(want, np.float64), bound, policy)


def declared_slack(sut: OptimizerUnderTest, *paths: Any) -> float:
    """What the object's rtol adds to a law's tolerance: rtol times the largest number of the paths, or times 1."""
    return sut.rtol * max(1.0, *(float(np.max(np.abs(path), initial=0)) for path in paths))


def exception_of(action: Any) -> Exception | None:
    """The exception that the action raises, or None."""
    try:
        action()
    except Exception as error:
        return error
    return None


def adamw(p: Array, grads: Any, lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> Array:
    """AdamW's recurrence: p before the first step and after each."""
    (beta1, beta2), m, v, seen = betas, np.zeros_like(p), np.zeros_like(p), [p]
    for t, g in enumerate(grads, start=1):
        p = p * (1 - lr * weight_decay)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        p = p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
        seen.append(p)
    return np.array(seen)
