"""Functions of one number, entry by entry: exp, log, sqrt, tanh, relu.

    y = e^x          dx = dy y
    y = ln x         dx = dy / x
    y = √x           dx = dy / (2 y)
    y = tanh x       dx = dy (1 - y²)
    y = max(x, 0)    dx = dy where x > 0, else 0

Gradient.  y_i depends only on x_i, so dx_i = dy_i · f'(x_i) for y = f(x).  Where f' can be written in terms of y (exp,
sqrt, tanh), y is saved and x is not.  tanh: from (sinh/cosh)' = (cosh² - sinh²)/cosh² = 1 - tanh².

Shapes.   x, y: any, the same.
Saved.    exp, sqrt, tanh: y.  log: x.  relu: where x > 0.
Numerics. log and sqrt have no finite slope at 0, and no value below it: NumPy warns and returns -inf or nan.  If the x
          of a root can be 0 (in a norm, a standard deviation), add a small number: √(x + ε).  Otherwise sqrt gives
          dx = inf at 0.  The square before it has slope 0, and inf times 0 is nan, as is all that depends on it.
          relu has no derivative at 0; we take 0, as is usual.
Check.    √4 = 2 with slope 1/4:

    >>> import numpy as np
    >>> y, vjp = sqrt(np.array([4.0]))
    >>> y.tolist(), vjp(np.array([1.0]))[0].tolist()
    ([2.0], [0.25])
"""

from tinygrad_gpt.backend import Array, Vjp, array_module


def exp(x: Array) -> tuple[Array, Vjp]:
    """Exponential: y = e^x.

    Backward: e^x is its own slope, so the gradient is multiplied by the result.
    """
    y = array_module(x).exp(x)
    return y, lambda dy: (dy * y,)


def log(x: Array) -> tuple[Array, Vjp]:
    """Natural logarithm: y = ln x, x > 0.

    Backward: the gradient is divided by the input.
    """
    return array_module(x).log(x), lambda dy: (dy / x,)


def sqrt(x: Array) -> tuple[Array, Vjp]:
    """Square root: y = √x, x > 0.

    Backward: the gradient is divided by twice the root.
    """
    y = array_module(x).sqrt(x)
    return y, lambda dy: (dy / (2 * y),)


def tanh(x: Array) -> tuple[Array, Vjp]:
    """Hyperbolic tangent: y = tanh x.

    Backward: the slope is 1 at 0 and goes to 0 where tanh saturates at 1 or -1.
    """
    y = array_module(x).tanh(x)
    return y, lambda dy: (dy * (1 - y * y),)


def relu(x: Array) -> tuple[Array, Vjp]:
    """Rectifier: y = max(x, 0).

    Backward: the gradient passes where x was positive and stops elsewhere.
    """
    xp = array_module(x)
    positive = x > 0
    return xp.where(positive | xp.isnan(x), x, 0), lambda dy: (xp.where(positive, dy, 0),)
