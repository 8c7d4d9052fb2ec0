"""A cache of keys and values: with it, generating a token costs the work of one token and not of the whole text.

A token's key and value depend on the tokens up to it, and those do not change while text is appended.  So a pass over
the new tokens alone gives the same logits as a pass over the whole text, if they also attend to the cached tokens.

But a token's embedding depends on its position.  Once the text is longer than the context, every token of the window
moves by one position, and the cache is no longer valid.
"""

from collections.abc import Sequence

import numpy as np

from tinygrad_gpt import ops
from tinygrad_gpt.backend import Array, array_module
from tinygrad_gpt.kernels import kernel_for
from tinygrad_gpt.nn.config import GPTConfig
from tinygrad_gpt.ops.kv_cache import NewTokens, append_and_attend, append_kv
from tinygrad_gpt.tape import Tensor, apply


class Cache:
    """Keys and values of up to `length` tokens in each of n_rows rows, for every block of a model.

    seen (B) is the number of tokens that it has of each row.  Rows may only grow; their cached tokens are not compared
    again.  The cache gets the dtype and the device of `like`, one of the model's arrays.

    Raises ValueError for a length above the model's context.
    """

    def __init__(self, config: GPTConfig, n_rows: int, length: int, like: Array) -> None:
        if not 1 <= length <= config.context_length:
            raise ValueError(f"length must be from 1 to context_length {config.context_length}; got {length}")
        heads, width = config.n_heads, config.emb_dim // config.n_heads
        shape = (config.n_layers, 2, n_rows, heads, length, width)
        # zeros, not empty: entries that are not written yet are masked, and 0 times such an entry must not be nan
        self.arrays = array_module(like).zeros(shape, like.dtype)
        self.seen = np.zeros(n_rows, np.int64)

    def new_tokens(self, sequences: Sequence[Sequence[int]]) -> NewTokens:
        """The tokens of these rows that are not in the cache.  A row without such a token gives its last token again.

        Raises ValueError for another number of rows, and for a row that is empty, shorter than before or too long.
        """
        lengths, capacity = [len(sequence) for sequence in sequences], self.arrays.shape[4]
        if len(lengths) != len(self.seen):
            raise ValueError(f"sequences must be {len(self.seen)} rows, as the cache has; got {len(lengths)}")
        for b, (length, seen) in enumerate(zip(lengths, self.seen.tolist(), strict=True)):
            if not max(1, seen) <= length <= capacity:
                allowed = f"from {max(1, seen)} (seen so far) to {capacity} (the cache's capacity)"
                raise ValueError(f"row {b} of sequences must be {allowed} tokens long; got {length}")
        first = np.minimum(self.seen, np.array(lengths) - 1)
        new_rows = [sequence[start:] for sequence, start in zip(sequences, first.tolist(), strict=True)]
        counts = np.array([len(row) for row in new_rows])
        first_and_count = array_module(self.arrays).asarray(np.stack([first, counts]))
        return NewTokens(pad_rows(new_rows), counts, first, first_and_count)

    def attend(self, block: int, new: NewTokens, qkv: Tensor) -> Tensor:
        """Store the new tokens' keys and values, and let each new token attend to itself and to all before it.

        qkv (B, T, 3C) of the new tokens -> y (B, T, C): what causal_attention of the whole rows gives for these tokens.
        """
        keys, values = self.arrays[block]  # (B, H, length, D)
        if new.first.any():
            return Tensor(kernel_for(append_and_attend, qkv.data, keys, values, new)(qkv.data, keys, values, new))
        kernel_for(append_kv, qkv.data, keys, values, new)(qkv.data, keys, values, new)
        return apply(ops.causal_attention, qkv, n_heads=keys.shape[1])


def pad_rows(rows: Sequence[Sequence[int]]) -> Array:
    """Rows of any lengths as one array (B, T), padded on the right, where causal attention ignores the padding."""
    ids = np.zeros((len(rows), max(len(row) for row in rows)), np.int64)
    for padded_row, row in zip(ids, rows, strict=True):
        padded_row[: len(row)] = row
    return ids
