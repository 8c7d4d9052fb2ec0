"""How well a model predicts a text: loss, perplexity, bits per byte.

Every token after the first is scored exactly once.  The loss is the sum of all their negative log-likelihoods divided
by their number; it is never a mean of means, which would weigh tokens unequally.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.checks import at_least_one, check_has, check_ids, equal_rows, whole_number
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.tape import no_grad

_NOT_SCORED = -1  # target of a token that an earlier window scored; ids are never negative


@dataclass(frozen=True)
class Evaluation:
    """The score of a text: the sum of the tokens' negative log-likelihoods, in nats, and the number of tokens."""

    nll: float
    tokens: int

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood, in nats per token."""
        return self.nll / self.tokens

    @property
    def perplexity(self) -> float:
        """e^loss: the model is as uncertain as a choice among that many equally likely tokens."""
        return perplexity(self.loss)

    def bits_per_byte(self, n_bytes: int) -> float:
        """Bits per byte of the scored text, comparable across tokenizers; n_bytes is the length of that text."""
        return self.nll / math.log(2) / n_bytes


def perplexity(loss: float) -> float:
    """e^loss of a mean loss in nats per token; inf where float64 overflows (a loss above 709.78)."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf
    except TypeError:
        raise TypeError(f"loss must be a number; got {loss!r}") from None


def evaluate(
    model: GPT,
    tokens: Array,
    *,
    stride: int | None = None,
    batch_size: int = 8,
    max_tokens: int | None = None,
    spread: bool = False,
    advance: Callable[[int], object] | None = None,
) -> Evaluation:
    """Score tokens[1:] (at most max_tokens of them), each given up to context_length tokens before it.

    A window of context_length tokens starts every `stride` tokens (default: context_length), and scores the tokens that
    no earlier window scored.  A smaller stride gives each token more context, and takes more time.  max_tokens limits
    the evaluation to the first tokens of the text; with spread, to windows that are spread evenly over the text and
    are among those of the whole text.

    There is no dropout, nothing is random, and the model does not change.  advance(n) is called after every n scored
    tokens, and may raise to end the evaluation.

    Raises TypeError for tokens that are not whole numbers; ValueError for a token outside the vocabulary, fewer than
    two tokens, a stride outside 1 ... context_length, or spread with a stride other than context_length.
    """
    check_has("model", model, "config", "loss")
    length, vocab_size = model.config.context_length, model.config.vocab_size
    stride = length if stride is None else whole_number("stride", stride, 1, f", at most context_length {length}")
    if stride > length:
        raise ValueError(f"stride must be a whole number of at least 1, at most context_length {length}; got {stride}")
    at_least_one("batch_size", batch_size)
    if max_tokens is not None:
        whole_number("max_tokens", max_tokens, 1, ", or None for all")
    if spread and stride != length:
        raise ValueError(
            f"spread=True needs windows side by side: stride must be context_length {length}; got {stride}"
        )
    tokens = equal_rows("tokens", tokens)
    if tokens.ndim != 1:
        raise ValueError(f"tokens must be one sequence (N,); got shape {tokens.shape}")
    if max_tokens is not None and not spread:
        tokens = tokens[: max_tokens + 1]
    if spread and layout(len(tokens), length, length, max_tokens).n_scored < len(tokens) - 1:
        assert max_tokens is not None
        chosen = spread_windows(tokens, length, max_tokens, vocab_size)  # checks the ids that it takes
    else:
        chosen = windows(check_ids(tokens, vocab_size, "tokens"), length, stride)
    if len(tokens) < 2:
        raise ValueError(f"evaluating needs at least 2 tokens; got {len(tokens)}")
    nll, scored = 0.0, 0
    with no_grad():
        for ids, targets in _batch_windows(chosen, batch_size):
            nll += model.loss(ids, targets, ignore_index=_NOT_SCORED, reduction="sum").item()
            new = int((targets != _NOT_SCORED).sum())
            scored += new
            if advance is not None:
                advance(new)
    return Evaluation(nll, scored)


@dataclass(frozen=True)
class Layout:
    """The windows of a text: where they start, how many tokens each scores at most, and how many all score together."""

    starts: Sequence[int]
    size: int
    n_scored: int


def layout(n_tokens: int, length: int, stride: int, spread_to: int | None = None) -> Layout:
    """The windows that `evaluate` makes of n_tokens tokens: one every `stride` tokens.

    If these would score more than spread_to tokens, only as many windows as have spread_to tokens together, at least
    one: the text is divided into that many parts, and each part's middle window is taken.
    """
    last = n_tokens - 1
    if spread_to is None or spread_to >= last:
        return Layout(range(0, max(1, last - length + stride), stride), length, last)
    n_windows, n_chosen, size = last // length, max(1, spread_to // length), min(length, spread_to)
    starts = [(2 * i + 1) * n_windows // (2 * n_chosen) * length for i in range(n_chosen)]
    return Layout(starts, size, n_chosen * size)


def count_windows(n_tokens: int, length: int, stride: int) -> int:
    """The number of windows that `evaluate` makes of n_tokens tokens, which must be at least 2."""
    return len(layout(n_tokens, length, stride).starts)


def windows(tokens: Array, length: int, stride: int) -> Iterator[tuple[Array, Array]]:
    """Inputs and targets (T) of each window; a target that an earlier window scored is -1."""
    last = len(tokens) - 1
    scored_to = 0  # tokens[1 : scored_to + 1] have been scored
    for start in layout(len(tokens), length, stride).starts:
        end = min(start + length, last)
        window = np.asarray(tokens[start : end + 1], np.int64)
        targets = window[1:].copy()
        targets[: scored_to - start] = _NOT_SCORED
        yield window[:-1], targets
        scored_to = end


def spread_windows(tokens: Array, length: int, max_tokens: int, vocab_size: int) -> Iterator[tuple[Array, Array]]:
    """Inputs and targets (T) of windows spread over the text; only their ids are checked."""
    chosen = layout(len(tokens), length, length, max_tokens)
    for start in chosen.starts:
        end = start + chosen.size + 1
        window = check_ids(tokens[start:end], vocab_size, f"tokens from {start}").astype(np.int64)
        yield window[:-1], window[1:]


def _batch_windows(pairs: Iterator[tuple[Array, Array]], batch_size: int) -> Iterator[tuple[Array, Array]]:
    """Windows stacked to (B, T); a shorter last window is a batch of its own."""
    waiting: list[tuple[Array, Array]] = []
    for pair in pairs:
        if waiting and (len(waiting) == batch_size or len(waiting[0][0]) != len(pair[0])):
            yield _stack_pairs(waiting)
            waiting = []
        waiting.append(pair)
    if waiting:
        yield _stack_pairs(waiting)


def _stack_pairs(pairs: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    ids, targets = zip(*pairs, strict=True)
    return np.stack(ids), np.stack(targets)
