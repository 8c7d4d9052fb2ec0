"""The norm of all gradients, as if they were one long vector, and clipping by it.

    ‖g‖ = √(Σ g²)              over all entries of all gradients
    g  ←  g · s                s = max_norm / ‖g‖ where ‖g‖ is above max_norm, else 1

Clipping keeps the direction: every gradient is scaled by the same s, and afterwards ‖g‖ is at most max_norm.

Shapes.   Arrays of any shape; a total, a norm and a factor are Python floats.
Numerics. Squares are summed in float64, whatever the arrays' dtype: they do not overflow at 1e30, and small entries
          among many are not lost.  Each block of entries has its own sum, so that threads can share the blocks.
Errors.   FloatingPointError, naming the parameter, for a gradient that is not finite.
Source.   Pascanu et al. 2013, arXiv:1211.5063, algorithm 1.
Check.    3² + 4² = 5²:

    >>> import numpy as np
    >>> total = total_of_squares(np.array([3.0]), np.array([[0.0, -4.0]]))
    >>> total, clipping_factor(total**0.5, 1.0)
    (25.0, 0.2)

These functions have no vjp: they are applied to gradients, after backward.
"""

import math
from collections.abc import Mapping

from tinygrad_gpt.backend import Array, array_module
from tinygrad_gpt.checks import number

BLOCK_ENTRIES = 2**18  # entries summed in one piece


def total_of_squares(*arrays: Array) -> float:
    """Σ x² over all entries of all arrays, in float64.  On a GPU this waits for the device."""
    return sum(_sum_of_squares(array) for array in arrays)


def _sum_of_squares(x: Array) -> float:
    """Σ x² in float64."""
    flat = x.reshape(-1)
    return sum(dot_with_itself(flat[start : start + BLOCK_ENTRIES]) for start in range(0, len(flat), BLOCK_ENTRIES))


def dot_with_itself(x: Array) -> float:
    """Σ x² of one block (N), in float64, without a copy of it."""
    xp = array_module(x)
    return float(xp.einsum("i,i->", x, x, dtype=xp.float64))


def _norm_of_total(total: float, gradients: Mapping[str, Array]) -> float:
    """The norm of gradients by name with this sum of squares.

    Raises FloatingPointError if a gradient is not finite, or the total is not (float64 gradients above 1e154).
    """
    if math.isfinite(total):  # only if every gradient is finite
        return math.sqrt(total)
    for name, grad in gradients.items():
        if not array_module(grad).isfinite(grad).all():
            raise FloatingPointError(f"gradient of {name} is not finite")
    raise FloatingPointError(f"the squared norm of all gradients is {total}")


def finite_norm(total: float, gradients: Mapping[str, Array], loss: Array | None) -> float:
    """The norm of gradients with this sum of squares.

    Raises FloatingPointError if the norm or the loss is not finite.
    """
    try:
        norm = _norm_of_total(total, gradients)
    except FloatingPointError as error:
        raise error if loss is None else FloatingPointError(f"loss {float(loss):.4g}, {error}") from None
    if loss is not None and not math.isfinite(loss):
        raise FloatingPointError(f"loss {float(loss):.4g}, which is not finite")
    return norm


def clipping_factor(norm: float, max_norm: float) -> float:
    """The factor s for gradients of this norm: 1 up to max_norm.  Raises ValueError if max_norm is not positive."""
    return positive_norm(max_norm) / norm if norm > max_norm else 1.0


def positive_norm(max_norm: float) -> float:
    """max_norm, unchanged; inf is allowed.  Raises ValueError or TypeError unless it is a positive number."""
    bound: float = number("max_norm", max_norm, "positive", lambda x: x > 0)
    return bound
