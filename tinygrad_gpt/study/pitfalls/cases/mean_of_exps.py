"""Perplexity averaged over batches."""

from dataclasses import replace

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall


def perplexity(nlls: Array, counts: Array) -> float:
    """Summed nats and tokens of each batch -> one number."""
    losses = nlls / counts
    return float(np.exp(losses).mean())


def perplexity_fixed(nlls: Array, counts: Array) -> float:
    """Summed nats and tokens of each batch -> one number."""
    loss = nlls.sum() / counts.sum()
    return float(np.exp(loss))


def symptom(perplexity: Code) -> None:
    """1,000 tokens at 2 nats, then 10 at 6 nats."""
    easy, hard = (1000, 2.0), (10, 6.0)
    for name, pieces in (("the easy part", [easy]), ("the whole text, in two batches", [easy, hard])):
        counts = np.array([n for n, _ in pieces])
        nlls = np.array([n * nats for n, nats in pieces])
        print(f"{name:<31} {counts.sum():>4} tokens, {nlls.sum():.0f} nats: perplexity {perplexity(nlls, counts):.2f}")


sut = laws.LossUnderTest(name="perplexity", perplexity=perplexity)

PITFALL = Pitfall(
    name="mean-of-exps",
    title="ten tokens that ruin a thousand",
    area="loss",
    task="The perplexity of a text from the summed nats and the number of tokens of its batches.",
    wrong=perplexity,
    fixed=perplexity_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, perplexity=perplexity_fixed),
    laws=("L09",),
    why="Perplexity is e to the mean loss per token. The mean of exponentials is larger (Jensen), and the worst batch "
    "dominates it; the number changes with the batch size and cannot be compared with others.",
    sources=("magenta/magenta#239",),
)
