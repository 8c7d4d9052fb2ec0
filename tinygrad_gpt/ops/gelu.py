"""GELU, the activation of GPT-2: x times the probability that a standard normal number is below x.

tanh form, the one GPT-2 was trained with:

    y = ½ x (1 + t)     t = tanh u     u = C (x + A x³)     C = √(2/π), A = 0.044715

Gradient.  By the product rule dy/dx = ½ (1 + t) + ½ x dt/dx.  With dt/du = 1 - t² and du/dx = C (1 + 3 A x²) that is

    dy/dx = ½ (1 + t + x (1 - t²) C (1 + 3 A x²))

erf form, the definition:

    y = x Φ(x)          Φ(x) = ½ (1 + erf(x/√2))

Gradient.  Φ' is the normal density, so dy/dx = Φ(x) + x e^{-x²/2}/√(2π).

Shapes.   x, y, dy, dx: any, all the same.
Settings. form: "tanh" or "erf".  They differ by up to 4.7e-4 (at |x| = 2.7): enough to differ from GPT-2's results.
Saved.    x, and t or Φ.
Errors.   ValueError for another form.
Numerics. erf is computed entry by entry in Python on the CPU, which is slow; 1 + erf loses relative precision below -4.
          Where x has 16 bits, all is computed in float32 and rounded once.
Source.   Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2.
Check.    x = 0 gives t = 0, so y = 0 and dy/dx = ½:

    >>> import numpy as np
    >>> y, vjp = gelu(np.array([0.0, 1.0]))
    >>> y.round(4).tolist(), vjp(np.ones(2))[0].round(4).tolist()
    ([0.0, 0.8412], [0.5, 1.083])
"""

import math
from typing import Literal

from tinygrad_gpt.backend import Array, Vjp, array_module, erf, to_accumulation_dtype, to_input_dtype

C = math.sqrt(2 / math.pi)  # a Python float: NumPy's would turn float32 into float64
A = 0.044715


def gelu(x: Array, *, form: Literal["tanh", "erf"] = "tanh") -> tuple[Array, Vjp]:
    """y = x Φ(x), in one of two forms.

    Backward: a large positive x passes the gradient, a large negative x stops it, and near 0 about half passes.
    """
    if form == "tanh":
        return _gelu_tanh(x)
    if form == "erf":
        return _gelu_erf(x)
    raise ValueError(f"form must be 'tanh' or 'erf'; got {form!r}")


def _gelu_tanh(x: Array) -> tuple[Array, Vjp]:
    """The form that GPT-2 was trained with."""
    dtype, x = x.dtype, to_accumulation_dtype(x)
    t = array_module(x).tanh(C * (x + A * x * x * x))

    def vjp(dy: Array) -> tuple[Array]:
        dudx = C * (1 + 3 * A * x * x)
        return (to_input_dtype(0.5 * dy * (1 + t + x * (1 - t * t) * dudx), dtype),)

    return to_input_dtype(0.5 * x * (1 + t), dtype), vjp


def _gelu_erf(x: Array) -> tuple[Array, Vjp]:
    """The definition."""
    xp, dtype, x = array_module(x), x.dtype, to_accumulation_dtype(x)
    below = 0.5 * (1 + erf(x / math.sqrt(2)))

    def vjp(dy: Array) -> tuple[Array]:
        density = xp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        return (to_input_dtype(dy * (below + x * density), dtype),)

    return to_input_dtype(x * below, dtype), vjp
