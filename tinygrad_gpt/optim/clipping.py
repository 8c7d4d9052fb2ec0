"""Gradients as one long vector: its norm, clipped."""

import math
from collections.abc import Mapping

from tinygrad_gpt.backend import Array, array_module
from tinygrad_gpt.tape import Tensor

BLOCK = 2**16  # entries squared at a time: 512 KB of float64, which stays in a cache


def clip_grad_norm(parameters: Mapping[str, Tensor], max_norm: float) -> float:
    """Scale all gradients by one factor so that their global norm is at most max_norm.  Returns the norm before.

    Below max_norm nothing changes.  New arrays replace the old: nobody else's array is written to.

    Raises ValueError if max_norm is not positive, FloatingPointError as grad_norm does.
    Source.  Pascanu et al. 2013, arXiv:1211.5063, algorithm 1.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive; got {max_norm}")
    norm = grad_norm(parameters)
    if norm > max_norm:
        scale = max_norm / norm
        for parameter in parameters.values():
            if parameter.grad is not None:
                parameter.grad = parameter.grad * scale
    return norm


def grad_norm(parameters: Mapping[str, Tensor]) -> float:
    """The root of the sum of squares of all gradients' entries, summed in float64.

    Raises FloatingPointError if a gradient is not finite (naming the parameter), or the sum is not (float64 gradients
    above 1e154).
    """
    total = sum(sum_of_squares(grad) for grad in checked_gradients(parameters).values())
    if not math.isfinite(total):
        raise FloatingPointError(f"the squared norm of all gradients is {total}")
    return math.sqrt(total)


def sum_of_squares(x: Array) -> float:
    """Σ x² in float64, whatever x's dtype: it neither overflows at 1e30 nor forgets small entries among many."""
    xp, flat = array_module(x), x.reshape(-1)
    return float(sum(xp.square(flat[i : i + BLOCK], dtype=xp.float64).sum() for i in range(0, len(flat), BLOCK)))


def checked_gradients(parameters: Mapping[str, Tensor]) -> dict[str, Array]:
    """The gradients there are, by name.

    Raises, naming the parameter: ValueError if a gradient has another shape, FloatingPointError if it is not finite.
    """
    grads = {}
    for name, parameter in parameters.items():
        if (grad := parameter.grad) is None:
            continue
        if grad.shape != parameter.shape:
            raise ValueError(f"gradient of {name} has shape {grad.shape}, not {parameter.shape}")
        if not array_module(grad).isfinite(grad).all():
            raise FloatingPointError(f"gradient of {name} is not finite")
        grads[name] = grad
    return grads
