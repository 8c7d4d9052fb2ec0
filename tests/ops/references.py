"""What each op should equal, written the long way, from the definition: loops where the op has none, another formula
where there is one.  All of it works on complex numbers, so that the laws can differentiate it exactly.
"""

import functools
import math
import operator

import numpy as np


def power_by_logarithms(a, b):
    """1 to any power and any number to the power of 0 are 1, nan too, says IEEE 754."""
    return np.where((a == 1) | (b == 0), 1, np.exp(b * np.log(a)))


def axes_of(x, axis):
    return tuple(range(x.ndim)) if axis is None else tuple(i % x.ndim for i in np.atleast_1d(axis))


def fibres(x, axis):
    """A list of arrays: what is reduced, entry by entry."""
    axes = axes_of(x, axis)
    moved = np.moveaxis(x, axes, range(len(axes)))
    return [moved[k] for k in np.ndindex(moved.shape[: len(axes)])]


def kept(y, x, axis, keepdims):
    return np.expand_dims(y, axes_of(x, axis)) if keepdims else np.asarray(y)


def total(terms):
    return functools.reduce(operator.add, terms, 0.0)


def largest(terms):
    """By the real part; nan counts as largest."""
    stack = np.stack(terms)
    return np.take_along_axis(stack, np.argmax(stack.real, axis=0)[None], axis=0)[0]


def variance(terms, ddof=0):
    """Without a mean: half the mean squared distance of all pairs."""
    n = len(terms)
    return total((a - b) ** 2 for a in terms for b in terms) / (2 * n * (n - ddof))


def equal_shares(dy, x, axis, keepdims):
    """dy over the number of ties, to each of them; entry by entry."""
    axes = axes_of(x, axis)
    dy = dy if keepdims else np.expand_dims(dy, axes)
    dx = np.zeros(x.shape)
    for k in np.ndindex(x.shape):
        rivals = x[tuple(slice(None) if i in axes else k[i] for i in range(x.ndim))]
        if x[k] == rivals.max():
            dx[k] = dy[tuple(0 if i in axes else k[i] for i in range(x.ndim))] / (rivals == x[k]).sum()
    return [dx]


def transposed(x, axes=None):
    axes = tuple(reversed(range(x.ndim))) if axes is None else axes
    y = np.zeros([x.shape[i] for i in axes], x.dtype)
    for k in np.ndindex(x.shape):
        y[tuple(k[i] for i in axes)] = x[k]
    return y


def chosen(mask, a, b):
    mask, a, b = np.broadcast_arrays(mask, a, b)
    return np.array([p if m else q for m, p, q in zip(mask.flat, a.flat, b.flat, strict=True)]).reshape(mask.shape)


def joined(*parts, axis):
    moved = [np.moveaxis(part, axis, 0) for part in parts]
    return np.moveaxis(np.array([row for part in moved for row in part]), 0, axis)


def rows_by_loop(table, ids):
    return np.array([table[i] for i in ids.flat], table.dtype).reshape(*ids.shape, *table.shape[1:])


def product(a, b):
    left, right = (a if a.ndim > 1 else a[None]), (b if b.ndim > 1 else b[:, None])
    y = (left[..., :, :, None] * right[..., None, :, :]).sum(-2)
    y = y if b.ndim > 1 else y[..., 0]
    return y if a.ndim > 1 else y[..., 0, :] if b.ndim > 1 else y[..., 0]


def affine(x, weight, bias=None):
    y = np.einsum("...i,io->...o", x, weight)
    return y if bias is None else y + bias


def normalised(x, gain, bias, eps=1e-5):
    rows = [(row - total(row) / len(row)) / np.sqrt(variance(row) + eps) for row in x.reshape(-1, x.shape[-1])]
    return gain * np.array(rows).reshape(x.shape) + bias


def softened(x, axis=-1):
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


def attended(qkv, dropout_mask=None, *, n_heads):
    """Row by row, head by head, position by position."""
    B, T, width = qkv.shape
    C = width // 3
    D = C // n_heads
    y = np.zeros((B, T, C), qkv.dtype)
    for b in range(B):
        for h in range(n_heads):
            q, k, v = (qkv[b, :, i * C + h * D : i * C + (h + 1) * D] for i in range(3))
            for t in range(T):
                weights = np.array([np.exp((q[t] * k[s]).sum() / math.sqrt(D)) for s in range(t + 1)])
                weights = weights / weights.sum()
                if dropout_mask is not None:
                    weights = weights * dropout_mask[b, h, t, : t + 1]
                y[b, t, h * D : (h + 1) * D] = total(w * v[s] for s, w in enumerate(weights))
    return y


def surprise(logits, targets, ignore_index=None, reduction="mean"):
    rows = logits.reshape(-1, logits.shape[-1])
    nats = [
        -np.log(np.exp(row[target]) / np.exp(row).sum())
        for row, target in zip(rows, targets.flat, strict=True)
        if target != ignore_index
    ]
    return np.asarray(total(nats) / (len(nats) if reduction == "mean" else 1))
