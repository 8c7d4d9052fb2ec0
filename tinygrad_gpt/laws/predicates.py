"""The sampler's laws as functions that return True or False, for cases of your own.  They need only NumPy.

f is a function from logits (B, V) to probabilities (B, V).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = Any  # NumPy's; not from law.py, which imports Hypothesis
Probabilities = Callable[[Array], Array]


def underflow_floor(rtol: float) -> float:
    """The probability below which underflow loses digits: in float64, or in float32 for a wide rtol."""
    return 1e-300 if rtol <= 1e-9 else 1e-37


def close_probabilities(p: Array, q: Array, rtol: float) -> bool:
    """Whether two arrays of probabilities agree within rtol; a nan equals a nan, which S01 reports."""
    return p.shape == q.shape and bool(np.allclose(p, q, rtol=rtol, atol=underflow_floor(rtol), equal_nan=True))


def holds_distribution(p: Array, rtol: float = 1e-12) -> bool:
    """Whether every row of p is finite, not negative, and sums to 1."""
    p = np.asarray(p)
    return bool(np.isfinite(p).all() and (p >= 0).all() and np.allclose(p.sum(-1), 1, rtol=0, atol=rtol))


def holds_shift_invariance(f: Probabilities, x: Array, shift: float, rtol: float = 1e-12) -> bool:
    """Whether adding a constant to all logits changes nothing."""
    return close_probabilities(f(x + shift), f(x), rtol)


def holds_permutation_equivariance(f: Probabilities, x: Array, order: Sequence[int], rtol: float = 1e-12) -> bool:
    """Whether permuting the ids permutes the probabilities."""
    return close_probabilities(f(x[..., list(order)]), f(x)[..., list(order)], rtol)


def holds_row_independence(f: Probabilities, x: Array, rtol: float = 1e-12) -> bool:
    """Whether every row has the same probabilities alone and in the batch."""
    together = f(x)
    return all(close_probabilities(f(x[i : i + 1])[0], together[i], rtol) for i in range(len(x)))


def holds_temperature(p: Array, x: Array, temperature: float, rtol: float = 1e-9) -> bool:
    """Whether log(p_i / p_j) = (x_i - x_j) / T for all ids whose p has not underflowed (one row)."""
    possible = p > underflow_floor(rtol)
    expected = x[possible] / temperature
    found = np.log(p[possible])
    scale = 1 + float(np.abs(expected - expected[0]).max())
    return bool((np.abs((found - found[0]) - (expected - expected[0])) <= rtol * scale).all())


def holds_top_k(p: Array, x: Array, k: int, ties: str = "exact") -> bool:
    """Whether exactly the k likeliest finite ids have p > 0 (one row); ties as in `SamplerUnderTest`."""
    kept, order = set(np.flatnonzero(p > 0).tolist()), np.argsort(-x, kind="stable")
    finite = order[x[order] > -np.inf]
    last = x[finite[:k][-1]]
    if ties == "exact":
        return kept == set(finite[:k].tolist())
    above, level = set(np.flatnonzero(x > last).tolist()), set(np.flatnonzero(x >= last).tolist())
    return kept == level if ties == "all" else above <= kept <= level and len(kept) >= min(k, len(finite))


def holds_monotone_draw(draw: Callable[[Array, Array], Array], p: Array, u: Array) -> bool:
    """Whether a larger u never gives a lower id, and every id drawn is possible.  p (V), u (N)"""
    ids = np.asarray(draw(p, np.sort(u)))
    return bool((np.diff(ids) >= 0).all() and (ids >= 0).all() and (ids < len(p)).all() and (p[ids] > 0).all())


def holds_stratified_counts(ids: Array, p: Array, blur: float = 0.0) -> bool:
    """Whether the ids drawn by u = (j + 1/2) / N, j = 0 ... N - 1, contain every id N p ± 1 times.

    blur: how far both ends of an id's slice of [0, 1) may be off.
    """
    if len(ids) and min(ids) < 0:
        return False
    N, counts = len(ids), np.bincount(ids, minlength=len(p))
    allowed = 1 + 2 * blur * N
    return len(counts) == len(p) and bool((np.abs(counts - N * p / p.sum(dtype=np.float64)) <= allowed).all())
