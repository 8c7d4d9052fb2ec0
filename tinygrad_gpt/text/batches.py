"""Batches of chunks: the tokens of a training step, as a pure function of (seed, step).

    tokens      t0 t1 t2 t3 t4 t5 t6 ...
    chunk i     starts at i * stride; its inputs are context_length tokens, its targets the same shifted by one

A chunk needs context_length + 1 tokens, so of N tokens the starts are 0, stride, 2 stride ... up to and including
N - context_length - 1.  Each epoch takes every chunk once, in its own order.  To resume, only the step is needed.
"""

from dataclasses import dataclass, field

import numpy as np

from tinygrad_gpt import rng
from tinygrad_gpt.backend import Array
from tinygrad_gpt.checks import at_least_one


@dataclass(frozen=True, eq=False)
class Batches:
    """Batches of ids and targets (batch_size, context_length) from tokens (N,) of int, an array or a memory map.

    stride None means context_length: then no token is a target twice.  drop_last leaves out the chunks that do not fill
    a batch; without it the last batch of an epoch is smaller.  Error messages call the tokens by `name`.
    Raises ValueError, with the arithmetic, if the tokens are too few for one batch.

    >>> batches = Batches(np.arange(8), context_length=3, batch_size=2, shuffle=False)
    >>> [array.tolist() for array in batches.batch(1)]
    [[[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]]]
    """

    tokens: Array
    context_length: int
    batch_size: int
    stride: int | None = None
    shuffle: bool = True
    drop_last: bool = True
    seed: int = 0
    name: str = "text"
    _orders: dict[int, Array] = field(default_factory=dict, init=False, repr=False)  # the last epoch's, for speed

    def __post_init__(self) -> None:
        tokens = np.asarray(self.tokens)
        if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
            raise TypeError(f"tokens must be whole numbers (N,); got {tokens.dtype} of shape {tokens.shape}")
        object.__setattr__(self, "tokens", tokens)  # a memory map stays a memory map; nothing is read yet
        if self.stride is None:
            object.__setattr__(self, "stride", self.context_length)
        for name in ("context_length", "batch_size", "stride"):
            object.__setattr__(self, name, at_least_one(name, getattr(self, name)))
        rng.check_seed(self.seed)
        check_length(len(tokens), self.context_length, self.name)
        if not self.steps_per_epoch:
            raise ValueError(
                f"{self.name} gives {self.n_chunks} chunks of context_length {self.context_length}; batch_size "
                f"{self.batch_size} needs at least {self.batch_size}: use a batch_size of {self.n_chunks} or less, "
                "or drop_last=False"
            )

    @property
    def n_chunks(self) -> int:
        """The number of chunks, including those that drop_last leaves out."""
        return (len(self.tokens) - self.context_length - 1) // self._stride + 1

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches in an epoch."""
        return self.n_chunks // self.batch_size if self.drop_last else -(-self.n_chunks // self.batch_size)

    @property
    def tokens_per_epoch(self) -> int:
        """The number of targets in an epoch."""
        chunks = self.steps_per_epoch * self.batch_size if self.drop_last else self.n_chunks
        return chunks * self.context_length

    def batch(self, step: int) -> tuple[Array, Array]:
        """ids and targets (B, T) of int64 for this step.  Steps count from 1 across epochs, and can be in any order."""
        epoch, i = divmod(at_least_one("step", step) - 1, self.steps_per_epoch)
        return self._rows(self._order(epoch)[i * self.batch_size : (i + 1) * self.batch_size])

    @property
    def _stride(self) -> int:
        assert self.stride is not None  # set by __post_init__
        return self.stride

    def _order(self, epoch: int) -> Array:
        """The order of the chunks in an epoch, counted from 0: (n_chunks,) of int64."""
        if not self.shuffle:
            return np.arange(self.n_chunks)
        order = self._orders.get(epoch)
        if order is None:
            order = rng.permutation(self.n_chunks, self.seed, rng.Purpose.DATA_ORDER, step=epoch)
            self._orders.clear()
            self._orders[epoch] = order
        return order

    def _rows(self, chunks: Array) -> tuple[Array, Array]:
        """ids and targets of these chunks (B,): two arrays (B, T), both copies."""
        starts = chunks[:, None] * self._stride  # (B, 1)
        windows = self.tokens[starts + np.arange(self.context_length + 1)].astype(np.int64)  # (B, T + 1)
        return windows[:, :-1].copy(), windows[:, 1:].copy()


def check_length(n_tokens: int, context_length: int, name: str = "text", *, shortest: int | None = None) -> None:
    """Raise ValueError, with the arithmetic, if n_tokens are too few for one chunk and its last target.

    shortest is the number of tokens in the shortest part, if the text is split into parts that each need a chunk.
    """
    if n_tokens > context_length:
        return
    most = (n_tokens if shortest is None else shortest) - 1
    shorter = f"use a context_length of {most} or less, or more text" if most > 0 else "use more text"
    raise ValueError(
        f"{name} has {n_tokens} token{'' if n_tokens == 1 else 's'}; "
        f"context_length {context_length} needs at least {context_length + 1}: {shorter}"
    )
