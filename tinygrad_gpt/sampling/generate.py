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
from tinygrad_gpt.sampling.settings import RowSettings, SamplerSettings
from tinygrad_gpt.tape import no_grad

_STOPPED_ID = -1  # in place of a token, once its row has drawn a stop token


class Config(Protocol):
    """What generation asks of a model's configuration."""

    @property
    def context_length(self) -> int:
        """How many tokens the model can see."""

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""


class Model(Protocol):
    """Anything that gives, for ids (B, T), an object whose .data are logits (B, T, V)."""

    @property
    def config(self) -> Config:
        """Its sizes."""

    def __call__(self, ids: Array, /) -> Array:
        """One pass over ids."""


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
    """Continue every prompt; yields the next token of each row, (B,) of int64 on the host, step by step.

    prompts (B, T) of int, or B id sequences of any lengths from 1.  The model sees the last context_length tokens.
    A row that has drawn a stop token gives -1 from then on; all rows stopped ends the generation.
    With use_cache a GPT runs on each new token alone, remembering keys and values; without, on the whole text again.
    The logits of both differ by rounding, and a row's logits by rounding with the rows beside it and its place among
    them: BLAS adds up the products of some rows in another order than those of others.  So equal prompts of a batch
    can part where two tokens are all but equally likely.
    With return_probabilities it yields a Step; a stopped row's entries there mean nothing.

    The token at place t of row b is drawn with word t of that row's stream, so that continuing a text gives what
    generating it in one go would have given.

    Raises ValueError or TypeError at once for bad arguments; later only if the model gives logits that are not finite.
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
) -> Iterator[Step]:
    """The loop.  Appends to sequences as it goes."""
    rows = np.arange(len(sequences))
    read = _next_logits_function(model, sequences, max_new_tokens, use_cache)
    stopped = np.zeros(len(sequences), bool)
    for n in range(max_new_tokens):
        if stopped.all():
            return
        logits = read(sequences)
        try:
            probs = shape_distribution(check_logits(logits), settings)
        except ValueError as error:
            raise ValueError(f"new token {n} cannot be drawn: {error}") from error
        u = uniforms(seed, rows, [len(sequence) for sequence in sequences])
        ids = np.where(stopped, _STOPPED_ID, to_host(draw(probs, u)))
        for sequence, token in zip(sequences, ids.tolist(), strict=True):
            if token != _STOPPED_ID:
                sequence.append(token)
        stopped |= np.isin(ids, stop_tokens)
        yield Step(ids, logits, probs)


def _next_logits_function(model: Model, sequences: list[list[int]], max_new_tokens: int, use_cache: bool) -> NextLogits:
    """A function that gives the model's logits (B, V) for the token after the last one of each row.

    A GPT computes those logits alone, and remembers keys and values between calls until a row outgrows its context:
    then every token's place changes with each new one, and the window is read anew each time.  A model of another kind
    reads the window anew from the start, and gives the logits of all its tokens.
    """
    context_length = model.config.context_length
    if not _supports_cache(model):
        return lambda sequences: _logits_after(model, _last_windows(sequences, context_length))
    gpt, longest = cast(GPT, model), max((len(sequence) for sequence in sequences), default=0)
    cache = None
    if use_cache and 0 < longest < context_length:
        room = min(longest + max_new_tokens, context_length)
        cache = Cache(gpt.config, len(sequences), room, gpt.head.data)

    def read(sequences: list[list[int]]) -> Array:
        fits = max(len(sequence) for sequence in sequences) <= context_length
        return gpt.next_logits(_last_windows(sequences, context_length), cache if fits else None)

    return read


def _last_windows(sequences: list[list[int]], context_length: int) -> list[list[int]]:
    """The last ids of each row, as many as the model can see."""
    return [sequence[-context_length:] for sequence in sequences]


def _supports_cache(model: Model) -> bool:
    """Whether the model's logits are those of GPT's own forward pass: a subclass may do more than that."""
    return isinstance(model, GPT) and type(model).__call__ is GPT.__call__


def _logits_after(model: Model, windows: list[list[int]]) -> Array:
    """The model's logits (B, V) after the last token of each row, from a pass over all of them."""
    with no_grad():  # around the model alone: what holds here must not hold in the caller's loop body
        logits = model(pad_rows(windows)).data  # (B, T, V)
    xp = array_module(logits)
    last = [len(window) - 1 for window in windows]
    return logits[xp.arange(len(windows)), xp.asarray(last)]


def _check_prompts(prompts: Array | Sequence[Sequence[int]], vocab_size: int) -> list[list[int]]:
    """prompts as one list of ids per row.  Raises ValueError for an empty row or an id outside the vocabulary."""
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
    """stop_tokens as a list.  Raises ValueError for an id outside the vocabulary, which could never be drawn."""
    try:
        tokens = [operator.index(token) for token in stop_tokens]
    except TypeError:
        raise TypeError(f"stop_tokens must be a sequence of ids; got {stop_tokens!r}") from None
    for token in tokens:
        if not 0 <= token < vocab_size:
            raise ValueError(f"stop_tokens must hold ids from 0 to {vocab_size - 1}; got {token}")
    return tokens
