"""The scores are divided by √D, their gradients are not."""

import math
from dataclasses import replace

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.study.derivatives import by_differences
from tinygrad_gpt.study.pitfalls.domains import floats_of
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall


def scores(q: Array, k: Array) -> tuple[Array, Vjp]:
    """q (T, D), k (S, D) -> (T, S)"""
    D = q.shape[-1]
    y = q @ k.T / math.sqrt(D)

    def vjp(dy: Array) -> tuple[Array, Array]:
        dq = dy @ k
        dk = dy.T @ q
        return dq, dk

    return y, vjp


def scores_fixed(q: Array, k: Array) -> tuple[Array, Vjp]:
    """q (T, D), k (S, D) -> (T, S)"""
    D = q.shape[-1]
    y = q @ k.T / math.sqrt(D)

    def vjp(dy: Array) -> tuple[Array, Array]:
        dq = dy @ k / math.sqrt(D)
        dk = dy.T @ q / math.sqrt(D)
        return dq, dk

    return y, vjp


def symptom(scores: Code) -> None:
    """The gradient divided by the numeric one, for heads of several widths."""
    print("width D of a head   dq / dq by differences")
    for D in (1, 4, 16, 64):
        q, k = np.ones((1, D)), np.full((1, D), 0.5)
        y, vjp = scores(q, k)
        numeric = by_differences(lambda q: scores(q, k)[0], (q,), 0, np.ones_like(y))  # noqa: B023 - used at once
        print(f"{D:>17} {(vjp(np.ones_like(y))[0] / numeric).mean():>24.3f}")


sut = laws.OpUnderTest(name="scores", op=scores, domain=floats_of(((1, 2), (1, 2)), ((2, 3), (3, 3)), ((2, 4), (2, 4))))

PITFALL = Pitfall(
    name="attention-scale",
    title="a gradient that grows with the head",
    area="gradient",
    task="Attention's scores q·k/√D for queries (T, D) and keys (S, D).",
    wrong=scores,
    fixed=scores_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, op=scores_fixed),
    laws=("G02", "G03"),
    why="A factor of the forward pass is a factor of the gradient too. Queries and keys learn √D times too fast; Adam "
    "divides by the gradient's size and hides it, and clipping then shrinks all other gradients. A test with "
    "D = 1 passes.",
)
