"""Arrays on the GPU to time things with."""

import math
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array, array_module, to_device
from tinygrad_gpt.kernels import cuda
from tinygrad_gpt.kernels.cuda.precision import bfloat16


def cupy() -> Any:
    """The module.  Raises UnavailableDeviceError without a GPU."""
    return array_module(to_device(np.zeros(1), "cuda"))


def torch_has_a_gpu() -> bool:
    """Whether PyTorch is installed, and built for CUDA."""
    try:
        import torch
    except Exception:  # not installed, or broken: an import may raise anything
        return False
    return bool(torch.cuda.is_available())


def numbers(*shape: int) -> Array:
    """float32 numbers from -½ to ½, none like its neighbours: zeros would be faster work."""
    mixed = cupy().arange(math.prod(shape)) * 40503 % 65521
    return (mixed / 65521 - 0.5).astype("float32").reshape(shape)


def ids_below(n: int, *shape: int) -> Array:
    """Whole numbers from 0 to n - 1."""
    return to_device(np.random.default_rng(0).integers(0, n, shape), "cuda")


def stored(x: Array, precision: str) -> Array:
    """float32 x as activations are stored in this precision."""
    return cuda.cast(x, bfloat16()) if precision == "bfloat16" else x
