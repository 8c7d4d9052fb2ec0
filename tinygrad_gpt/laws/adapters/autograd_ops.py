"""Functions written with HIPS autograd's numpy as ops under test."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.ops.under_test import OpUnderTest, Vjp


def autograd_op(function: Callable[..., Array], *, name: str = "", **claims: Any) -> OpUnderTest:
    """function(*arrays, **settings) -> array, in terms of autograd.numpy, as an OpUnderTest; the vjp is autograd's.

    claims are those of OpUnderTest.  Raises ImportError without autograd.
    """
    from autograd import make_vjp

    def op(*arrays: Array, **settings: Any) -> tuple[Array, Vjp]:
        floats = [i for i, x in enumerate(arrays) if x.dtype.kind == "f"]

        def pull(i: int) -> Any:
            return make_vjp(lambda x: function(*arrays[:i], x, *arrays[i + 1 :], **settings))(arrays[i])[0]

        pulls = {i: pull(i) for i in floats}

        def vjp(dy: Array) -> tuple[Array | None, ...]:
            return tuple(np.asarray(pulls[i](dy)) if i in pulls else None for i in range(len(arrays)))

        return np.asarray(function(*arrays, **settings)), vjp

    return OpUnderTest(name=name or f"autograd-{getattr(function, '__name__', function)}", op=op, **claims)
