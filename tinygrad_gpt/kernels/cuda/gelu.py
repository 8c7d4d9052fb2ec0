"""GELU and its gradient, four entries to a thread."""

from typing import Any, Literal

from tinygrad_gpt.backend import Array, Vjp, array_module
from tinygrad_gpt.kernels.cuda.arrays import contiguous, fours, stored_as
from tinygrad_gpt.kernels.cuda.launcher import launch
from tinygrad_gpt.ops.gelu import A, C
from tinygrad_gpt.ops.gelu import gelu as reference

FILE = "gelu.cu"


def gelu(x: Array, *, form: Literal["tanh", "erf"] = "tanh") -> tuple[Array, Vjp]:
    """y = ½ x (1 + tanh(C (x + A x³))), float32 or bfloat16; the erf form is the op's own.  Saves x alone."""
    if form != "tanh":
        return reference(x, form=form)
    x = contiguous(x)
    y = array_module(x).empty_like(x)
    how: dict[str, Any] = {**fours(x.size), "defines": {**stored_as(x), "C": C, "A": A}}
    launch(FILE, "gelu_forward", x, y, x.size, **how)

    def vjp(dy: Array) -> tuple[Array]:
        dx = array_module(x).empty_like(x)
        launch(FILE, "gelu_backward", x, contiguous(dy), dx, x.size, **how)
        return (dx,)

    return y, vjp
