"""Numbers as text that a last bit does not change."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.study.explain.digits import array_text, decimals, value_text


@given(st.integers(-(10**7), 10**7), st.integers(-64, 64))
def test_last_bits_never_show(k, ulps):
    x = k / 10**6  # short decimals, those that lie between two roundings among them
    assert decimals(x + ulps * np.spacing(x)) == decimals(x)


@given(st.floats(-1e6, 1e6))
def test_four_decimals_are_the_number(x):
    assert abs(float(decimals(x)) - x) <= 0.5e-4 + 2e-9
    assert len(decimals(x).split(".")[1]) == 4


@given(st.floats(-1e-10, 1e-10))
def test_what_rounding_makes_of_zero_is_zero(x):
    assert decimals(x) == "0.0000"


@given(st.lists(st.lists(st.floats(-100, 100), min_size=3, max_size=3), min_size=1, max_size=3))
def test_an_array_reads_back(rows):
    text = array_text(np.array(rows))
    assert len({len(line) for line in (" " + text).split("\n")}) <= 2  # all lines but the first and last are as long
    read = np.array([float(number) for number in text.replace("[", " ").replace("]", " ").split()])
    np.testing.assert_allclose(read, np.ravel(rows), rtol=0, atol=0.51e-4)


def test_values_of_every_kind():
    assert array_text(np.array([0.5, -np.inf])) == "[ 0.5 -inf]"
    assert array_text(np.array([True, False])) == "[ True False]"
    assert array_text(np.array([2.0, 0.0])) == "[2.0 0.0]"
    assert value_text(((2, 3), np.dtype("float64"))) == "((2, 3), float64)"
    assert value_text((3,)) == "(3,)"
    assert value_text([slice(None), slice(1, 4), slice(0, 4, 2)]) == "[:, 1:4, 0:4:2]"
    assert value_text(np) == "numpy"
