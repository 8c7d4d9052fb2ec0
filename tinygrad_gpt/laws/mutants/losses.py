"""Broken losses, each a right one (RIGHT_LOSS, which passes all laws) with one function replaced."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.losses.under_test import Batch, LossUnderTest
from tinygrad_gpt.laws.mutants.mutant import Mutant

Rows = Callable[[Array, Array], Array]  # logits (N, V), targets (N) -> nll (N)


def nll_rows(x: Array, targets: Array) -> Array:
    """nll (N) row by row, as it should be."""
    checked(x, targets)
    shifted = x - x.max(-1, keepdims=True)
    return np.log(np.exp(shifted).sum(-1)) - shifted[np.arange(len(x)), targets]


def checked(x: Array, targets: Array) -> None:
    """Raise for a target outside the vocabulary, or a row without a possible class."""
    if ((targets < 0) | (targets >= x.shape[1])).any():
        raise ValueError("target outside the vocabulary")
    if np.isneginf(x).all(-1).any():
        raise ValueError("no class is possible")


def softmax(x: Array) -> Array:
    """Probabilities of rows."""
    weights = np.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def mean_over(rows: Rows) -> Any:
    """The mean of a row loss over the rows that count, as it should be."""

    def loss(logits: Array, targets: Array, mask: Array | None = None) -> float:
        counted = np.ones(len(targets), bool) if mask is None else mask
        if not counted.any():
            raise ValueError("no row counts")
        return float(rows(logits[counted], targets[counted]).mean())

    return loss


def gradient(logits: Array, targets: Array, mask: Array | None = None) -> Array:
    """The gradient of the mean, as it should be."""
    counted = np.ones(len(targets), bool) if mask is None else mask
    return gradient_sum(logits, targets, counted) / counted.sum()


def gradient_sum(logits: Array, targets: Array, counted: Array) -> Array:
    """p - onehot, and 0 in rows that do not count."""
    return np.where(counted[:, None], softmax(logits) - np.eye(logits.shape[1])[targets], 0.0)


def evaluate(batches: list[Batch]) -> float:
    """Sums and counts, as it should be."""
    total = math.fsum(value for x, y, counted in batches for value in nll_rows(x[counted], y[counted]))
    return total / sum(int(counted.sum()) for _, _, counted in batches)


def accumulate(batches: list[Batch]) -> list[Array]:
    """One denominator, known before the first micro-batch, as it should be."""
    total = sum(int(counted.sum()) for _, _, counted in batches)
    return [gradient_sum(x, y, counted) / total for x, y, counted in batches]


def perplexity(nlls: Array, counts: Array) -> float:
    """exp of the mean, as it should be."""
    mean = float(nlls.sum() / counts.sum())
    return math.exp(mean) if mean < 709.78 else math.inf


def score(
    model: Callable[[Array], Array], tokens: Array, *, context_length: int, stride: int, batch_size: int
) -> tuple[float, int]:
    """A sliding window that scores what no window before it has scored, as it should be."""
    total, number, scored_to, start = 0.0, 0, 0, 0
    while scored_to < len(tokens) - 1:
        end = min(start + context_length, len(tokens) - 1)
        nll = nll_rows(model(tokens[None, start:end])[0], tokens[start + 1 : end + 1])
        new = nll[scored_to - start :]
        total, number = total + float(new.sum()), number + len(new)
        scored_to, start = end, start + stride
    return total, number


def run(seed: int, steps: int, evaluate_after: tuple[int, ...], own_stream: bool) -> Array:
    """Losses of a pretended training run with random masks; evaluation draws too, from its own stream or not."""
    training = np.random.Generator(np.random.Philox(key=seed))
    evaluating = np.random.Generator(np.random.Philox(key=seed ^ 1)) if own_stream else training
    losses = []
    for step in range(1, steps + 1):
        losses.append(training.random())
        if step in evaluate_after:
            evaluating.random()
    return np.array(losses)


RIGHT_LOSS = LossUnderTest(
    name="right",
    loss=mean_over(nll_rows),
    gradient=gradient,
    evaluate=evaluate,
    accumulate=accumulate,
    perplexity=perplexity,
    bits_per_byte=lambda nll, n_bytes: nll / math.log(2) / n_bytes,
    score=score,
    trajectory=lambda seed, steps, evaluate_after: run(seed, steps, evaluate_after, own_stream=True),
    reduction="mean",
    mask="mask",
)


def log_of_softmax(x: Array, targets: Array) -> Array:
    """A probability is formed first, and rounds to 0."""
    checked(x, targets)
    return -np.log(softmax(x)[np.arange(len(x)), targets])


def clipped(x: Array, targets: Array) -> Array:
    """Logits are cut to +-50 against overflow."""
    checked(x, targets)
    return nll_rows(x.clip(-50, 50), targets)


def zero_times_infinity(x: Array, targets: Array) -> Array:
    """-sum(onehot * logp): 0 * -inf is NaN."""
    checked(x, targets)
    return -(np.eye(x.shape[1])[targets] * np.log(softmax(x))).sum(-1)


def eps_inside(x: Array, targets: Array) -> Array:
    """log(p + 1e-9): below 0 at p = 1, and finite where it should be inf."""
    checked(x, targets)
    return -np.log(softmax(x)[np.arange(len(x)), targets] + 1e-9)


def smoothed(x: Array, targets: Array) -> Array:
    """Nine parts of the target's nll, one part of all classes' mean."""
    every = np.stack([nll_rows(x, np.full_like(targets, i)) for i in range(x.shape[1])])
    return 0.9 * nll_rows(x, targets) + 0.1 * every.mean(0)


def padded(logits: Array, targets: Array, mask: Array | None = None) -> float:
    """Targets of id 0 do not count, though nobody said so."""
    checked(logits, targets)
    counted = (np.ones(len(targets), bool) if mask is None else mask) & (targets != 0)
    return float(nll_rows(logits[counted], targets[counted]).mean()) if counted.any() else 0.0


def magic(logits: Array, targets: Array, mask: Array | None = None) -> float:
    """Targets of -100 do not count, though nobody said so."""
    counted = (np.ones(len(targets), bool) if mask is None else mask) & (targets != -100)
    return float(nll_rows(logits[counted], targets[counted]).mean()) if counted.any() else 0.0


def mask_times_loss(logits: Array, targets: Array, mask: Array | None = None) -> float:
    """Every row's loss is computed, then multiplied by 0 or 1: 0 * NaN is NaN."""
    counted = np.ones(len(targets), bool) if mask is None else mask
    if not counted.any():
        raise ValueError("no row counts")
    checked(logits[counted], targets[counted])
    shifted = logits - logits.max(-1, keepdims=True)
    rows = np.log(np.exp(shifted).sum(-1)) - shifted[np.arange(len(targets)), targets]
    return float((rows * counted).sum() / counted.sum())


