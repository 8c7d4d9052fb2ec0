"""A wrong softmax gradient that a check with dy = ones cannot see."""

from dataclasses import replace

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.study.derivatives import by_differences
from tinygrad_gpt.study.pitfalls.domains import ROWS, floats_of
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall


def softmax(x: Array) -> tuple[Array, Vjp]:
    """x (N, C) -> p (N, C)"""
    weights = np.exp(x - x.max(-1, keepdims=True))
    p = weights / weights.sum(-1, keepdims=True)

    def vjp(dp: Array) -> tuple[Array]:
        centre = dp.mean(-1, keepdims=True)
        return (p * (dp - centre),)

    return p, vjp


def softmax_fixed(x: Array) -> tuple[Array, Vjp]:
    """x (N, C) -> p (N, C)"""
    weights = np.exp(x - x.max(-1, keepdims=True))
    p = weights / weights.sum(-1, keepdims=True)

    def vjp(dp: Array) -> tuple[Array]:
        centre = (dp * p).sum(-1, keepdims=True)
        return (p * (dp - centre),)

    return p, vjp


def symptom(softmax: Code) -> None:
    """The gradient beside central differences, for two incoming gradients."""
    x = np.array([[2.0, 1.0, 0.0]])
    vjp = softmax(x)[1]
    for dp in (np.ones((1, 3)), np.array([[1.0, 0.0, 0.0]])):
        numeric = by_differences(lambda x: softmax(x)[0], (x,), 0, dp)
        print(f"dp = {shown(dp)}  dx = {shown(vjp(dp)[0])}  differences {shown(numeric)}")


def shown(row: Array) -> str:
    """Two digits are enough."""
    return " ".join(f"{value + 0.0:5.2f}" for value in row[0].round(2))


sut = laws.OpUnderTest(name="softmax", op=softmax, domain=floats_of(*ROWS))

PITFALL = Pitfall(
    name="softmax-and-ones",
    title="the check that passes anything",
    area="gradient",
    task="Turns rows of scores into probabilities. Its gradient was checked with dy = ones.",
    wrong=softmax,
    fixed=softmax_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, op=softmax_fixed),
    laws=("G02", "G03"),
    why="Probabilities sum to 1 whatever x is, so with dy = ones the right gradient is 0, and any vjp that subtracts "
    "some mean gets that right. The mean has to be the one weighted by p. Check with a dy whose entries differ.",
    sources=("HomericIntelligence/Mnemosyne#987",),
)
