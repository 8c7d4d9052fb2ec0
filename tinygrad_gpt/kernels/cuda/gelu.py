"""GELU and its gradient, four entries per thread."""

from typing import Any, Literal

from tinygrad_gpt.backend import Array, Vjp, array_module
from tinygrad_gpt.kernels.cuda.arrays import as_contiguous, grid_by_fours, storage_define
from tinygrad_gpt.kernels.cuda.launcher import launch
from tinygrad_gpt.ops.gelu import A, C

_FILE = "gelu.cu"


def accepts_gelu(x: Array, *, form: str = "tanh", **settings: Any) -> bool:
    """True for the tanh form."""
    return form == "tanh"


def gelu(x: Array, *, form: Literal["tanh"] = "tanh") -> tuple[Array, Vjp]:
    """y = ½ x (1 + tanh(C (x + A x³))), float32 or bfloat16.  Saves only x."""
    x = as_contiguous(x)
    y = array_module(x).empty_like(x)
    how: dict[str, Any] = {**grid_by_fours(x.size), "defines": {**storage_define(x), "C": C, "A": A}}
    launch(_FILE, "gelu_forward", x, y, x.size, **how)

    def vjp(dy: Array) -> tuple[Array]:
        dx = array_module(x).empty_like(x)
        launch(_FILE, "gelu_backward", x, as_contiguous(dy), dx, x.size, **how)
        return (dx,)

    return y, vjp