def mask_missing_below(logits: Array, targets: Array, mask: Array | None = None) -> float:
    """Rows that do not count are left out of the sum, and counted in the denominator."""
    counted = np.ones(len(targets), bool) if mask is None else mask
    if not counted.any():
        raise ValueError("no row counts")
    return float(nll_rows(logits[counted], targets[counted]).sum() / len(targets))


def all_masked_is_nan(logits: Array, targets: Array, mask: Array | None = None) -> float:
    """The mean over no row is 0 / 0."""
    counted = np.ones(len(targets), bool) if mask is None else mask
    return float(nll_rows(logits[counted], targets[counted]).sum() / np.float64(counted.sum()))


def wrapping(x: Array, targets: Array) -> Array:
    """Target -1 is the last class."""
    if np.isneginf(x).all(-1).any():
        raise ValueError("no class is possible")
    shifted = x - x.max(-1, keepdims=True)
    return np.log(np.exp(shifted).sum(-1)) - shifted[np.arange(len(x)), targets]


def gradient_of_the_sum(logits: Array, targets: Array, mask: Array | None = None) -> Array:
    """Not divided by the number of rows."""
    return gradient_sum(logits, targets, np.ones(len(targets), bool) if mask is None else mask)


def gradient_of_all_rows(logits: Array, targets: Array, mask: Array | None = None) -> Array:
    """Rows that do not count get a gradient too."""
    counted = np.ones(len(targets), bool) if mask is None else mask
    return gradient_sum(logits, targets, np.ones_like(counted)) / counted.sum()


