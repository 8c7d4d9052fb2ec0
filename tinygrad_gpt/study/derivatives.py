"""A gradient without the vjp, entry by entry: by the complex step, and by central differences.

Both move one entry of an input, see how y moves, and sum that change times the incoming gradient dy.  The two methods
are derived, with their source, in laws/ops/derivatives.py; this file needs no Hypothesis.
"""

from collections.abc import Callable

import numpy as np

from tinygrad_gpt.backend import Array

TINY_STEP = 1e-30
STEP = 1e-5
Function = Callable[..., Array]


def by_complex_step(f: Function, inputs: tuple[Array, ...], i: int, dy: Array) -> Array:
    """dLoss/dx of input i; f must accept complex numbers."""
    return _entry_by_entry(inputs, i, lambda moved: np.imag(f(*moved(1j * TINY_STEP))) / TINY_STEP, dy)


def by_differences(f: Function, inputs: tuple[Array, ...], i: int, dy: Array) -> Array:
    """dLoss/dx of input i, with an error of about 1e-10."""
    return _entry_by_entry(inputs, i, lambda moved: (f(*moved(STEP)) - f(*moved(-STEP))) / (2 * STEP), dy)


def _entry_by_entry(inputs: tuple[Array, ...], i: int, slope: Callable[..., Array], dy: Array) -> Array:
    """Σ dy · slope(moved) for each entry of input i; moved(step) are the inputs with that entry moved."""
    grad = np.zeros(inputs[i].shape)
    for place in np.ndindex(grad.shape):

        def moved(step: complex, place: tuple[int, ...] = place) -> list[Array]:
            x = inputs[i].astype(type(step))
            x[place] += step
            return [*inputs[:i], x, *inputs[i + 1 :]]

        grad[place] = np.sum(dy * slope(moved))
    return grad
