"""The k largest numbers of a row, and the fewest that reach a mass, without sorting the row.

A vocabulary has 50,257 tokens, and a sampler keeps some fifty of them.  So a row is looked through once for a bound
that every kept number reaches, and only what reaches the bound is sorted.  On a GPU whole rows are sorted.
"""

import numpy as np

from tinygrad_gpt.backend import Array, array_module

_BLOCK = 64  # numbers whose maximum stands for them
_FEW = 4  # blocks serve for a k up to a fourth of their number: a larger k has a bound that most numbers reach
_KEY_SHIFT = 44  # bits of a float64 that a bucket ignores: numbers in one bucket differ by less than a 256th


def kth_largest(x: Array, k: Array) -> Array:
    """The k-th largest number of each row, equal ones counted one by one.

    x (..., V), k (..., 1) of int from 1 to V -> (..., 1).
    """
    xp, V = array_module(x), x.shape[-1]
    if xp is not np or not x.size:
        return xp.take_along_axis(xp.sort(x, axis=-1), V - k, axis=-1)
    if (k == k.flat[0]).all():
        at = V - int(k.flat[0])
        return np.partition(x, at, axis=-1)[..., at : at + 1]
    rows, ks = x.reshape(-1, V), k.reshape(-1).tolist()
    found = [np.partition(row, V - n)[V - n] for row, n in zip(rows, ks, strict=True)]
    return np.array(found, x.dtype).reshape(k.shape)


def prefix_size(weights: Array, share: Array) -> Array:
    """How many of a row's largest weights are needed until their sum is at least `share` of the sum of all.

    weights (..., V) of float64, at least 0; share (..., 1).  A share above 1 needs all.  -> (..., 1) of int.
    """
    xp, V = array_module(weights), weights.shape[-1]
    if xp is not np:
        mass = xp.sort(weights, axis=-1)[..., ::-1].cumsum(-1)
        return xp.minimum((mass < share * mass[..., -1:]).sum(-1, keepdims=True) + 1, V)
    rows = zip(weights.reshape(-1, V), np.broadcast_to(share, (*weights.shape[:-1], 1)).reshape(-1), strict=True)
    return np.array([_row_prefix_size(row, part) for row, part in rows], np.int64).reshape(*weights.shape[:-1], 1)


def _row_prefix_size(weights: Array, share: float) -> int:
    """`prefix_size` of one row: whole buckets of the largest weights, then the sorted weights of one bucket."""
    keys = np.ascontiguousarray(weights).view(np.int64) >> _KEY_SHIFT  # positive floats are ordered as their bits are
    lowest = int(keys.min())
    keys -= lowest
    mass = np.bincount(keys, weights)
    above = mass[::-1].cumsum()[::-1]  # the mass of a bucket and all above it
    target = share * above[0]
    if above[0] < target:
        return len(weights)
    bucket = int(np.flatnonzero(above >= target)[-1])
    before = above[bucket + 1] if bucket + 1 < len(above) else 0.0
    inside = np.sort(weights[keys == bucket])[::-1]
    needed = int((before + inside.cumsum() < target).sum()) + 1
    return int((keys > bucket).sum()) + min(needed, len(inside))


def k_likeliest(x: Array, k: int) -> tuple[Array, Array]:
    """All tokens of each row that may be among its k likeliest, in order of their ids: (ids, logits), both (rows, n).

    x (rows, V), k from 1 to V.  Of a row with fewer than n such tokens the last entries are id 0 with -inf.  Tokens
    tied with the k-th are among them; those of -inf are not.
    """
    n_rows, V = x.shape
    blocks = np.arange(0, V, _BLOCK)
    # k blocks have a maximum that reaches the k-th largest maximum, so at least k numbers reach it.
    candidates = np.maximum.reduceat(x, blocks, axis=1) if k * _FEW <= len(blocks) else x
    bound = kth_largest(candidates, np.full((n_rows, 1), k))
    found = np.flatnonzero((x >= bound) & (x > -np.inf))
    row, token = np.divmod(found, V)
    counts = np.bincount(row, minlength=n_rows)
    place = np.arange(len(found)) - np.repeat(counts.cumsum() - counts, counts)
    ids = np.zeros((n_rows, int(counts.max(initial=1))), np.int64)
    logits = np.full(ids.shape, -np.inf)
    ids[row, place] = token
    logits[row, place] = x.reshape(-1)[found]
    return ids, logits
