"""Numbers worked by hand, and arrays of integers among floats."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt import ops
from tinygrad_gpt.laws.strategies import arrays, dyadic

BINARY = (ops.add, ops.subtract, ops.multiply, ops.divide, ops.power)


@pytest.mark.parametrize("op", [*BINARY, ops.matmul], ids=lambda op: op.__name__)
def test_integers_meet_floats_and_have_no_gradient(op):
    x, whole = np.full((2, 2), 1.5), np.array([[1, 2], [3, 4]])
    y, vjp = op(x, whole)
    np.testing.assert_array_equal(y, op(x, whole.astype(float))[0])
    dx, none = vjp(y)
    assert none is None
    np.testing.assert_array_equal(dx, op(x, whole.astype(float))[1](y)[0])


@given(arrays((3,), dyadic(3)), st.integers(0, 4))
def test_whole_powers_of_any_number(x, n):
    """Also 0 to the power of 0, and slopes at 0."""
    y, vjp = ops.power(x, np.full(3, float(n)))
    np.testing.assert_allclose(y, np.prod([x] * n, axis=0) if n else np.ones(3), rtol=1e-15)
    slope = n * (np.prod([x] * (n - 1), axis=0) if n > 1 else np.ones(3))
    dx, dn = vjp(np.ones(3))
    np.testing.assert_allclose(dx, slope, rtol=1e-15)
    assert np.isfinite(dn).all()


def test_division_by_what_is_tiny_stays_finite():
    y, vjp = ops.divide(np.array([1e-300]), np.array([1e-200]))
    assert y == 1e-100
    assert np.isfinite(vjp(np.ones(1))[1]).all()


@pytest.mark.parametrize(("a", "b"), [((2, 0), (0, 3)), ((2, 3), (3, 0)), ((4, 2, 0), (0, 5)), ((0, 3), (3, 2))])
def test_empty_matrices_have_gradients_of_their_shapes(a, b):
    y, vjp = ops.matmul(np.ones(a), np.ones(b))
    assert [dx.shape for dx in vjp(np.ones_like(y))] == [a, b]