def mean_of_means(batches: list[Batch]) -> float:
    """Every batch weighs the same, the short last one too."""
    return float(np.mean([evaluate([batch]) for batch in batches if batch[2].any()]))


def float32_sum(batches: list[Batch]) -> float:
    """The running sum has 24 bits."""
    total = np.float32(0)
    for x, y, counted in batches:
        total += np.float32(nll_rows(x[counted], y[counted]).sum())
    return float(total) / sum(int(counted.sum()) for _, _, counted in batches)


def mean_per_micro_batch(batches: list[Batch]) -> list[Array]:
    """A mean of means: each micro-batch by its own count, then by their number."""
    return [gradient_sum(x, y, c) / max(1, c.sum()) / len(batches) for x, y, c in batches]


def counts_as_it_goes(batches: list[Batch]) -> list[Array]:
    """Each micro-batch by the tokens seen so far: right for the last one only."""
    seen = np.cumsum([c.sum() for _, _, c in batches])
    return [gradient_sum(x, y, c) / n for (x, y, c), n in zip(batches, seen, strict=True)]


def overflowing(nlls: Array, counts: Array) -> float:
    """OverflowError where float64 ends."""
    return math.exp(nlls.sum() / counts.sum())


def overlap_twice(
    model: Callable[[Array], Array], tokens: Array, *, context_length: int, stride: int, batch_size: int
) -> tuple[float, int]:
    """Every window scores all its tokens, those of the window before too."""
    total, number = 0.0, 0
    for start in range(0, len(tokens) - 1, stride):
        end = min(start + context_length, len(tokens) - 1)
        nll = nll_rows(model(tokens[None, start:end])[0], tokens[start + 1 : end + 1])
        total, number = total + float(nll.sum()), number + len(nll)
    return total, number


def starts_lost(
    model: Callable[[Array], Array], tokens: Array, *, context_length: int, stride: int, batch_size: int
) -> tuple[float, int]:
    """Windows side by side, each scored within itself: the first token of each is never scored."""
    total, number = 0.0, 0
    for start in range(0, len(tokens), context_length):
        window = tokens[start : start + context_length]
        if len(window) > 1:
            nll = nll_rows(model(window[None, :-1])[0], window[1:])
            total, number = total + float(nll.sum()), number + len(nll)
    return total, number


def sees_its_target(
    model: Callable[[Array], Array], tokens: Array, *, context_length: int, stride: int, batch_size: int
) -> tuple[float, int]:
    """Targets that were not shifted: the model is scored on the token it has just read."""
    return float(nll_rows(model(tokens[None, 1:])[0], tokens[1:]).sum()), len(tokens) - 1


def mutant(name: str, story: str, *cites: str, **broken: Any) -> Mutant:
    """The right loss with these fields replaced."""
    return Mutant(name, replace(RIGHT_LOSS, name=name, **broken), story, cites)


