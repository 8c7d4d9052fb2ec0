"""JAX functions as ops under test."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.ops.under_test import OpUnderTest, Vjp


def jax_op(function: Callable[..., Any], *, name: str = "", **claims: Any) -> OpUnderTest:
    """function(*arrays, **settings) -> array, such as jax.nn.softmax, as an OpUnderTest; the vjp is JAX's.

    claims are those of OpUnderTest.  float64 needs jax.config.update("jax_enable_x64", True); without it pass
    dtypes=("float32",).  Raises ImportError without jax.
    """
    import jax

    def op(*arrays: Array, **settings: Any) -> tuple[Array, Vjp]:
        floats = [i for i, x in enumerate(arrays) if x.dtype.kind == "f"]

        def of_floats(*values: Any) -> Any:
            whole = list(arrays)
            for i, value in zip(floats, values, strict=True):
                whole[i] = value
            return function(*whole, **settings)

        y, pull = jax.vjp(of_floats, *(jax.numpy.array(arrays[i]) for i in floats))

        def vjp(dy: Array) -> tuple[Array | None, ...]:
            found = iter(pull(jax.numpy.array(dy)))
            return tuple(np.array(next(found)) if i in floats else None for i in range(len(arrays)))

        return np.array(y), vjp

    return OpUnderTest(name=name or f"jax-{getattr(function, '__name__', function)}", op=op, **claims)
