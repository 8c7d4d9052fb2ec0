"""Causal multi-head attention: every position takes a weighted mean of the values at or before it.

For each batch row and head, with queries Q, keys K, values V (T, D) cut from the packed input:

    S = Q Kᵀ/√D      S_ij = -inf for j > i      P = softmax(S) by rows      A = P ∘ M      O = A V

Gradient.  The rules of other files (matmul, dropout, softmax, masked_fill), from the last step to the first:

    dV = Aᵀ dO       dA = dO Vᵀ        dP = dA ∘ M
    dS = P ∘ (dP - rowsum(dP ∘ P))     which is 0 where P is 0: the causal mask needs no line of its own
    dQ = dS K/√D     dK = dSᵀ Q/√D

Shapes.   qkv (B, T, 3C): along the last axis all queries, then all keys, then all values, each C = H·D wide, with
          head h at h·D … (h+1)·D, as GPT-2's c_attn makes them.  dropout_mask M (B, H, T, T): 0 or
          1/(1 - rate); None leaves it out.
          ->  y (B, T, C), the heads' outputs side by side.
Settings. n_heads = H.
Saved.    qkv, P, and with dropout M and A.  Each of P, M and A has B·H·T² numbers.
Errors.   ValueError if 3H does not divide the width of qkv.
Numerics. Dividing by √D keeps S near unit variance; the softmax subtracts each row's maximum.  Row i always sees
          itself, so no row is all masked.  In theory the gradient of the keys' bias is exactly 0: the bias adds the
          same number to every entry of a row of S, and that does not change P.
          Where qkv has 16 bits, all is computed in float32 and rounded once.
Source.   Vaswani et al. 2017, arXiv:1706.03762, sections 3.2.1 and 3.2.2.
Check.    Position 0 sees only itself; position 1 has equal scores, so it takes the mean of 5 and 7:

    >>> import numpy as np
    >>> qkv = np.array([[[0.0, 0.0, 5.0], [0.0, 0.0, 7.0]]])
    >>> y, vjp = causal_attention(qkv, n_heads=1)
    >>> y.tolist(), vjp(np.array([[[0.0], [1.0]]]))[0].tolist()
    ([[[5.0], [6.0]]], [[[0.0, 0.0, 0.5], [0.0, 0.0, 0.5]]])
"""

import math

from tinygrad_gpt.backend import Array, Vjp, array_module, to_accumulation_dtype, to_input_dtype
from tinygrad_gpt.ops.softmax import softmax


def causal_attention(qkv: Array, dropout_mask: Array | None = None, *, n_heads: int) -> tuple[Array, Vjp]:
    """qkv (B, T, 3C), dropout_mask (B, H, T, T) or None  ->  y (B, T, C).

    Backward: a value receives gradient from its own and every later position, in proportion to their attention to
    it. Queries and keys receive the gradient of the scores, so that a step gives more attention where it lowers the
    loss.
    """
    xp, dtype = array_module(qkv), qkv.dtype
    q, k, v = split_heads(to_accumulation_dtype(qkv), n_heads)  # each (B, H, T, D)
    scale = 1 / math.sqrt(q.shape[-1])
    scores = (q @ k.swapaxes(-1, -2)) * scale  # (B, H, T, T)
    probs, softmax_vjp = softmax(xp.where(_causal_mask(xp, q.shape[-2]), scores, -math.inf))
    weights = probs if dropout_mask is None else probs * dropout_mask

    def vjp(dy: Array) -> tuple[Array | None, ...]:
        do = split_heads(to_accumulation_dtype(dy), n_heads, parts=1)[0]
        dv = weights.swapaxes(-1, -2) @ do
        dweights = do @ v.swapaxes(-1, -2)
        dscores: Array = softmax_vjp(dweights if dropout_mask is None else dweights * dropout_mask)[0]
        dq = dscores @ k * scale
        dk = dscores.swapaxes(-1, -2) @ q * scale
        dqkv = xp.concatenate([merge_heads(dq), merge_heads(dk), merge_heads(dv)], axis=-1)
        dqkv = to_input_dtype(dqkv, dtype)
        return (dqkv,) if dropout_mask is None else (dqkv, None)

    return to_input_dtype(merge_heads(weights @ v), dtype), vjp


def _causal_mask(xp: Array, length: int) -> Array:
    """The keys (columns) that a query (row) may see: (T, T) of bool, True on and below the diagonal."""
    position = xp.arange(length)
    return position[:, None] >= position


def split_heads(x: Array, n_heads: int, parts: int = 3) -> Array:
    """x (B, T, parts·C) -> (parts, B, H, T, D)"""
    B, T, width = x.shape
    if width % (parts * n_heads):
        raise ValueError(f"n_heads must divide the width {width // parts}; got {n_heads}")
    return x.reshape(B, T, parts, n_heads, width // (parts * n_heads)).transpose(2, 0, 3, 1, 4)


def merge_heads(x: Array) -> Array:
    """x (B, H, T, D) -> (B, T, C)"""
    B, H, T, D = x.shape
    return x.swapaxes(1, 2).reshape(B, T, H * D)
