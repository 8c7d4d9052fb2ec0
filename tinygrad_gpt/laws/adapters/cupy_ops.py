"""Ops on CuPy arrays as ops under test."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.ops.under_test import OpUnderTest, Vjp


def cupy_op(function: Callable[..., tuple[Array, Vjp]], *, name: str = "", **claims: Any) -> OpUnderTest:
    """function(*arrays, **settings) -> (y, vjp) on CuPy's arrays, as an OpUnderTest on NumPy's: it runs on the GPU.

    claims are those of OpUnderTest.  An array that is not contiguous is passed with strides, but not the same ones.
    Raises ImportError without cupy.
    """
    import cupy  # noqa: TID251 - the laws do not import this package's backend

    def there(x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(map(there, x))
        if not isinstance(x, np.ndarray):
            return x
        y = cupy.asarray(x)
        return y if x.flags.c_contiguous else cupy.stack([y, y], axis=-1)[..., 0]

    def back(x: Any) -> Any:
        return cupy.asnumpy(x) if isinstance(x, cupy.ndarray) else x

    def op(*arrays: Array, **settings: Any) -> tuple[Array, Vjp]:
        moved = {setting: there(value) for setting, value in settings.items()}
        y, vjp = function(*map(there, arrays), **moved)
        return back(y), lambda dy: tuple(map(back, vjp(there(dy))))

    return OpUnderTest(name=name or f"cupy-{getattr(function, '__name__', function)}", op=op, **claims)
