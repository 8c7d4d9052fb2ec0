"""Text one token after another: run the model, shape its distribution, draw, append."""

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, cast

import numpy as np

from tinygrad_gpt.backend import Array, array_module, to_host
from tinygrad_gpt.checks import check_has, check_ids, whole_number
from tinygrad_gpt.nn import GPT, Cache
from tinygrad_gpt.nn.cache import pad_rows
from tinygrad_gpt.rng import check_seed
from tinygrad_gpt.sampling.checks import check_logits
from tinygrad_gpt.sampling.distribution import shape_distribution
from tinygrad_gpt.sampling.draw import draw, uniforms
from tinygrad_gpt.sampling.sample import draw_tokens
from tinygrad_gpt.sampling.settings import RowSettings, SamplerSettings
from tinygrad_gpt.tape import no_grad

_STOPPED_ID = -1  # what a row yields instead of a token after it has drawn a stop token
_NO_PROBABILITIES = np.zeros((0, 0))


class Config(Protocol):
    """What generation needs of a model's configuration."""

    @property
    def context_length(self) -> int:
        """The number of tokens that the model can see."""

    @property
    def vocab_size(self) -> int:
        """The number of tokens in the vocabulary."""


class Model(Protocol):
    """Any function of ids (B, T) whose result has logits (B, T, V) as .data."""

    @property
    def config(self) -> Config:
        """The model's sizes."""

    def __call__(self, ids: Array, /) -> Array:
        """One forward pass over ids."""


NextLogits = Callable[[list[list[int]]], Array]


class Step(NamedTuple):
    """One generated token per row, the model's logits for it, and the distribution that it was drawn from."""

    ids: Array  # (B,)
    logits: Array  # (B, V)
    probabilities: Array  # (B, V)


def generate(
    model: Model,
    prompts: Array | Sequence[Sequence[int]],
    max_new_tokens: int,
    *,
    temperature: float | Array = 0.0,
    top_k: int | Array | None = None,
    top_p: float | Array | None = None,
    min_p: float | Array | None = None,
    ties: str = "exact",
    seed: int = 0,
    stop_tokens: Iterable[int] = (),
    return_probabilities: bool = False,
    use_cache: bool = True,
) -> Iterator[Array]:
    """Continue every prompt, and yield the next token of each row step by step: (B,) of int64 on the host.

    prompts are (B, T) of int, or B sequences of ids of any lengths from 1.  The model sees the last context_length
    tokens.  After a row has drawn a stop token it yields -1; the generation ends when all rows have stopped.
    With use_cache a GPT runs only on each new token and caches keys and values; without it, on the whole text again.
    The logits of the two ways differ by rounding.  By rounding they also depend on the other rows of the batch and on
    the row's position in it: BLAS does not sum the products of all rows in the same order.  So equal prompts in a batch
    can diverge where two tokens are almost equally likely.
    With return_probabilities it yields a Step.  Its entries for a stopped row have no meaning.

    The token at position t of row b is drawn with word t of that row's stream.  So continuing a generated text gives
    the same tokens as generating it in one call.

    Raises ValueError or TypeError at once for bad arguments; later only if the model's logits are not finite.
    """
    check_has("model", model, "config", "__call__")
    vocab_size = model.config.vocab_size
    sequences = _check_prompts(prompts, vocab_size)
    settings = SamplerSettings(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, ties=ties)
    steps = _generate_steps(
        model,
        sequences,
        whole_number("max_new_tokens", max_new_tokens, 0),
        settings.per_row((len(sequences),)),
        check_seed(seed),
        _check_stop_tokens(stop_tokens, vocab_size),
        use_cache,
        return_probabilities,
    )
    return steps if return_probabilities else (step.ids for step in steps)


