"""Comparing what an op computed with what is expected."""

from typing import Any

import numpy as np

from tinygrad_gpt.laws.assertions import require_within
from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.strategies import normal

# How closely two ways of computing agree, in each dtype.
DTYPE_RTOL = {"float64": 1e-12, "float32": 1e-5, "float16": 1e-2}


def distinct_dy(seed: int, y: Array) -> Array:
    """A dLoss/dy for y: distinct numbers in [-2, 2], none of them 0.  With equal numbers a wrong vjp can look right."""
    n = int(np.size(y))
    whole = np.random.Generator(np.random.Philox(key=seed)).permutation(2 * n)[:n] - n
    whole += whole >= 0
    return np.asarray(whole / 2.0 ** (n.bit_length() - 1), y.dtype).reshape(y.shape)


def gaussian_dy(seed: int, y: Array) -> Array:
    """A dLoss/dy of Gaussian numbers: none of their sums is exact, so the precision of the summation shows."""
    return np.asarray(normal(seed, y.shape), y.dtype)


def require_close(what: str, got: Array, want: Array, rtol: float, scale: float = 1.0, slack: Any = 0.0) -> None:
    """Raise LawBroken unless the shapes agree and every entry is within rtol * max(scale, largest entry) + slack.

    slack is one number, or one per entry.
    """
    got, want = np.asarray(got), np.asarray(want)
    largest = float(np.max(np.abs(want), initial=0, where=np.isfinite(want)))
    require_within(what, got, want, rtol * max(scale, largest) + slack, nan_is_nan=True)
