"""The precision of the CUDA kernels' arithmetic: a setting for a block of code, not for an array.

    float32     products in full float32
    tf32        products of linear layers and of the head on tensor cores, which read 10 bits of each fraction (relative
                error 3e-4); attention stays in float32
    bfloat16    activations and their gradients stored in bfloat16, products summed in float32; parameters, their
                gradients, AdamW's moments, statistics, losses and the residual stream stay float32

It has no effect on the ops and on NumPy arrays.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, cast

import numpy as np

from tinygrad_gpt.backend import why_not_importable

PRECISIONS = ("float32", "tf32", "bfloat16")

_current: ContextVar[str] = ContextVar("precision", default="float32")


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Within this block, in this thread, CUDA kernels compute in this precision, one of PRECISIONS."""
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {name!r}")
    if name == "bfloat16":
        bfloat16()  # raises here, not in the middle of a step
    token = _current.set(name)
    try:
        yield
    finally:
        _current.reset(token)


def current_precision() -> str:
    """The precision of this block, by default "float32"."""
    return _current.get()


@cache
def bfloat16() -> "np.dtype[Any]":
    """The dtype bfloat16, which NumPy itself lacks.  Raises ImportError, with the remedy, if ml_dtypes is missing."""
    reason = why_not_importable("ml_dtypes")
    if reason is not None:
        raise ImportError(f"bfloat16 needs the package ml_dtypes: {reason}")
    import ml_dtypes

    return cast("np.dtype[Any]", np.dtype(ml_dtypes.bfloat16))
