"""Causal attention that skips the masked half, each thread on its own heads.

Queries are taken in blocks of rows.  Rows i … j see only keys 0 … j, so their scores are a rectangle (j - i, j), and
the scores to the right of it are never computed: only little more than half of all T² scores are computed.  P itself is
never stored.  Instead, rows of D numbers are divided by the row sums of e^S, before or after a product.

Backward needs e^S again.  For short rows it is saved.  For long rows only each row's maximum and sum are, so that
memory grows with T and not with T², and the blocks are computed a second time (Dao et al. 2022, arXiv:2205.14135).

Backward needs no sum over T products for rowsum(dP ∘ P): it equals the dot product of a row of dO with the same row of
O, D numbers each (appendix B.2 there).
"""

import math
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.kernels.threads import blocks, parallel_for
from tinygrad_gpt.ops.attention import split_heads

_ROWS = 64  # queries taken together
_MIN_SCORES_FOR_THREADS = 2**16
MAX_SAVED_BYTES = 2**26  # of e^S for backward


def accepts_causal_attention(qkv: Array, *dropout_mask: Array, **settings: Any) -> bool:
    """True if qkv is not empty."""
    return bool(qkv.size)


def causal_attention(qkv: Array, dropout_mask: Array | None = None, *, n_heads: int) -> tuple[Array, Vjp]:
    """qkv (B, T, 3C), dropout_mask (B, H, T, T) or None  ->  y (B, T, C)."""
    q, k, v = split_heads(qkv, n_heads)  # views, each (B, H, T, D)
    B, H, T, D = q.shape
    scale = 1 / math.sqrt(D)
    y = np.empty((B, T, H * D), qkv.dtype)
    y_heads = split_heads(y, n_heads, parts=1)[0]  # a view: each head writes into its columns
    highest, totals = (np.empty((B, H, T, 1), qkv.dtype) for _ in range(2))  # of a row's scores, and the sum of powers
    taken = blocks(slice(0, T), _ROWS)
    is_long = B * H * T * T // 2 * qkv.itemsize > MAX_SAVED_BYTES
    powers: list[Array | None] = [None] * len(taken)  # e^(S - highest) of each block
    if not is_long:
        powers = [np.empty((B, H, rows.stop - rows.start, rows.stop), qkv.dtype) for rows in taken]
    in_threads = B * H * T * T >= _MIN_SCORES_FOR_THREADS

    def scores(heads: slice, rows: slice, out: Array | None) -> Array:
        """S of a block of queries, -inf where a key comes after its query."""
        s = np.matmul(q[:, heads, rows] * scale, k[:, heads, : rows.stop].swapaxes(-1, -2), out=out)
        np.copyto(s[..., rows.start :], -np.inf, where=_future_mask(rows.stop - rows.start))
        return s

    def forward(heads: slice) -> None:
        for rows, whole in zip(taken, powers, strict=True):
            keys, top, total = slice(0, rows.stop), highest[:, heads, rows], totals[:, heads, rows]
            e = scores(heads, rows, None if whole is None else whole[:, heads])
            e.max(-1, keepdims=True, out=top)
            e -= top
            np.exp(e, out=e)
            np.sum(e, axis=-1, keepdims=True, out=total)
            weights = e if dropout_mask is None else e * dropout_mask[:, heads, rows, keys]
            np.divide(weights @ v[:, heads, keys], total, out=y_heads[:, heads, rows])

    def powers_of(heads: slice, rows: slice, whole: Array | None) -> Array:
        """e^(S - highest) of a block, saved or computed again."""
        if whole is not None:
            return whole[:, heads]
        e = scores(heads, rows, None)
        e -= highest[:, heads, rows]
        return np.exp(e, out=e)

    def vjp(dy: Array) -> tuple[Array | None, ...]:
        do = split_heads(dy, n_heads, parts=1)[0]
        dqkv = np.zeros_like(qkv)
        dq, dk, dv = split_heads(dqkv, n_heads)  # views

        def backward(heads: slice) -> None:
            for rows, whole in zip(taken, powers, strict=True):
                keys, e, total = slice(0, rows.stop), powers_of(heads, rows, whole), totals[:, heads, rows]
                do_rows = do[:, heads, rows]
                dp = do_rows @ v[:, heads, keys].swapaxes(-1, -2)
                if dropout_mask is not None:
                    kept = dropout_mask[:, heads, rows, keys]
                    dp *= kept
                dv[:, heads, keys] += (e if dropout_mask is None else e * kept).swapaxes(-1, -2) @ (do_rows / total)
                dp -= np.einsum("bhtd,bhtd->bht", do_rows, y_heads[:, heads, rows])[..., None]
                dp *= e
                dp *= scale / total
                np.matmul(dp, k[:, heads, keys], out=dq[:, heads, rows])
                dk[:, heads, keys] += dp.swapaxes(-1, -2) @ q[:, heads, rows]

        parallel_for(backward, H, enabled=in_threads)
        return (dqkv,) if dropout_mask is None else (dqkv, None)

    parallel_for(forward, H, enabled=in_threads)
    return y, vjp


def _future_mask(n: int) -> Array:
    """(n, n) of bool, True above the diagonal: keys that come after the query."""
    return ~np.tri(n, dtype=bool)
