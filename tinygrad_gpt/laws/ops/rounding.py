"""How far rounding may lead, so that a law can be asked of an op in any dtype.

u is half the distance from 1 to the next number: 2⁻⁵³, 2⁻²⁴, 2⁻¹¹ in float64, float32, float16.  A sum of n terms, in
whatever order, is within n u Σ|terms| of the exact one, to first order.  A function of a maths library with the few
products around it is within LIBRARY u.  And the arrays are rounded themselves: two ways to compute the same may differ
as far as the results move when every number that goes in moves by its last digit: by the op's own account where it is
compared with itself (`input_sensitivity`), by that of float64 where it is compared with the truth (`conditioning`), or
an op that loses digits would excuse itself.

Source.  Higham 2002, "Accuracy and Stability of Numerical Algorithms", sections 1.6 and 4.2.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.ops.assertions import UNIT
from tinygrad_gpt.laws.ops.under_test import Arrays, OpUnderTest, Settings, in_dtype

Choice = Callable[[tuple[int, ...]], Array]  # a shape -> 1 where an entry is chosen, else 0

LIBRARY = 16  # roundings
_RANDOM_MOVES = 2  # random ways to move all numbers


def dtype_tolerance(arrays: Arrays) -> float:
    """How closely a result in these arrays' dtype meets one of float64, n entries in all: UNIT √n, 0 in float64."""
    narrow = [UNIT[str(x.dtype)] for x in arrays if x.dtype.kind == "f" and x.dtype != np.float64]
    return float(max(narrow, default=0.0) * max(1, sum(x.size for x in arrays)) ** 0.5)


def unit_roundoff(x: Array) -> float:
    """u, of x's dtype."""
    return float(np.finfo(x.dtype).eps) / 2


def sum_tolerance(arrays: Arrays, y: Array) -> float:
    """How closely two ways to compute in y's dtype agree: a sum over all entries, and a library's function."""
    n = sum(int(x.size) for x in arrays)
    return (LIBRARY + n) * unit_roundoff(y)


def owner_sum_tolerance(terms: Array, owners: Array, entries: int, y: Array) -> Array:
    """How far the sums of the terms of each owner may be from exact, when added up in y's dtype: (entries)."""
    count = np.bincount(owners.ravel(), minlength=entries)
    return count * unit_roundoff(y) * np.bincount(owners.ravel(), np.abs(terms).ravel(), minlength=entries)


class Sensitivity(NamedTuple):
    """How far results may move by rounding what goes in: y, and the gradient at each position."""

    y: float
    gradients: dict[int, float]


def input_sensitivity(sut: OpUnderTest, arrays: Arrays, settings: Settings, dy: Array) -> Sensitivity:
    """LIBRARY times what y and the gradients move when numbers lose their last digit, or do not, at random.

    0 in float64, where the laws have room enough.
    """
    where = sut.differentiable(arrays)
    most = Sensitivity(0.0, dict.fromkeys(where, 0.0))
    if dy.dtype == np.float64:
        return most
    y, vjp = sut.run(arrays, settings)
    answer = vjp(dy)
    for choose in _choices():
        z, moved_vjp = sut.run(tuple(_move_last_digit(x, choose) for x in arrays), settings)
        moved_answer = moved_vjp(_move_last_digit(dy, choose))
        most = Sensitivity(
            max(most.y, _distance(y, z)),
            {i: max(most.gradients[i], _distance(answer[i], moved_answer[i])) for i in where},
        )
    return Sensitivity(LIBRARY * most.y, {i: LIBRARY * far for i, far in most.gradients.items()})


def conditioning(f: Callable[..., Array], arrays: Arrays) -> float:
    """LIBRARY times what f(*arrays), in float64, moves when these numbers lose their last digit, or do not.

    0 for arrays of float64, where the laws have room enough.
    """
    if not dtype_tolerance(arrays):
        return 0.0
    y = f(*in_dtype(arrays, "float64"))
    apart = (
        _distance(y, f(*in_dtype(tuple(_move_last_digit(x, choose) for x in arrays), "float64")))
        for choose in _choices()
    )
    return LIBRARY * max(apart)


def _choices() -> list[Choice]:
    """Which entries move: half of them at random, MOVES times; and every other one, so that neighbours surely part."""
    random = np.random.Generator(np.random.Philox(key=0))
    return [lambda shape: random.integers(0, 2, shape)] * _RANDOM_MOVES + [_every_other]


def _move_last_digit(x: Array, choose: Choice) -> Array:
    """x with a last digit less where chosen; towards 0, so that probabilities stay below 1 and zeros stay 0."""
    if x.dtype.kind != "f":
        return x
    step = np.asarray(1 - choose(x.shape) * np.finfo(x.dtype).eps, x.dtype)
    return np.asarray(x * step, x.dtype)


def _every_other(shape: tuple[int, ...]) -> Array:
    """Entries 0, 2, 4, ... of the array laid out in a row."""
    return (np.arange(math.prod(shape)) % 2 == 0).astype(int).reshape(shape)


def _distance(a: Array, b: Array) -> float:
    """The largest difference of entries that is finite."""
    apart = np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))
    return float(np.max(apart, initial=0.0, where=np.isfinite(apart)))
