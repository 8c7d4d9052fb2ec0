"""Gradients as one long vector: its norm, clipped."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

from tinygrad_gpt.backend import Array, array_module, narrowed, widened
from tinygrad_gpt.kernels import FASTER, cuda, kernel_for
from tinygrad_gpt.kernels.threads import blocks, share
from tinygrad_gpt.tape import Tensor

BLOCK = 2**18  # entries summed in one piece, by one thread


def clip_grad_norm(parameters: Mapping[str, Tensor], max_norm: float) -> float:
    """Scale all gradients by one factor so that their global norm is at most max_norm.  Returns the norm before.

    Below max_norm nothing changes.  New arrays replace the old: nobody else's array is written to.

    Raises ValueError if max_norm is not positive, FloatingPointError as grad_norm does.
    Source.  Pascanu et al. 2013, arXiv:1211.5063, algorithm 1.
    """
    norm = grad_norm(parameters)
    scale = clipping_factor(norm, max_norm)
    if scale < 1:
        for parameter in parameters.values():
            if parameter.grad is not None:
                parameter.grad = narrowed(widened(parameter.grad) * scale, parameter.grad.dtype)
    return norm


def clipping_factor(norm: float, max_norm: float) -> float:
    """What gradients of this norm are multiplied by: 1 up to max_norm.  Raises ValueError if that is not positive."""
    positive_norm(max_norm)
    return max_norm / norm if norm > max_norm else 1.0


def positive_norm(max_norm: float) -> float:
    """max_norm, if it is positive; infinity is."""
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive; got {max_norm}")
    return max_norm


def grad_norm(parameters: Mapping[str, Tensor]) -> float:
    """The root of the sum of squares of all gradients' entries, summed in float64.  On a GPU this waits for it.

    Raises FloatingPointError if a gradient is not finite (naming the parameter), or the sum is not (float64 gradients
    above 1e154); ValueError if a gradient has another shape than its parameter.
    """
    return norm_of(gradients(parameters))


def norm_of(grads: Mapping[str, Array]) -> float:
    """The norm of gradients by name, as grad_norm has it."""
    arrays = [*grads.values()]
    total = kernel_for(total_of_squares, *arrays)(arrays)
    if math.isfinite(total):
        return math.sqrt(total)
    check_finite(grads)
    raise FloatingPointError(f"the squared norm of all gradients is {total}")


def total_of_squares(arrays: Sequence[Array]) -> float:
    """Σ x² over all entries of all arrays, in float64."""
    return sum(sum_of_squares(array) for array in arrays)


def sum_of_squares(x: Array) -> float:
    """Σ x² in float64, whatever x's dtype: it neither overflows at 1e30 nor forgets small entries among many."""
    xp, flat = array_module(x), x.reshape(-1)
    pieces = blocks(slice(0, len(flat)), BLOCK)
    sums = [0.0] * len(pieces)

    def work(part: slice) -> None:
        for i in range(part.start, part.stop):
            piece = flat[pieces[i]]
            sums[i] = float(xp.einsum("i,i->", piece, piece, dtype=xp.float64))

    share(work, len(pieces))
    return sum(sums)


def gradients(parameters: Mapping[str, Tensor]) -> dict[str, Array]:
    """The gradients there are, by name.

    Raises, naming the parameter, ValueError if one has another shape, TypeError if one is bfloat16.
    """
    grads = {name: parameter.grad for name, parameter in parameters.items() if parameter.grad is not None}
    for name, grad in grads.items():
        if grad.shape != parameters[name].shape:
            raise ValueError(f"gradient of {name} has shape {grad.shape}, not {parameters[name].shape}")
        if grad.dtype.name == "bfloat16":
            raise TypeError(f"gradient of {name} must be float32, float64 or float16; got bfloat16")
    return grads


def check_finite(grads: Mapping[str, Array]) -> None:
    """Raise FloatingPointError, naming the first parameter whose gradient is not finite."""
    for name, grad in grads.items():
        if not array_module(grad).isfinite(grad).all():
            raise FloatingPointError(f"gradient of {name} is not finite")


# The table cannot name it itself: kernels know the ops below them, not the optimizer above.
FASTER[total_of_squares, "cupy", "float32"] = partial(cuda.total_of_squares, otherwise=total_of_squares)