def _generate_steps(
    model: Model,
    sequences: list[list[int]],
    max_new_tokens: int,
    settings: RowSettings,
    seed: int,
    stop_tokens: list[int],
    use_cache: bool,
    return_probabilities: bool,
) -> Iterator[Step]:
    """The loop, which appends the drawn tokens to sequences.  Without probabilities the Step has none."""
    rows = np.arange(len(sequences))
    next_logits = _next_logits_function(model, sequences, max_new_tokens, use_cache)
    stopped = np.zeros(len(sequences), bool)
    for n in range(max_new_tokens):
        if stopped.all():
            return
        logits = next_logits(sequences)
        try:
            x = check_logits(logits)
        except ValueError as error:
            raise ValueError(f"new token {n} cannot be drawn: {error}") from error
        u = uniforms(seed, rows, [len(sequence) for sequence in sequences])
        probs = shape_distribution(x, settings) if return_probabilities else _NO_PROBABILITIES
        drawn = draw(probs, u) if return_probabilities else draw_tokens(x, settings, u)
        ids = np.where(stopped, _STOPPED_ID, to_host(drawn))
        for sequence, token in zip(sequences, ids.tolist(), strict=True):
            if token != _STOPPED_ID:
                sequence.append(token)
        stopped |= np.isin(ids, stop_tokens)
        yield Step(ids, logits, probs)


def _next_logits_function(model: Model, sequences: list[list[int]], max_new_tokens: int, use_cache: bool) -> NextLogits:
    """A function that returns the model's logits (B, V) for the token after the last one of each row.

    A GPT computes only these logits, and caches keys and values between calls.  Once a row is longer than the context,
    each new token changes the position of every other, so from then on the whole window is computed each time.  Any
    other model computes the whole window and the logits of all its tokens each time.
    """
    context_length = model.config.context_length
    if not _supports_cache(model):
        return lambda sequences: _logits_after(model, _last_windows(sequences, context_length))
    gpt, longest = cast(GPT, model), max((len(sequence) for sequence in sequences), default=0)
    cache = None
    if use_cache and 0 < longest < context_length:
        length = min(longest + max_new_tokens, context_length)
        cache = Cache(gpt.config, len(sequences), length, gpt.head.data)

    def next_logits(sequences: list[list[int]]) -> Array:
        fits = max(len(sequence) for sequence in sequences) <= context_length
        return gpt.next_logits(_last_windows(sequences, context_length), cache if fits else None)

    return next_logits


def _last_windows(sequences: list[list[int]], context_length: int) -> list[list[int]]:
    """The last context_length ids of each row."""
    return [sequence[-context_length:] for sequence in sequences]


def _supports_cache(model: Model) -> bool:
    """True for a GPT with GPT's own forward pass; a subclass may compute something else."""
    return isinstance(model, GPT) and type(model).__call__ is GPT.__call__


def _logits_after(model: Model, windows: list[list[int]]) -> Array:
    """The model's logits (B, V) after the last token of each row, from a pass over whole windows."""
    with no_grad():  # only around the model: a generator's context would also hold in the caller's loop
        logits = model(pad_rows(windows)).data  # (B, T, V)
    xp = array_module(logits)
    last = [len(window) - 1 for window in windows]
    return logits[xp.arange(len(windows)), xp.asarray(last)]


def _check_prompts(prompts: Array | Sequence[Sequence[int]], vocab_size: int) -> list[list[int]]:
    """The prompts as a list of ids per row.  Raises ValueError for an empty row or an id outside the vocabulary."""
    sequences = []
    for b, prompt in enumerate(prompts):
        ids = to_host(prompt)
        if ids.ndim != 1:
            raise ValueError(f"prompts must be rows of ids, [ids] for a single one; got shape {ids.shape} as row {b}")
        if not len(ids):
            raise ValueError(f"prompts must have at least one id in each row; got none in row {b}")
        sequences.append(check_ids(ids, vocab_size, f"ids of prompt {b}").tolist())
    return sequences


def _check_stop_tokens(stop_tokens: Iterable[int], vocab_size: int) -> list[int]:
    """stop_tokens as a list.  Raises ValueError for an id outside the vocabulary, because it could never be drawn."""
    try:
        tokens = [operator.index(token) for token in stop_tokens]
    except TypeError:
        raise TypeError(f"stop_tokens must be a sequence of ids; got {stop_tokens!r}") from None
    for token in tokens:
        if not 0 <= token < vocab_size:
            raise ValueError(f"stop_tokens must hold ids from 0 to {vocab_size - 1}; got {token}")
    return tokens
