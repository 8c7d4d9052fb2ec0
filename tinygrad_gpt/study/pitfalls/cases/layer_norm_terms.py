"""Layer norm's gradient with mean and variance treated as constants."""

from dataclasses import replace

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.study.pitfalls.domains import floats_of
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall


def layer_norm(x: Array, gain: Array, bias: Array) -> tuple[Array, Vjp]:
    """x (N, C), gain (C), bias (C) -> y (N, C)"""
    centred = x - x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    xhat = centred * rstd

    def vjp(dy: Array) -> tuple[Array, Array, Array]:
        dxhat = dy * gain
        dx = dxhat * rstd
        return dx, (dy * xhat).sum(0), dy.sum(0)

    return xhat * gain + bias, vjp


def layer_norm_fixed(x: Array, gain: Array, bias: Array) -> tuple[Array, Vjp]:
    """x (N, C), gain (C), bias (C) -> y (N, C)"""
    centred = x - x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    xhat = centred * rstd

    def vjp(dy: Array) -> tuple[Array, Array, Array]:
        dxhat = dy * gain
        through_mean = dxhat.mean(-1, keepdims=True)
        through_variance = xhat * (dxhat * xhat).mean(-1, keepdims=True)
        dx = (dxhat - through_mean - through_variance) * rstd
        return dx, (dy * xhat).sum(0), dy.sum(0)

    return xhat * gain + bias, vjp


def symptom(layer_norm: Code) -> None:
    """Gradient descent on a row whose normalised values should match a target; the target changes at step 200."""
    x, wanted = np.array([[-1.0, 0.5, 1.0, -0.5]]), np.array([3.0, -1.0, -1.0, -1.0])
    for step in range(301):
        if step == 200:
            wanted = wanted[::-1]
        y, vjp = layer_norm(x, np.ones(4), np.zeros(4))
        error = y - wanted
        if step in (0, 10, 199, 200, 210, 300):
            print(f"step {step:>3}   loss {(error**2).sum():6.2f}   x has deviation {x.std():5.2f}")
        x = x - 0.5 * vjp(2 * error)[0]


def reference(x: Array, gain: Array, bias: Array) -> Array:
    """The same result, with the variance as half the mean squared distance of all pairs."""
    variance = ((x[..., :, None] - x[..., None, :]) ** 2).mean((-1, -2)) / 2
    return gain * (x - x.mean(-1, keepdims=True)) / np.sqrt(variance + 1e-5)[..., None] + bias


sut = laws.OpUnderTest(
    name="layer_norm",
    op=layer_norm,
    reference=reference,
    domain=floats_of(((1, 3), (3,), (3,)), ((2, 4), (4,), (4,))),
    dtypes=("float64",),
)

PITFALL = Pitfall(
    name="layer-norm-terms",
    title="the loss falls, and then it cannot",
    area="gradient",
    task="Shifts each row to mean 0, scales it to variance 1, and applies a gain and a bias.",
    wrong=layer_norm,
    fixed=layer_norm_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, op=layer_norm_fixed),
    laws=("G02", "G03"),
    why="Every x of a row changes the row's mean and variance, and so every output of the row. Mean and variance each "
    "add a term. Without these terms, the gradient still points roughly downhill, but it also has parts that layer "
    "norm undoes: x grows and grows, 1/deviation shrinks, and learning stalls.",
)
