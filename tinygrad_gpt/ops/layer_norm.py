"""Layer norm: each row is shifted to mean 0 and scaled to variance 1, then given a gain and a bias.

    μ = mean x      r = 1/√(mean (x - μ)² + ε)      x̂ = (x - μ) r      y = g x̂ + b       (means over the last axis)

Gradient.  b is added to every row and g multiplies every row:  db = Σ_rows dy,  dg = Σ_rows dy x̂,  dx̂ = dy g.
x_i influences the loss in three ways (n is the row's length); dx is the sum of the three:

    directly                 x̂_i moves by r                                        r dx̂_i
    through the mean         every x̂_j moves by -r/n                             - r mean(dx̂)
    through the variance     dr/dx_i = -r³ (x_i - μ)/n = -r² x̂_i/n, and
                             x̂_j = (x_j - μ) r moves by (x_j - μ) dr = x̂_j dr/r   - r x̂_i mean(dx̂ x̂)

    dx = r (dx̂ - mean(dx̂) - x̂ mean(dx̂ x̂))

Shapes.   x (..., C), gain (C), bias (C)  ->  y (..., C).
Saved.    gain, r, x̂; not x.
Numerics. μ is subtracted before squaring, because mean x² - μ² would lose digits.  dx sums to 0 over the row and
          is nearly orthogonal to x̂.  Do not test with equal gains and dy = ones: then dx is 0 even if the code is
          wrong.  Where x has 16 bits, all is computed in float32 and rounded once.
Source.   Ba, Kiros & Hinton 2016, arXiv:1607.06450, section 3.
Check.    (1, 3) has mean 2 and standard deviation 1; a row of two numbers always has the same x̂, so dx = 0:

    >>> import numpy as np
    >>> y, vjp = layer_norm(np.array([1.0, 3.0]), np.ones(2), np.zeros(2), eps=0.0)
    >>> y.tolist(), [g.tolist() for g in vjp(np.array([1.0, 0.0]))]
    ([-1.0, 1.0], [[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
"""

from tinygrad_gpt.backend import Array, Vjp, array_module, cast_to, to_accumulation_dtype, to_input_dtype


def layer_norm(x: Array, gain: Array, bias: Array, *, eps: float = 1e-5) -> tuple[Array, Vjp]:
    """x (..., C), gain (C), bias (C)  ->  y (..., C).

    Backward: the parts that shift or stretch a whole row are removed from its gradient, since layer norm undoes
    such changes; the rest is divided by the standard deviation.
    """
    xp, dtypes = array_module(x), (x.dtype, gain.dtype, bias.dtype)
    x = to_accumulation_dtype(x)
    centred = x - x.mean(-1, keepdims=True)  # (..., C)
    rstd = 1 / xp.sqrt((centred * centred).mean(-1, keepdims=True) + eps)  # (..., 1)
    xhat = centred * rstd  # (..., C)

    def vjp(dy: Array) -> tuple[Array, Array, Array]:
        dy = to_accumulation_dtype(dy)
        dxhat = dy * gain
        projection = dxhat.mean(-1, keepdims=True) + xhat * (dxhat * xhat).mean(-1, keepdims=True)
        rows = tuple(range(dy.ndim - 1))
        dx, dgain, dbias = rstd * (dxhat - projection), (dy * xhat).sum(rows), dy.sum(rows)
        return cast_to(dtypes, dx, dgain, dbias)

    return to_input_dtype(xhat * gain + bias, xp.result_type(*dtypes)), vjp
