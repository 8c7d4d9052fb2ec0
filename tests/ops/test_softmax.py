"""What is true of softmax and its logarithm alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.ops.cases import masked_logits
from tinygrad_gpt import ops
from tinygrad_gpt.laws.strategies import arrays, dyadic

ROWS = arrays((2, 4), dyadic(8))


@given(masked_logits((2, 4)))
def test_rows_sum_to_one_and_what_is_masked_gets_nothing(x):
    p, _ = ops.softmax(x)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-15)
    assert (p[np.isneginf(x)] == 0).all()


@given(ROWS, dyadic(1000))
def test_shifting_a_row_changes_nothing(x, shift):
    np.testing.assert_array_equal(ops.softmax(x + shift)[0], ops.softmax(x)[0])
    np.testing.assert_array_equal(ops.log_softmax(x + shift)[0], ops.log_softmax(x)[0])


@given(ROWS, ROWS)
def test_gradients_sum_to_zero(x, dy):
    for op in (ops.softmax, ops.log_softmax):
        (dx,) = op(x)[1](dy)
        np.testing.assert_allclose(dx.sum(-1), 0, atol=1e-13 * (1 + abs(dy).sum()))


@given(st.floats(700, 1e300))
def test_the_logarithm_outlives_the_probability(gap):
    x = np.array([0.0, -gap])
    assert ops.log_softmax(x)[0][1] == -gap
    assert ops.log_softmax(x)[1](np.array([0.0, 1.0]))[0].tolist() == [-1, 1]
