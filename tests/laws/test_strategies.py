"""The strategies force what the laws want to see."""

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from tinygrad_gpt.laws import strategies

THOROUGHLY = settings(max_examples=2000, database=None)


@given(strategies.logits())
def test_no_row_of_logits_is_forbidden_throughout(x):
    assert x.ndim == 2
    assert np.isfinite(x).any(-1).all()
    assert not np.isnan(x).any()


@pytest.mark.parametrize(
    "wanted",
    [
        lambda x: np.isneginf(x).any(),
        lambda x: len(x) > 1 and (x[0] != x[1]).any(),
        lambda x: x.shape[1] > 1 and (x == x[:, :1]).all(),
        lambda x: np.abs(x).max() > 1e20,
    ],
    ids=["masks", "unequal rows", "ties", "extremes"],
)
def test_logits_hold_what_breaks_samplers(wanted):
    find(strategies.logits(), wanted, settings=THOROUGHLY)


@given(st.integers(1, 20).flatmap(lambda V: st.tuples(st.just(V), strategies.ks(V))))
def test_k_is_drawn_from_the_vocabulary(V_and_k):
    V, k = V_and_k
    assert 1 <= k <= V or k in (V + 1, V + 1000)


@given(strategies.cotangents((2, 3)))
def test_cotangents_differ_and_are_not_zero(dy):
    assert len(np.unique(dy)) == dy.size
    assert (dy != 0).all()


@given(strategies.index_arrays((4,), 10))
def test_four_of_three_ids_repeat(ids):
    assert ids.max() < 3
    assert len(np.unique(ids)) < 4


@given(strategies.logits(), strategies.layouts())
def test_layouts_keep_the_values(x, layout):
    y = strategies.laid_out(x, layout)
    np.testing.assert_array_equal(x, y)
    assert not np.shares_memory(x, y)
    plain = y.flags.c_contiguous and y.flags.writeable
    assert not plain or min(x.shape) == 1


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match=r"layout must be one of strided, .*; got 'zigzag'"):
        strategies.laid_out(np.zeros((2, 2)), "zigzag")


@given(strategies.dyadic(), strategies.dyadic())
def test_sums_of_dyadic_numbers_are_exact_in_float32(a, b):
    assert float(np.float32(a) + np.float32(b)) == a + b


@given(strategies.unit())
def test_unit_is_half_open(u):
    assert 0 <= u < 1


def test_normal_numbers_are_a_function_of_the_seed():
    assert (strategies.normal(3, (4,)) == strategies.normal(3, (4,))).all()
    assert (strategies.normal(3, (4,)) != strategies.normal(4, (4,))).all()
