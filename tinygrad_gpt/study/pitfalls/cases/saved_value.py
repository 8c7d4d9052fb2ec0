"""Dropout in place, on an array that the gradient still needs."""

from dataclasses import replace

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.study.derivatives import by_differences
from tinygrad_gpt.study.pitfalls.domains import masked
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall


def attend(scores: Array, v: Array, keep: Array) -> tuple[Array, Vjp]:
    """scores (T, S), v (S, D), keep (T, S) -> (T, D)"""
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    weights = p
    weights *= keep

    def vjp(dy: Array) -> tuple[Array, Array, None]:
        dp = (dy @ v.T) * keep
        dscores = p * (dp - (dp * p).sum(-1, keepdims=True))
        return dscores, weights.T @ dy, None

    return weights @ v, vjp


def attend_fixed(scores: Array, v: Array, keep: Array) -> tuple[Array, Vjp]:
    """scores (T, S), v (S, D), keep (T, S) -> (T, D)"""
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    weights = p * keep

    def vjp(dy: Array) -> tuple[Array, Array, None]:
        dp = (dy @ v.T) * keep
        dscores = p * (dp - (dp * p).sum(-1, keepdims=True))
        return dscores, weights.T @ dy, None

    return weights @ v, vjp


def symptom(attend: Code) -> None:
    """The gradient beside central differences, without dropout and with it."""
    scores, values, dy = np.array([[1.0, 0.0, -1.0]]), np.array([[1.0], [2.0], [4.0]]), np.ones((1, 1))
    for name, keep in (("no dropout", [[1.0, 1.0, 1.0]]), ("dropout", [[0.0, 2.0, 2.0]])):
        mask = np.array(keep)
        numeric = by_differences(lambda s: attend(s, values, mask)[0], (scores,), 0, dy)  # noqa: B023 - used at once
        dscores = attend(scores, values, mask)[1](dy)[0]
        print(f"{name:<10}  dscores        {dscores[0].round(3) + 0.0}")
        print(f"            by differences {numeric[0].round(3) + 0.0}")


sut = laws.OpUnderTest(name="attend", op=attend, domain=masked((2, 3), (2, 3), (3, 2)), constants=(2,))

PITFALL = Pitfall(
    name="saved-value",
    title="right until dropout is on",
    area="gradient",
    task="Attention weights p = softmax(scores), a dropout mask on them, and the weighted mean of the values.",
    wrong=attend,
    fixed=attend_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, op=attend_fixed),
    laws=("G02", "G03"),
    why="weights and p are two names of one array: multiplying by the mask also changes the probabilities that "
    "softmax's gradient needs. The result is right, and so is every gradient while the mask is all ones, as it is "
    "in most tests.",
)
