"""Softmax along the wrong axis: columns sum to 1, rows do not."""

from dataclasses import replace

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.study.pitfalls.domains import floats_of
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall


def softmax(x: Array) -> tuple[Array, Vjp]:
    """x (B, V) -> p (B, V)"""
    weights = np.exp(x - x.max(0, keepdims=True))
    p = weights / weights.sum(0, keepdims=True)

    def vjp(dp: Array) -> tuple[Array]:
        return (p * (dp - (dp * p).sum(0, keepdims=True)),)

    return p, vjp


def softmax_fixed(x: Array) -> tuple[Array, Vjp]:
    """x (B, V) -> p (B, V)"""
    weights = np.exp(x - x.max(-1, keepdims=True))
    p = weights / weights.sum(-1, keepdims=True)

    def vjp(dp: Array) -> tuple[Array]:
        return (p * (dp - (dp * p).sum(-1, keepdims=True)),)

    return p, vjp


def symptom(softmax: Code) -> None:
    """The next token's probabilities for one prompt: alone, and in a batch with another prompt."""
    prompt, other = [2.0, 1.0, 0.0], [0.0, 0.0, 3.0]
    for name, batch in (("alone", [prompt]), ("beside another", [prompt, other])):
        p = softmax(np.array(batch))[0][0]
        print(f"{name:<15} {p.round(3)}   sum {p.sum():.3f}")


sut = laws.OpUnderTest(name="softmax", op=softmax, domain=floats_of(((2, 3),), ((3, 4),)), batched=(0,))

PITFALL = Pitfall(
    name="softmax-axis",
    title="a row that depends on its neighbours",
    area="gradient",
    task="Turns the logits (B, V) of a batch of prompts into probabilities.",
    wrong=softmax,
    fixed=softmax_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, op=softmax_fixed),
    laws=("G22",),
    why="Axis 0 is the batch. The gradient fits the result, so no gradient check complains, and the loss may even "
    "fall: the sign of the mistake is that a row's result changes with the other rows. In attention, the same mistake "
    "normalises over the queries instead of the keys.",
)
