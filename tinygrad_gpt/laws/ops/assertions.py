"""Holding what was seen against what was wanted."""

from typing import Any

import numpy as np

from tinygrad_gpt.laws.assertions import require_within
from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.strategies import normal

UNIT = {"float64": 1e-12, "float32": 1e-5, "float16": 1e-2}  # how closely two ways of computing agree, in each dtype


def distinct_dy(seed: int, y: Array) -> Array:
    """A dLoss/dy for y: distinct numbers, none 0, none beyond 2.  Under equal ones a wrong vjp can look right."""
    n = int(np.size(y))
    whole = np.random.Generator(np.random.Philox(key=seed)).permutation(2 * n)[:n] - n
    whole += whole >= 0
    return np.asarray(whole / 2.0 ** (n.bit_length() - 1), y.dtype).reshape(y.shape)


def gaussian_dy(seed: int, y: Array) -> Array:
    """A dLoss/dy of Gaussian numbers: no sum of them is exact, so it shows in which precision they were added up."""
    return np.asarray(normal(seed, y.shape), y.dtype)


def require_close(what: str, got: Array, want: Array, rtol: float, scale: float = 1.0, room: Any = 0.0) -> None:
    """Raise LawBroken unless shapes agree, and entries within rtol of the largest (of scale if that is more), plus
    room: a number, or one per entry.
    """
    got, want = np.asarray(got), np.asarray(want)
    largest = float(np.max(np.abs(want), initial=0, where=np.isfinite(want)))
    require_within(what, got, want, rtol * max(scale, largest) + room, nan_is_nan=True)
