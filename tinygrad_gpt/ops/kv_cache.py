"""The cache of keys and values: new tokens are appended to it, and attend to all tokens up to themselves.

    S = Q Kᵀ / √D        P = softmax(S)       O = P V

This is causal attention, but Q has only the new tokens, and K and V have all tokens of a row.  A token's key and value
depend only on the tokens up to it, so they are computed once.

Shapes.   B rows, T new tokens, H heads, a capacity of L tokens, D = C / H.  qkv (B, T, 3C), keys and values
          (B, H, L, D)  ->  y (B, T, C), which has no meaning at padding.
Numerics. Keys and values are written in place.  Entries that are not written yet are masked, but 0 times such an entry
          must not be nan, so the cache starts as zeros.  Where qkv has 16 bits, all is computed in float32 and y is
          rounded once.
Source.   Pope et al. 2022, arXiv:2211.05102, section 2.
Check.    The second token of a row attends to the first, whose key is 0, and to itself: both get the weight 1/2.

    >>> import numpy as np
    >>> keys, values = np.zeros((1, 1, 2, 1)), np.array([[[[4.0], [0.0]]]])
    >>> new = NewTokens(np.array([[7]]), np.array([1]), np.array([1]), np.array([[1], [1]]))
    >>> append_and_attend(np.array([[[1.0, 0.0, 6.0]]]), keys, values, new).tolist(), values.tolist()
    ([[[5.0]]], [[[[4.0], [6.0]]]])

These functions have no vjp: they are for generation, which records nothing.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tinygrad_gpt.backend import Array, array_module, to_accumulation_dtype, to_input_dtype
from tinygrad_gpt.ops.attention import merge_heads, split_heads
from tinygrad_gpt.ops.softmax import softmax


@dataclass(frozen=True)
class NewTokens:
    """The tokens of one pass: ids (B, T); in row i the first counts[i] are tokens, the rest is padding."""

    ids: Array
    counts: Array  # (B)
    first: Array  # (B): the position of each row's first token
    first_and_count: Array  # (2, B): first and counts, on the cache's device

    @cached_property
    def positions(self) -> Array:
        """(B, T): each token's position in its row."""
        return self.first[:, None] + np.arange(self.ids.shape[1])

    @cached_property
    def token_index(self) -> tuple[Array, Array, Array]:
        """For each token that is not padding: its row, its column in ids, its position in the row."""
        rows, columns = np.nonzero(np.arange(self.ids.shape[1]) < self.counts[:, None])
        return rows, columns, self.first[rows] + columns


def append_kv(qkv: Array, keys: Array, values: Array, new: NewTokens) -> None:
    """Write the new tokens' keys and values, cut from qkv (B, T, 3C), into keys and values (B, H, L, D)."""
    xp = array_module(qkv)
    _, k, v = split_heads(to_accumulation_dtype(qkv), keys.shape[1])  # each (B, H, T, D)
    rows, columns, positions = (xp.asarray(index) for index in new.token_index)
    keys[rows, :, positions] = k[rows, :, columns]
    values[rows, :, positions] = v[rows, :, columns]


def append_and_attend(qkv: Array, keys: Array, values: Array, new: NewTokens) -> Array:
    """append_kv; then each new token attends to all tokens up to it: qkv (B, T, 3C)  ->  y (B, T, C)."""
    xp, dtype = array_module(qkv), qkv.dtype
    append_kv(qkv, keys, values, new)
    q = split_heads(to_accumulation_dtype(qkv), keys.shape[1])[0]  # (B, H, T, D)
    seen = int((new.first + new.counts).max())
    scores = (q @ keys[:, :, :seen].swapaxes(-1, -2)) / math.sqrt(q.shape[-1])  # (B, H, T, seen)
    visible = xp.asarray(np.arange(seen) <= new.positions[:, None, :, None])
    weights, _ = softmax(xp.where(visible, scores, -math.inf))
    return to_input_dtype(merge_heads(weights @ values[:, :, :seen]), dtype)
