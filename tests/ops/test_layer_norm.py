"""What is true of layer norm alone."""

import numpy as np
from hypothesis import given

from tinygrad_gpt import ops
from tinygrad_gpt.laws.strategies import arrays, dyadic

ROWS = arrays((2, 4), dyadic(8), unique=True)
ONES, ZEROS = np.ones(4), np.zeros(4)


@given(ROWS)
def test_rows_have_mean_0_and_variance_1(x):
    y, _ = ops.layer_norm(x, ONES, ZEROS, eps=0.0)
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-10)
    np.testing.assert_allclose((y * y).mean(-1), 1, rtol=1e-10)


@given(ROWS, dyadic(100))
def test_shifting_a_row_changes_nothing(x, shift):
    np.testing.assert_allclose(ops.layer_norm(x + shift, ONES, ZEROS)[0], ops.layer_norm(x, ONES, ZEROS)[0], atol=1e-9)


@given(ROWS, ROWS)
def test_the_gradient_is_orthogonal_to_shifting_and_to_scaling(x, dy):
    y, vjp = ops.layer_norm(x, ONES, ZEROS, eps=0.0)
    dx = vjp(dy)[0]
    size = abs(dy).sum() / x.std(-1).min()
    np.testing.assert_allclose(dx.sum(-1), 0, atol=1e-10 * size)
    np.testing.assert_allclose((dx * y).sum(-1), 0, atol=1e-10 * size)


@given(arrays((2, 1), dyadic(8)))
def test_a_constant_row_becomes_the_bias(x):
    y, vjp = ops.layer_norm(np.repeat(x, 4, -1), 2 * ONES, 3 * ONES)
    assert (y == 3).all()
    assert np.isfinite(vjp(y)[0]).all()