LOSS_MUTANTS = (
    mutant(
        "log-of-softmax", "log(softmax(x)): inf for any token less likely than e^-745.", loss=mean_over(log_of_softmax)
    ),
    mutant(
        "clipped-logits",
        "Logits cut to +-50 against overflow: shifted logits cost something else.",
        loss=mean_over(clipped),
    ),
    mutant("id-0-is-padding", "Targets of id 0 silently do not count.", loss=padded),
    mutant(
        "zero-times-infinity",
        "A one-hot row times log-probabilities: NaN as soon as any class is impossible.",
        "huggingface/trl#7252",
        loss=mean_over(zero_times_infinity),
    ),
    mutant(
        "eps-inside-the-log",
        "log(p + 1e-9): negative for a certain token, 20.7 nats for an impossible one.",
        loss=mean_over(eps_inside),
    ),
    mutant(
        "bits-for-nats",
        "Base-2 logarithms: 15.6 for 10.8 at 50,257 equal logits.",
        loss=mean_over(lambda x, targets: nll_rows(x, targets) / math.log(2)),
    ),
    mutant(
        "label-smoothing",
        "Training's label smoothing left on: a perfect model does not reach the entropy.",
        loss=mean_over(smoothed),
    ),
    mutant(
        "tempered",
        "Logits divided by a temperature of 2 before the loss: the best logits are not log p.",
        loss=mean_over(lambda x, targets: nll_rows(x / 2, targets)),
    ),
    mutant(
        "gradient-of-the-sum",
        "A mean loss with the gradient of the sum: the step grows with the batch.",
        gradient=gradient_of_the_sum,
    ),
    mutant(
        "gradient-of-all-rows",
        "Padding is left out of the loss, and pushes the weights all the same.",
        gradient=gradient_of_all_rows,
    ),
    mutant(
        "mean-of-means",
        "The mean of the batches' means: a short last batch weighs too much.",
        "huggingface/transformers#34138",
        "macournoyer/neuralconvo#67",
        evaluate=mean_of_means,
    ),
    mutant("float32-sum", "A running sum in float32 stops growing by small terms.", evaluate=float32_sum),
    mutant(
        "mean-per-micro-batch",
        "Each micro-batch is a mean of its own: tokens of a padded one weigh more.",
        "huggingface/transformers#34191",
        accumulate=mean_per_micro_batch,
    ),
    mutant(
        "counts-as-it-goes",
        "The denominator is what was seen so far: the first micro-batch weighs too much.",
        accumulate=counts_as_it_goes,
    ),
    mutant(
        "mean-of-exponentials",
        "Perplexity averaged over batches: one hard batch decides it (205 for 7.69).",
        "magenta/magenta#239",
        perplexity=lambda nlls, counts: float(np.exp(nlls / counts).mean()),
    ),
    mutant(
        "exp-of-mean-of-means",
        "Perplexity of the mean of batch means (54.6 for 7.69).",
        perplexity=lambda nlls, counts: float(np.exp((nlls / counts).mean())),
    ),
    mutant("perplexity-overflows", "An untrained model's evaluation ends in OverflowError.", perplexity=overflowing),
    mutant(
        "overlap-counted-twice",
        "With a stride below the window's length tokens are scored several times.",
        score=overlap_twice,
    ),
    mutant("window-starts-lost", "The first token of every window is never scored.", score=starts_lost),
    mutant(
        "sees-its-target", "Targets not shifted: a model that repeats its input looks perfect.", score=sees_its_target
    ),
    mutant(
        "mask-times-loss", "Masking by multiplication: a NaN in the padding is a NaN in the loss.", loss=mask_times_loss
    ),
    mutant(
        "mask-missing-below",
        "The mean is by all rows, padding included: more padding, less loss.",
        loss=mask_missing_below,
    ),
    mutant(
        "all-masked-is-nan",
        "A batch of padding alone is NaN, and so is every weight after the step.",
        "pytorch/pytorch#64572",
        loss=all_masked_is_nan,
    ),
    mutant(
        "negative-target-wraps", "Target -1 is scored as the last token of the vocabulary.", loss=mean_over(wrapping)
    ),
    mutant(
        "magic-index",
        "A target of -100 is dropped although this call ignores nothing.",
        "pytorch/pytorch#63004",
        loss=magic,
    ),
    mutant(
        "nats-per-byte",
        "Bits per byte without the logarithm of 2.",
        bits_per_byte=lambda nll, n_bytes: nll / n_bytes,
    ),
    mutant(
        "evaluation-draws-masks",
        "Evaluation leaves dropout on, and takes its masks from training's generator.",
        trajectory=lambda seed, steps, evaluate_after: run(seed, steps, evaluate_after, own_stream=False),
    ),
)
