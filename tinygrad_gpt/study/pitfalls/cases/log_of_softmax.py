"""The logarithm of a probability that was rounded to 0."""

from dataclasses import replace

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall


def cross_entropy(logits: Array, targets: Array) -> Array:
    """logits (N, V), targets (N) -> ()"""
    check(logits, targets)
    rows = np.arange(len(targets))
    shifted = logits - logits.max(-1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(-1, keepdims=True)
    return -np.log(p[rows, targets]).mean()


def cross_entropy_fixed(logits: Array, targets: Array) -> Array:
    """logits (N, V), targets (N) -> ()"""
    check(logits, targets)
    rows = np.arange(len(targets))
    shifted = logits - logits.max(-1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -logp[rows, targets].mean()


def check(logits: Array, targets: Array) -> None:
    """Raises ValueError for a target outside the vocabulary, or a row without a finite logit."""
    if not ((targets >= 0) & (targets < logits.shape[-1])).all():
        raise ValueError(f"targets must be at least 0 and below {logits.shape[-1]}")
    if not np.isfinite(logits).any(-1).all():
        raise ValueError("a row without a finite logit")


def symptom(cross_entropy: Code) -> None:
    """A target that becomes less and less likely: the loss is the gap between the two logits."""
    for gap in (1, 100, 700, 800):
        with np.errstate(divide="ignore"):
            loss = cross_entropy(np.array([[float(gap), 0.0]]), np.array([1]))
        print(f"the other token's logit is higher by {gap:>3}: loss {loss:.2f}")


sut = laws.LossUnderTest(name="cross_entropy", loss=cross_entropy)

PITFALL = Pitfall(
    name="log-of-softmax",
    title="one token, and the loss is infinite",
    area="loss",
    task="Cross-entropy of logits (N, V) against targets (N). The maximum is subtracted, so nothing overflows.",
    wrong=cross_entropy,
    fixed=cross_entropy_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, loss=cross_entropy_fixed),
    laws=("L01",),
    why="e^-800 is 0 in float64 (e^-104 in float32), and the logarithm of 0 is -inf; long before that, digits are "
    "lost. ln p = x - ln Σ e^x needs no probability at all. One such token makes the mean infinite, and a step later "
    "all weights are nan.",
)
