"""A right loss, and broken ones: each with one function replaced, and its effect for a user."""

import math
from collections.abc import Callable
from dataclasses import replace
from inspect import cleandoc
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.losses.under_test import Batch, LossUnderTest
from tinygrad_gpt.laws.mutation import Mutant

Rows = Callable[[Array, Array], Array]  # logits (N, V), targets (N) -> nll (N)


def nll_rows(x: Array, targets: Array) -> Array:
    """The right nll (N), row by row."""
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
    """The right mean: of a row loss over the counted rows."""

    def loss(logits: Array, targets: Array, mask: Array | None = None) -> float:
        counted = np.ones(len(targets), bool) if mask is None else mask
        if not counted.any():
            raise ValueError("no row counts")
        return float(rows(logits[counted], targets[counted]).mean())

    return loss


def gradient(logits: Array, targets: Array, mask: Array | None = None) -> Array:
    """The right gradient of the mean."""
    counted = np.ones(len(targets), bool) if mask is None else mask
    return gradient_sum(logits, targets, counted) / counted.sum()


def gradient_sum(logits: Array, targets: Array, counted: Array) -> Array:
    """p - onehot; 0 in rows that are not counted."""
    return np.where(counted[:, None], softmax(logits) - np.eye(logits.shape[1])[targets], 0.0)


def evaluate(batches: list[Batch]) -> float:
    """The right evaluation: by sums and counts."""
    total = math.fsum(value for x, y, counted in batches for value in nll_rows(x[counted], y[counted]))
    return total / sum(int(counted.sum()) for _, _, counted in batches)


def accumulate(batches: list[Batch]) -> list[Array]:
    """The right accumulation: one denominator, known before the first micro-batch."""
    total = sum(int(counted.sum()) for _, _, counted in batches)
    return [gradient_sum(x, y, counted) / total for x, y, counted in batches]


def perplexity(nlls: Array, counts: Array) -> float:
    """The right perplexity: exp of the mean."""
    mean = float(nlls.sum() / counts.sum())
    return math.exp(mean) if mean < 709.78 else math.inf


def score(
    model: Callable[[Array], Array], tokens: Array, *, context_length: int, stride: int, batch_size: int
) -> tuple[float, int]:
    """The right sliding window: it scores only tokens that no window before it has scored."""
    total, number, scored_to, start = 0.0, 0, 0, 0
    while scored_to < len(tokens) - 1:
        end = min(start + context_length, len(tokens) - 1)
        nll = nll_rows(model(tokens[None, start:end])[0], tokens[start + 1 : end + 1])
        new = nll[scored_to - start :]
        total, number = total + float(new.sum()), number + len(new)
        scored_to, start = end, start + stride
    return total, number


def run(seed: int, steps: int, evaluate_after: tuple[int, ...], own_stream: bool) -> Array:
    """Losses of a simulated training run with random masks; evaluation has its own stream or draws from training's."""
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


LOSS_MUTANTS: list[Mutant] = []


def mutant(name, *cites, field="loss", rows=False):
    """The function below replaces the right one in the mutant; its docstring is the story."""

    def add(broken):
        made = mean_over(broken) if rows else broken  # rows: a function of rows, whose mean is the loss
        sut = replace(RIGHT_LOSS, name=name, **{field: made})
        LOSS_MUTANTS.append(Mutant(name, sut, cleandoc(broken.__doc__), cites))
        return broken

    return add


@mutant("log-of-softmax", rows=True)
def log_of_softmax(x: Array, targets: Array) -> Array:
    """log(softmax(x)): inf for any token less likely than e^-745."""
    checked(x, targets)
    return -np.log(softmax(x)[np.arange(len(x)), targets])


@mutant("clipped-logits", rows=True)
def clipped(x: Array, targets: Array) -> Array:
    """Logits are clipped to +-50 against overflow: shifted logits have another loss."""
    checked(x, targets)
    return nll_rows(x.clip(-50, 50), targets)


@mutant("id-0-is-padding")
def padded(logits: Array, targets: Array, mask: Array | None = None) -> float:
    """Targets of id 0 are silently ignored."""
    checked(logits, targets)
    counted = (np.ones(len(targets), bool) if mask is None else mask) & (targets != 0)
    return float(nll_rows(logits[counted], targets[counted]).mean()) if counted.any() else 0.0


