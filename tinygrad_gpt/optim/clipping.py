"""The global norm of all gradients, as if they were one long vector, and clipping by it."""

import math
from collections.abc import Mapping

from tinygrad_gpt.backend import Array, to_accumulation_dtype, to_input_dtype
from tinygrad_gpt.checks import mapping
from tinygrad_gpt.kernels import kernel_for
from tinygrad_gpt.ops.norms import clipping_factor, finite_norm, positive_norm, total_of_squares
from tinygrad_gpt.tape import Tensor


def clip_grad_norm(parameters: Mapping[str, Tensor], max_norm: float) -> float:
    """Scale all gradients by one factor so that their global norm is at most max_norm.  Returns the norm before that.

    If the norm is at most max_norm, nothing changes.  Scaled gradients are new arrays: others may use the old arrays.

    Raises ValueError if max_norm is not positive, and what grad_norm raises.
    Source.  Pascanu et al. 2013, arXiv:1211.5063, algorithm 1.
    """
    positive_norm(max_norm)
    norm, scale = norm_and_factor(gradients_of(parameters), max_norm)
    if scale < 1:
        for parameter in parameters.values():
            if parameter.grad is not None:
                parameter.grad = to_input_dtype(to_accumulation_dtype(parameter.grad) * scale, parameter.grad.dtype)
    return norm


def grad_norm(parameters: Mapping[str, Tensor]) -> float:
    """The square root of the sum of all squared gradient entries, in float64.  On a GPU this waits for the device.

    Raises FloatingPointError if a gradient is not finite (with the parameter's name) or the sum is not (float64
    gradients above 1e154); ValueError if a gradient has another shape than its parameter.
    """
    return norm_and_factor(gradients_of(parameters), math.inf)[0]


def norm_and_factor(grads: Mapping[str, Array], max_norm: float, loss: Array | None = None) -> tuple[float, float]:
    """The norm of gradients by name, and the factor that brings it to at most max_norm.

    For optimizers.  Raises FloatingPointError if a gradient or the loss is not finite.  On a GPU this waits for the
    device.
    """
    total: float = kernel_for(total_of_squares, *grads.values())(*grads.values())
    norm = finite_norm(total, grads, loss)
    return norm, clipping_factor(norm, max_norm)


def gradients_of(parameters: Mapping[str, Tensor]) -> dict[str, Array]:
    """The gradients by name, of the parameters that have one.

    Raises ValueError for a gradient of another shape, TypeError for one of bfloat16; both name the parameter.
    """
    tensors = named_tensors(parameters)
    grads = {name: parameter.grad for name, parameter in tensors.items() if parameter.grad is not None}
    for name, grad in grads.items():
        if grad.shape != parameters[name].shape:
            raise ValueError(f"gradient of {name} has shape {grad.shape}, not {parameters[name].shape}")
        if grad.dtype.name == "bfloat16":
            raise TypeError(f"gradient of {name} must be float32, float64 or float16; got bfloat16")
    return grads


def named_tensors(parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The parameters.  Raises TypeError unless they are a mapping of names to tensors."""
    mapping("parameters", parameters, "name to Tensor, as model.parameters() gives")
    for name, parameter in parameters.items():
        if not isinstance(parameter, Tensor):
            raise TypeError(f"parameter {name} must be a Tensor; got {type(parameter).__name__}")
    return parameters
