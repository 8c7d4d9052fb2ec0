"""Keys and values remembered: what makes a generated token cost one token's work and not the whole text's.

A token's key and value depend on the tokens up to it, and those do not change while text is appended.  So a pass over
new tokens alone gives the same logits as a pass over everything, if they attend to the remembered ones too.

A token's embedding depends on its place, though: once the text is longer than the context, all tokens of the window
move by one place, and nothing remembered is true any more.
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
        return NewTokens(pad_rows(news), counts, first, array_module(self.arrays).asarray(np.stack([first, counts])))

    def attend(self, block: int, new: NewTokens, qkv: Tensor) -> Tensor:
        """Remember the new tokens' keys and values; let their queries attend to all up to them.

        qkv (B, T, 3C) of the new tokens  ->  y (B, T, C), as causal_attention of the whole rows has it at their places.
        """
        keys, values = self.arrays[block]  # (B, H, length, D)
        if new.first.any():
            return Tensor(kernel_for(append_and_attend, qkv.data, keys, values, new)(qkv.data, keys, values, new))
        kernel_for(append_kv, qkv.data, keys, values, new)(qkv.data, keys, values, new)
        return apply(ops.causal_attention, qkv, n_heads=keys.shape[1])


def pad_rows(rows: Sequence[Sequence[int]]) -> Array:
    """Rows of any lengths as one (B, T) array, filled up on the right, where causal attention does not look."""
    ids = np.zeros((len(rows), max(len(row) for row in rows)), np.int64)
    for padded_row, row in zip(ids, rows, strict=True):
        padded_row[: len(row)] = row
    return ids