@mutant("zero-times-infinity", "huggingface/trl#7252", rows=True)
def zero_times_infinity(x: Array, targets: Array) -> Array:
    """A one-hot row times log-probabilities: NaN as soon as any class is impossible."""
    checked(x, targets)
    return -(np.eye(x.shape[1])[targets] * np.log(softmax(x))).sum(-1)


@mutant("eps-inside-the-log", rows=True)
def eps_inside(x: Array, targets: Array) -> Array:
    """log(p + 1e-9): negative for a certain token, 20.7 nats for an impossible one."""
    checked(x, targets)
    return -np.log(softmax(x)[np.arange(len(x)), targets] + 1e-9)


@mutant("bits-for-nats", rows=True)
def in_bits(x, targets):
    """Base-2 logarithms: 15.6 for 10.8 at 50,257 equal logits."""
    return nll_rows(x, targets) / math.log(2)


@mutant("label-smoothing", rows=True)
def smoothed(x: Array, targets: Array) -> Array:
    """Training's label smoothing left on: a perfect model does not reach the entropy."""
    every = np.stack([nll_rows(x, np.full_like(targets, i)) for i in range(x.shape[1])])
    return 0.9 * nll_rows(x, targets) + 0.1 * every.mean(0)


@mutant("tempered", rows=True)
def tempered(x, targets):
    """Logits divided by a temperature of 2 before the loss: the best logits are not log p."""
    return nll_rows(x / 2, targets)


@mutant("gradient-of-the-sum", field="gradient")
def gradient_of_the_sum(logits: Array, targets: Array, mask: Array | None = None) -> Array:
    """A mean loss with the gradient of the sum: the step grows with the batch."""
    return gradient_sum(logits, targets, np.ones(len(targets), bool) if mask is None else mask)


@mutant("gradient-of-all-rows", field="gradient")
def gradient_of_all_rows(logits: Array, targets: Array, mask: Array | None = None) -> Array:
    """Padding is left out of the loss, but not of the gradient."""
    counted = np.ones(len(targets), bool) if mask is None else mask
    return gradient_sum(logits, targets, np.ones_like(counted)) / counted.sum()


@mutant("mean-of-means", "huggingface/transformers#34138", "macournoyer/neuralconvo#67", field="evaluate")
def mean_of_means(batches: list[Batch]) -> float:
    """The mean of the batches' means: a short last batch weighs too much."""
    return float(np.mean([evaluate([batch]) for batch in batches if batch[2].any()]))


@mutant("float32-sum", field="evaluate")
def float32_sum(batches: list[Batch]) -> float:
    """A running sum in float32 stops growing by small terms."""
    total = np.float32(0)
    for x, y, counted in batches:
        total += np.float32(nll_rows(x[counted], y[counted]).sum())
    return float(total) / sum(int(counted.sum()) for _, _, counted in batches)


@mutant("mean-per-micro-batch", "huggingface/transformers#34191", field="accumulate")
def mean_per_micro_batch(batches: list[Batch]) -> list[Array]:
    """Each micro-batch is averaged separately: tokens of a padded one weigh more."""
    return [gradient_sum(x, y, c) / max(1, c.sum()) / len(batches) for x, y, c in batches]


@mutant("counts-as-it-goes", field="accumulate")
def counts_as_it_goes(batches: list[Batch]) -> list[Array]:
    """The denominator is the count so far: the first micro-batch weighs too much."""
    seen = np.cumsum([c.sum() for _, _, c in batches])
    return [gradient_sum(x, y, c) / n for (x, y, c), n in zip(batches, seen, strict=True)]


@mutant("mean-of-exponentials", "magenta/magenta#239", field="perplexity")
def mean_of_exponentials(nlls, counts):
    """Perplexity averaged over batches: one hard batch decides it (205 for 7.69)."""
    return float(np.exp(nlls / counts).mean())


@mutant("exp-of-mean-of-means", field="perplexity")
def exp_of_mean_of_means(nlls, counts):
    """Perplexity of the mean of batch means (54.6 for 7.69)."""
    return float(np.exp((nlls / counts).mean()))


@mutant("perplexity-overflows", field="perplexity")
def overflowing(nlls: Array, counts: Array) -> float:
    """An untrained model's evaluation ends in OverflowError."""
    return math.exp(nlls.sum() / counts.sum())


