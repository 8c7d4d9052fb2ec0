"""Kernels for arrays of CuPy as ops on NumPy's arrays: what goes in is moved there, what comes out is moved back."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tests.ops.cases import CASES
from tinygrad_gpt import ops
from tinygrad_gpt.laws import OpUnderTest


def on(device: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """function, which takes the device's arrays, on NumPy's.  Arrays that are not contiguous arrive with strides."""

    def there(x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(map(there, x))
        if not isinstance(x, np.ndarray | np.generic):
            return x
        return device.asarray(x) if x.flags.c_contiguous else device.asarray(np.stack([x, x], axis=-1))[..., 0]

    def back(x: Any) -> Any:
        return x if x is None else device.get(x)

    def op(*arrays: Any, **settings: Any) -> Any:
        y, vjp = function(*map(there, arrays), **{name: there(value) for name, value in settings.items()})
        return back(y), lambda dy: tuple(map(back, vjp(there(dy))))

    return op


def claims(op: Callable[..., Any], dtype: str) -> list[OpUnderTest]:
    """The cases of an op, for one dtype; those around its wrappers are not its own."""
    return [
        replace(sut, name=f"{sut.name}-cupy-{dtype}", original=op, dtypes=(dtype,))
        for sut in CASES[op.__name__]
        if op in ops.ALL_OPS and sut.op is op
    ]
