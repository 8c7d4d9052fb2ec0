"""What is true of GELU alone."""

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt import backend, ops


def test_the_two_forms_differ_by_up_to_0_00047():
    x = np.linspace(-6, 6, 4001)
    apart = abs(ops.gelu(x, form="tanh")[0] - ops.gelu(x, form="erf")[0])
    assert 4.6e-4 < apart.max() < 4.75e-4
    assert abs(abs(x[apart.argmax()]) - 2.7) < 0.1


@pytest.mark.parametrize("form", ["tanh", "erf"])
@given(x=st.floats(-30, 30))
def test_gelu_of_x_and_of_minus_x_differ_by_x(form, x):
    here, there = ops.gelu(np.array([x, -x]), form=form)[0]
    np.testing.assert_allclose(here - there, x, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("form", ["tanh", "erf"])
def test_far_out_it_is_the_rectifier(form):
    y, vjp = ops.gelu(np.array([-40.0, 40.0]), form=form)
    assert y.tolist() == [0, 40]
    assert vjp(np.ones(2))[0].tolist() == [0, 1]


@given(st.floats(-40, 40))
def test_our_error_function_is_scipys(x):
    x = np.array([x])
    np.testing.assert_allclose(backend.erf(x), scipy.special.erf(x), rtol=4e-16)


def test_another_form_is_refused():
    with pytest.raises(ValueError, match="form must be 'tanh' or 'erf'; got 'sigmoid'"):
        ops.gelu(np.zeros(1), form="sigmoid")
