"""Keys and values remembered: what makes a generated token cost one token's work and not the whole text's.

A token's key and value depend on the tokens up to it, and those do not change while text is appended.  So a pass over
new tokens alone gives the same logits as a pass over everything, if they attend to the remembered ones too.

A token's embedding depends on its place, though: once the text is longer than the context, all tokens of the window
move by one place, and nothing remembered is true any more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from tinygrad_gpt import ops
from tinygrad_gpt.backend import Array, array_module
from tinygrad_gpt.kernels import FASTER, cuda, kernel_for
from tinygrad_gpt.nn.config import GPTConfig
from tinygrad_gpt.ops.attention import merge_heads, split_heads
from tinygrad_gpt.tape import Tensor, apply


@dataclass(frozen=True)
class NewTokens:
    """The tokens of one pass: ids (B, T), the i-th row's first counts[i] of them real, the rest padding."""

    ids: Array
    counts: Array  # (B)
    first: Array  # (B): the place of each row's first token
    spans: Array  # (2, B): first and counts, where the cache is

    @cached_property
    def places(self) -> Array:
        """(B, T): each token's place in its row."""
        return self.first[:, None] + np.arange(self.ids.shape[1])

    @cached_property
    def real(self) -> tuple[Array, Array, Array]:
        """Of each token that is no padding: its row, its column in ids, its place in the row."""
        rows, columns = np.nonzero(np.arange(self.ids.shape[1]) < self.counts[:, None])
        return rows, columns, self.first[rows] + columns


class Cache:
    """Keys and values of up to `length` tokens in each of n_rows rows, for every block of a model.

    seen (B) tells how many tokens of each row it holds.  Rows may only grow: what has been seen is not looked at again.
    `like` is an array of the model's: the cache has its dtype and is where it is.

    Raises ValueError for a length above the model's context.
    """

    def __init__(self, config: GPTConfig, n_rows: int, length: int, like: Array) -> None:
        if not 1 <= length <= config.context_length:
            raise ValueError(f"length must be from 1 to context_length {config.context_length}; got {length}")
        heads, width = config.n_heads, config.emb_dim // config.n_heads
        shape = (config.n_layers, 2, n_rows, heads, length, width)
        # zeros, not empty: what is not there yet is masked, and 0 times it must not be nan
        self.arrays = array_module(like).zeros(shape, like.dtype)
        self.seen = np.zeros(n_rows, np.int64)

    def new_tokens(self, sequences: Sequence[Sequence[int]]) -> NewTokens:
        """What of these rows it has not seen; a row without news gives its last token once more.

        Raises ValueError for another number of rows, an empty one, a shorter one than before, or one too long.
        """
        lengths, room = [len(sequence) for sequence in sequences], self.arrays.shape[4]
        if len(lengths) != len(self.seen):
            raise ValueError(f"sequences must be {len(self.seen)} rows, as the cache has; got {len(lengths)}")
        for b, (length, seen) in enumerate(zip(lengths, self.seen.tolist(), strict=True)):
            if not max(1, seen) <= length <= room:
                allowed = f"from {max(1, seen)} (seen so far) to {room} (the cache's room)"
                raise ValueError(f"row {b} of sequences must be {allowed} tokens long; got {length}")
        first = np.minimum(self.seen, np.array(lengths) - 1)
        news = [sequence[start:] for sequence, start in zip(sequences, first.tolist(), strict=True)]
        counts = np.array([len(new) for new in news])
        return NewTokens(padded(news), counts, first, array_module(self.arrays).asarray(np.stack([first, counts])))

    def attend(self, block: int, new: NewTokens, qkv: Tensor) -> Tensor:
        """Remember the new tokens' keys and values; let their queries attend to all up to them.

        qkv (B, T, 3C) of the new tokens  ->  y (B, T, C), as causal_attention of the whole rows has it at their places.
        """
        keys, values = self.arrays[block]  # (B, H, length, D)
        if new.first.any():
            return Tensor(kernel_for(cached_attention, qkv.data)(qkv.data, keys, values, new))
        kernel_for(remember, qkv.data)(qkv.data, keys, values, new)
        return apply(ops.causal_attention, qkv, n_heads=keys.shape[1])


def remember(qkv: Array, keys: Array, values: Array, new: NewTokens) -> None:
    """Write the new tokens' keys and values, cut from qkv (B, T, 3C), to their places in keys, values (B, H, L, D)."""
    xp = array_module(qkv)
    _, k, v = split_heads(qkv, keys.shape[1])  # each (B, H, T, D)
    rows, columns, places = (xp.asarray(index) for index in new.real)
    keys[rows, :, places] = k[rows, :, columns]
    values[rows, :, places] = v[rows, :, columns]


def cached_attention(qkv: Array, keys: Array, values: Array, new: NewTokens) -> Array:
    """Remember the new tokens' keys and values; let their queries attend to all up to them.

    qkv (B, T, 3C), keys and values (B, H, L, D)  ->  y (B, T, C), which means nothing at padding.
    """
    xp = array_module(qkv)
    remember(qkv, keys, values, new)
    q = split_heads(qkv, keys.shape[1])[0]  # (B, H, T, D)
    seen = int((new.first + new.counts).max())
    scores = (q @ keys[:, :, :seen].swapaxes(-1, -2)) / math.sqrt(q.shape[-1])  # (B, H, T, seen)
    visible = xp.asarray(np.arange(seen) <= new.places[:, None, :, None])
    weights, _ = ops.softmax(xp.where(visible, scores, -math.inf))
    return merge_heads(weights @ values[:, :, :seen])


# On a GPU in one launch.  The table cannot name them itself: kernels know the ops below them, not the model above.
for dtype in ("float32", "bfloat16"):
    FASTER[remember, "cupy", dtype] = partial(cuda.remember, otherwise=remember)
    FASTER[cached_attention, "cupy", dtype] = partial(cuda.cached_attention, otherwise=cached_attention)


def padded(rows: Sequence[Sequence[int]]) -> Array:
    """Rows of any lengths as one (B, T) array, filled up on the right, where causal attention does not look."""
    ids = np.zeros((len(rows), max(len(row) for row in rows)), np.int64)
    for padded_row, row in zip(ids, rows, strict=True):
        padded_row[: len(row)] = row
    return ids