@mutant("overlap-counted-twice", field="score")
def overlap_twice(
    model: Callable[[Array], Array], tokens: Array, *, context_length: int, stride: int, batch_size: int
) -> tuple[float, int]:
    """With a stride below the window's length, tokens are scored several times."""
    total, number = 0.0, 0
    for start in range(0, len(tokens) - 1, stride):
        end = min(start + context_length, len(tokens) - 1)
        nll = nll_rows(model(tokens[None, start:end])[0], tokens[start + 1 : end + 1])
        total, number = total + float(nll.sum()), number + len(nll)
    return total, number


@mutant("window-starts-lost", field="score")
def starts_lost(
    model: Callable[[Array], Array], tokens: Array, *, context_length: int, stride: int, batch_size: int
) -> tuple[float, int]:
    """The first token of every window is never scored."""
    total, number = 0.0, 0
    for start in range(0, len(tokens), context_length):
        window = tokens[start : start + context_length]
        if len(window) > 1:
            nll = nll_rows(model(window[None, :-1])[0], window[1:])
            total, number = total + float(nll.sum()), number + len(nll)
    return total, number


@mutant("sees-its-target", field="score")
def sees_its_target(
    model: Callable[[Array], Array], tokens: Array, *, context_length: int, stride: int, batch_size: int
) -> tuple[float, int]:
    """Targets not shifted: a model that repeats its input looks perfect."""
    return float(nll_rows(model(tokens[None, 1:])[0], tokens[1:]).sum()), len(tokens) - 1


@mutant("mask-times-loss")
def mask_times_loss(logits: Array, targets: Array, mask: Array | None = None) -> float:
    """Masking by multiplication: a NaN in the padding is a NaN in the loss."""
    counted = np.ones(len(targets), bool) if mask is None else mask
    if not counted.any():
        raise ValueError("no row counts")
    checked(logits[counted], targets[counted])
    shifted = logits - logits.max(-1, keepdims=True)
    rows = np.log(np.exp(shifted).sum(-1)) - shifted[np.arange(len(targets)), targets]
    return float((rows * counted).sum() / counted.sum())


@mutant("mask-missing-below")
def mask_missing_below(logits: Array, targets: Array, mask: Array | None = None) -> float:
    """The mean is over all rows, padding included: more padding, less loss."""
    counted = np.ones(len(targets), bool) if mask is None else mask
    if not counted.any():
        raise ValueError("no row counts")
    return float(nll_rows(logits[counted], targets[counted]).sum() / len(targets))


@mutant("all-masked-is-nan", "pytorch/pytorch#64572")
def all_masked_is_nan(logits: Array, targets: Array, mask: Array | None = None) -> float:
    """A batch of padding alone is NaN, and so is every weight after the step."""
    counted = np.ones(len(targets), bool) if mask is None else mask
    return float(nll_rows(logits[counted], targets[counted]).sum() / np.float64(counted.sum()))


@mutant("negative-target-wraps", rows=True)
def wrapping(x: Array, targets: Array) -> Array:
    """Target -1 is scored as the last token of the vocabulary."""
    if np.isneginf(x).all(-1).any():
        raise ValueError("no class is possible")
    shifted = x - x.max(-1, keepdims=True)
    return np.log(np.exp(shifted).sum(-1)) - shifted[np.arange(len(x)), targets]


@mutant("magic-index", "pytorch/pytorch#63004")
def magic(logits: Array, targets: Array, mask: Array | None = None) -> float:
    """A target of -100 is dropped although this call ignores nothing."""
    counted = (np.ones(len(targets), bool) if mask is None else mask) & (targets != -100)
    return float(nll_rows(logits[counted], targets[counted]).mean()) if counted.any() else 0.0


@mutant("nats-per-byte", field="bits_per_byte")
def nats_per_byte(nll, n_bytes):
    """Bits per byte without the logarithm of 2."""
    return nll / n_bytes


@mutant("evaluation-draws-masks", field="trajectory")
def evaluation_draws_masks(seed, steps, evaluate_after):
    """Evaluation leaves dropout on, and takes its masks from training's generator."""
    return run(seed, steps, evaluate_after, own_stream=False)
