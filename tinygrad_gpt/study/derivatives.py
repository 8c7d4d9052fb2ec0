"""A gradient by two means that know nothing of the vjp: the complex step, and central differences.

Both move one entry of an input at a time, look how y moves, and weigh that with the incoming gradient dy.

The complex step.  f(x + ih) = f(x) + ih f'(x) + O(h²) for an analytic f: the imaginary part over h is the derivative.
Nothing is subtracted: at h = 1e-30 no digit is lost.  Comparisons must go by the real part, as NumPy's do.
Central differences.  (f(x + h) - f(x - h)) / 2h, off by h²f'''/6 and by the rounding of f over h.
Source.  Squire & Trapp 1998, "Using complex variables to estimate derivatives of real functions".
"""

from collections.abc import Callable

import numpy as np

from tinygrad_gpt.backend import Array

TINY_STEP = 1e-30
STEP = 1e-5
Function = Callable[..., Array]


def by_complex_step(f: Function, inputs: tuple[Array, ...], i: int, dy: Array) -> Array:
    """dLoss/dx of input i, an entry at a time; f must take complex numbers."""
    return _entry_by_entry(inputs, i, lambda moved: np.imag(f(*moved(1j * TINY_STEP))) / TINY_STEP, dy)


def by_differences(f: Function, inputs: tuple[Array, ...], i: int, dy: Array) -> Array:
    """dLoss/dx of input i, an entry at a time."""
    return _entry_by_entry(inputs, i, lambda moved: (f(*moved(STEP)) - f(*moved(-STEP))) / (2 * STEP), dy)


def _entry_by_entry(inputs: tuple[Array, ...], i: int, slope: Callable[..., Array], dy: Array) -> Array:
    """Σ dy · slope for each entry of input i; slope is given a function that moves that entry by a step."""
    grad = np.zeros(inputs[i].shape)
    for place in np.ndindex(grad.shape):

        def moved(step: complex, place: tuple[int, ...] = place) -> list[Array]:
            x = inputs[i].astype(type(step))
            x[place] += step
            return [*inputs[:i], x, *inputs[i + 1 :]]

        grad[place] = np.sum(dy * slope(moved))
    return grad
