"""Numerical derivatives, with which a vjp is compared.

The complex step.  For an analytic f of real numbers, f(x + ihv) = f(x) + ih f'(x)v + O(h²): the imaginary part over h
is the derivative.  Nothing is subtracted, so nothing cancels, and h = 1e-30 makes the error vanish in float64.  It
needs an f that works on complex numbers: abs, max and comparisons have to look at the real part.

Central differences, for any other f: (f(x + hv) - f(x - hv)) / 2h, good to about 1e-10 at h = 1e-5.

Source.  Squire & Trapp 1998, "Using complex variables to estimate derivatives of real functions".
"""

from collections.abc import Callable

import numpy as np

from tinygrad_gpt.laws.law import Array

_TINY_STEP = 1e-30
_STEP = 1e-5
Function = Callable[..., Array]
Directions = dict[int, Array]  # position of an array -> v, of its shape


def directional_derivative(f: Function, arrays: tuple[Array, ...], directions: Directions, analytic: bool) -> Array:
    """J v: how f(*arrays) changes as the arrays at these positions move along v.  Float64, y's shape."""
    if analytic:
        moved = f(*[x + 1j * _TINY_STEP * directions[i] if i in directions else x for i, x in enumerate(arrays)])
        return np.imag(moved) / _TINY_STEP
    h = _STEP * max([1.0, *(float(np.max(np.abs(arrays[i]), initial=0)) for i in directions)])
    ahead, behind = (
        f(*[x + step * directions[i] if i in directions else x for i, x in enumerate(arrays)]) for step in (h, -h)
    )
    return np.asarray((ahead - behind) / (2 * h))


def jacobian(f: Function, arrays: tuple[Array, ...], position: int, analytic: bool) -> Array:
    """dy/dx of one array, an entry of x at a time: (*y.shape, *x.shape)."""
    shape = arrays[position].shape
    columns = [directional_derivative(f, arrays, {position: one_hot(shape, k)}, analytic) for k in np.ndindex(shape)]
    if not columns:
        return np.zeros((*np.shape(f(*arrays)), *shape))
    return np.stack(columns, axis=-1).reshape((*columns[0].shape, *shape))


def one_hot(shape: tuple[int, ...], place: tuple[int, ...]) -> Array:
    """1 at one index, 0 elsewhere."""
    e = np.zeros(shape)
    e[place] = 1
    return e
