"""How large rounding errors may be, so that a law can be checked in any dtype.

u is half the distance from 1 to the next number: 2⁻⁵³, 2⁻²⁴, 2⁻¹¹ in float64, float32, float16.  A sum of n terms, in
whatever order, is within n u Σ|terms| of the exact one, to first order.  A function of a maths library with the few
products around it is within LIBRARY_ROUNDINGS u.  The inputs are rounded too.  Two ways to compute the same may differ
by as much as the results move when every input moves by its last digit.  That movement is measured on the op itself
where the op is compared with itself (`input_sensitivity`), and on the float64 reference where it is compared with the
right result (`reference_sensitivity`).  Otherwise an op that loses digits would get a wider tolerance, and pass.

Source.  Higham 2002, "Accuracy and Stability of Numerical Algorithms", sections 1.6 and 4.2.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.ops.assertions import DTYPE_RTOL
from tinygrad_gpt.laws.ops.under_test import Arrays, OpUnderTest, Settings, in_dtype

_Choice = Callable[[tuple[int, ...]], Array]  # a shape -> 1 where an entry is chosen, else 0

LIBRARY_ROUNDINGS = 16  # of a library function and the few products around it
_RANDOM_MOVES = 2  # random choices of the entries that move


def dtype_tolerance(arrays: Arrays) -> float:
    """Tolerance of a result in these arrays' dtype: DTYPE_RTOL √n for n entries in all, 0 in float64."""
    narrow = [DTYPE_RTOL[str(x.dtype)] for x in arrays if x.dtype.kind == "f" and x.dtype != np.float64]
    return float(max(narrow, default=0.0) * max(1, sum(x.size for x in arrays)) ** 0.5)


def unit_roundoff(x: Array) -> float:
    """The unit roundoff u of x's dtype."""
    return float(np.finfo(x.dtype).eps) / 2


def sum_tolerance(arrays: Arrays, y: Array) -> float:
    """Tolerance of two computations in y's dtype: a sum over all entries, and a library function."""
    n = sum(int(x.size) for x in arrays)
    return (LIBRARY_ROUNDINGS + n) * unit_roundoff(y)


def owner_sum_tolerance(terms: Array, owners: Array, entries: int, y: Array) -> Array:
    """Error bound for the sum of each owner's terms when it is taken in y's dtype: (entries)."""
    count = np.bincount(owners.ravel(), minlength=entries)
    return count * unit_roundoff(y) * np.bincount(owners.ravel(), np.abs(terms).ravel(), minlength=entries)


class Sensitivity(NamedTuple):
    """How far results move when inputs are rounded: y, and the gradient at each position."""

    y: float
    gradients: dict[int, float]


def input_sensitivity(sut: OpUnderTest, arrays: Arrays, settings: Settings, dy: Array) -> Sensitivity:
    """LIBRARY_ROUNDINGS times what y and the gradients move when a random half of the inputs loses its last digit.

    0 in float64, where the laws' own tolerances are wide enough.
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
    return Sensitivity(LIBRARY_ROUNDINGS * most.y, {i: LIBRARY_ROUNDINGS * far for i, far in most.gradients.items()})


def reference_sensitivity(f: Callable[..., Array], arrays: Arrays) -> float:
    """LIBRARY_ROUNDINGS times what f(*arrays), in float64, moves when some of these numbers lose their last digit.

    0 for arrays of float64, where the laws' own tolerances are wide enough.
    """
    if not dtype_tolerance(arrays):
        return 0.0
    y = f(*in_dtype(arrays, "float64"))
    apart = (
        _distance(y, f(*in_dtype(tuple(_move_last_digit(x, choose) for x in arrays), "float64")))
        for choose in _choices()
    )
    return LIBRARY_ROUNDINGS * max(apart)


def _choices() -> list[_Choice]:
    """Which entries move: a random half, _RANDOM_MOVES times; then every second entry, so that neighbours differ."""
    random = np.random.Generator(np.random.Philox(key=0))
    return [lambda shape: random.integers(0, 2, shape)] * _RANDOM_MOVES + [_every_other]


def _move_last_digit(x: Array, choose: _Choice) -> Array:
    """x, moved by one last digit where chosen; towards 0, so that probabilities stay below 1 and zeros stay 0."""
    if x.dtype.kind != "f":
        return x
    step = np.asarray(1 - choose(x.shape) * np.finfo(x.dtype).eps, x.dtype)
    return np.asarray(x * step, x.dtype)


def _every_other(shape: tuple[int, ...]) -> Array:
    """1 at entries 0, 2, 4, ... in C order, 0 elsewhere."""
    return (np.arange(math.prod(shape)) % 2 == 0).astype(int).reshape(shape)


def _distance(a: Array, b: Array) -> float:
    """The largest difference of entries, ignoring those that are not finite."""
    apart = np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))
    return float(np.max(apart, initial=0.0, where=np.isfinite(apart)))
