"""Values as source: what is printed reads back as the same bits."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_gpt.laws.source import assignments, call, literal

DTYPES = st.sampled_from(["float64", "float32", "float16", "int64", "int32", "uint64", "uint8", "bool"])


def read(text):
    return eval(text, {"np": np})


@given(hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=3)))
def test_arrays_read_back(x):
    y = read(literal(x))
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    np.testing.assert_array_equal(x, y)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)


@given(st.recursive(PLAIN, st.lists, max_leaves=5))
def test_plain_values_read_back(value):
    np.testing.assert_equal(read(literal(value)), value)
    np.testing.assert_equal(read(literal((value,))), (value,))
    np.testing.assert_equal(read(literal({"a": value})), {"a": value})


def test_scalars_of_numpy_keep_their_type():
    for value in (np.float32(0.1), np.float32("inf"), np.int64(2), np.float64("nan")):
        found = read(literal(value))
        assert type(found) is type(value)
        np.testing.assert_equal(found, value)


def test_a_case_as_lines_and_as_a_call():
    case = {"logits": np.array([[0.0, -np.inf]]), "top_k": 1}
    assert assignments(case) == "logits = np.array([[0.0, -np.inf]])\ntop_k = 1"
    assert call("f", "sut", case) == "f(sut, logits=np.array([[0.0, -np.inf]]), top_k=1)"
