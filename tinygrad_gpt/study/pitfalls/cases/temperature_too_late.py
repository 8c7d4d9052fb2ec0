"""Temperature applied to probabilities."""

from dataclasses import replace

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall
from tinygrad_gpt.study.pitfalls.small_sampler import checked, softmax


def probabilities(logits: Array, *, temperature: float = 1.0) -> Array:
    """logits (B, V) -> (B, V)"""
    x = checked(logits, temperature)
    p = softmax(x) / temperature
    return p / p.sum(-1, keepdims=True)


def probabilities_fixed(logits: Array, *, temperature: float = 1.0) -> Array:
    """logits (B, V) -> (B, V)"""
    x = checked(logits, temperature)
    p = softmax((x - x.max(-1, keepdims=True)) / temperature)
    return p / p.sum(-1, keepdims=True)


def symptom(probabilities: Code) -> None:
    """Three tokens at a low, the usual and a high temperature."""
    for temperature in (0.1, 1.0, 5.0):
        p = probabilities(np.array([[2.0, 1.0, 0.0]]), temperature=temperature)[0]
        print(f"temperature {temperature:<4} {'  '.join(f'{value:.3f}' for value in p)}")


sut = laws.SamplerUnderTest(
    name="sampler", probabilities=probabilities, capabilities={"temperature"}, zero_temperature="error"
)

PITFALL = Pitfall(
    name="temperature-too-late",
    title="a temperature that does nothing",
    area="sampling",
    task="The next token's distribution; a low temperature should sharpen it, a high one flatten it.",
    wrong=probabilities,
    fixed=probabilities_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, probabilities=probabilities_fixed),
    laws=("S10", "S07", "S08", "S39"),
    why="Dividing all probabilities by one number and normalising again changes nothing. Temperature divides logits, "
    "before the exponential: p is then proportional to p^(1/T). (The maximum is subtracted first, so that a tiny T "
    "cannot overflow.)",
)
