"""The loss of a text as the mean of its batches' losses."""

from dataclasses import replace

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array
from tinygrad_gpt.laws.losses.under_test import Batch
from tinygrad_gpt.ops import log_softmax
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall


def evaluate(batches: list[Batch]) -> float:
    """Batches -> nats per token."""
    losses = []
    for logits, targets, counts in batches:
        if counts.any():
            losses.append(nll(logits, targets)[counts].mean())
    return float(np.mean(losses))


def evaluate_fixed(batches: list[Batch]) -> float:
    """Batches -> nats per token."""
    total, n = 0.0, 0
    for logits, targets, counts in batches:
        total += nll(logits, targets)[counts].sum()
        n += counts.sum()
    return float(total / n)


def nll(logits: Array, targets: Array) -> Array:
    """logits (N, V), targets (N) -> nats of each row (N)."""
    return -log_softmax(logits)[0][np.arange(len(targets)), targets]


def symptom(evaluate: Code) -> None:
    """One model, one text of ten tokens, several batch sizes.  The last token is hard to predict."""
    nats = np.array([1.0] * 9 + [5.0])
    logits = np.stack([np.zeros(10), np.log(np.expm1(nats))], -1)  # target 0 costs just that many nats
    targets, counts = np.zeros(10, int), np.ones(10, bool)
    for size in (10, 5, 4, 3):
        cuts = [slice(i, i + size) for i in range(0, 10, size)]
        loss = evaluate([(logits[cut], targets[cut], counts[cut]) for cut in cuts])
        print(f"batch size {size:>2}: loss {loss:.4f}, perplexity {np.exp(loss):.2f}")


sut = laws.LossUnderTest(name="evaluate", evaluate=evaluate)

PITFALL = Pitfall(
    name="mean-of-means",
    title="a loss that depends on the batch size",
    area="loss",
    task="The loss of a text in nats per token; it comes in batches (logits, targets, which rows count).",
    wrong=evaluate,
    fixed=evaluate_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, evaluate=evaluate_fixed),
    laws=("L07",),
    why="The last batch is shorter, padding makes others shorter too, and in a mean of means each of their tokens "
    "weighs more. Add up sums and counts, and divide once at the end.",
    sources=("huggingface/transformers#34138", "keras-team/keras-hub#2958", "macournoyer/neuralconvo#67"),
)
