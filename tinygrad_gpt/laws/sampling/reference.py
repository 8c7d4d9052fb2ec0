"""A sampler that is easy to check by reading: row by row, id by id, with Python's floats and exact sums.

The laws compare with it where algebra does not give the expected result directly.
"""

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array

_MARGIN = 2.0**-48  # a mass that is less than this below top_p counts as top_p: a few roundings of a sum


def probabilities(
    logits: Array,
    *,
    temperature: Any = 1.0,
    top_k: Any = None,
    top_p: Any = None,
    min_p: Any = None,
    ties: str = "exact",
) -> Array:
    """logits (..., V) -> (..., V): top-k, then temperature, then top-p, then min-p, each row on its own."""
    x = np.asarray(logits, np.float64)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"logits must have shape (..., V) with V at least 1; got {x.shape}")
    rows = x.reshape(-1, x.shape[-1]).tolist()
    T, k, p, m = (_per_row(setting, len(rows)) for setting in (temperature, top_k, top_p, min_p))
    _check_settings(T, k, p, m)
    found = [_row_probabilities(x, T[i], k[i], p[i], m[i], ties) for i, x in enumerate(rows)]
    return np.array(found, np.float64).reshape(x.shape)


def _per_row(setting: Any, rows: int) -> list[Any]:
    """One value per row, from one value or an array of them."""
    return setting.tolist() if isinstance(setting, np.ndarray) and setting.ndim else [setting] * max(rows, 1)


def _row_probabilities(
    x: list[float], temperature: float, top_k: int | None, top_p: float | None, min_p: float | None, ties: str
) -> list[float]:
    """The probabilities of one row."""
    if not all(v < math.inf for v in x) or max(x) == -math.inf:
        raise ValueError(f"logits must be finite or -inf, and not all -inf; got {x}")
    kept = top_k_support(x, len(x) if top_k is None else top_k, ties)
    if temperature == 0:
        kept = kept[:1]
    weight = {i: math.exp((x[i] - x[kept[0]]) / temperature) if x[i] < x[kept[0]] else 1.0 for i in kept}
    if top_p is not None and top_p < 1:
        kept = kept[: prefix_lengths([weight[i] for i in kept], top_p, _MARGIN)[0]]
    if min_p is not None:
        kept = [i for i in kept if weight[i] >= min_p]
    total = math.fsum(weight[i] for i in kept)
    probability = {i: weight[i] / total for i in kept}
    return [probability.get(i, 0.0) for i in range(len(x))]


def _rank_ids(x: Sequence[float]) -> list[int]:
    """The ids that are not forbidden, by falling logit; among equal logits the lowest id first."""
    return sorted((i for i, v in enumerate(x) if v > -math.inf), key=lambda i: (-x[i], i))


def top_k_support(x: Sequence[float], k: int, ties: str) -> list[int]:
    """The first k of the ranked ids; with ties="all" also those tied with the last of them."""
    order = _rank_ids(x)
    kept = order[:k]
    return [i for i in order if x[i] >= x[kept[-1]]] if ties == "all" else kept


def prefix_lengths(weights: Sequence[float], top_p: float, margin: float) -> list[int]:
    """The lengths of the shortest prefixes of weights with mass top_p: all that are right within the margin."""
    total = math.fsum(weights)
    shares = [math.fsum(weights[:n]) / total for n in range(len(weights) + 1)]
    lengths = range(1, len(weights) + 1)
    return [n for n in lengths if shares[n] >= top_p - margin and shares[n - 1] < top_p + margin]


def _check_settings(temperature: list[Any], top_k: list[Any], top_p: list[Any], min_p: list[Any]) -> None:
    """Raises ValueError or TypeError for an invalid setting; None means no limit."""
    for T in temperature:
        if _real_number("temperature", T) < 0 or not math.isfinite(T):
            raise ValueError(f"temperature must be finite and at least 0; got {T}")
    for k in top_k:
        if k is not None and (isinstance(k, bool) or operator.index(k) < 1):
            raise ValueError(f"top_k must be at least 1, or None for no limit; got {k!r}")
    for name, values in (("top_p", top_p), ("min_p", min_p)):
        for v in values:
            if v is not None and not 0 <= _real_number(name, v) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, or None for no limit; got {v}")


def _real_number(name: str, value: Any) -> float:
    """value as a float.  Raises TypeError for a bool or anything that is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a number; got {value!r}")
    return float(value)


def draw(p: Array, u: Array) -> Array:
    """p (V), u (N) in [0, 1) -> the ids (N) whose slices of the running sum contain u * total."""
    sums = np.cumsum(p, dtype=np.float64)
    ids = np.searchsorted(sums, np.asarray(u) * sums[-1], side="right")  # the first with sum > u * total: skips p = 0
    return np.minimum(ids, np.flatnonzero(p)[-1])  # u * total rounds up to total if that is a denormal number


def uniforms(seed: int, rows: Array, positions: Array) -> Array:
    """A number in [0, 1) for each row and position, from Philox keyed by the seed and counting both."""
    places = np.broadcast(rows, positions)
    key = np.array([seed, 4], np.uint64)  # NumPy turns a list of Python integers into floats if one exceeds 2**63
    words = [np.random.Philox(key=key, counter=[t, r, 0, 0]).random_raw() for r, t in places]
    return to_uniform(np.array(words, np.uint64)).reshape(places.shape)


def to_uniform(words: Array) -> Array:
    """64-bit words -> [0, 1): their upper 53 bits, exact in float64."""
    return (words >> np.uint64(11)) * 2.0**-53
