"""What general laws do not say of the ops that move entries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt import ops
from tinygrad_gpt.laws.strategies import arrays, dyadic

MATRIX = arrays((2, 3), dyadic(3))


@given(MATRIX)
def test_a_vjp_of_moving_moves_back(x):
    for op, settings in ((ops.reshape, {"shape": (3, 2)}), (ops.transpose, {}), (ops.transpose, {"axes": (1, 0)})):
        y, vjp = op(x, **settings)
        np.testing.assert_array_equal(vjp(y)[0], x)


@given(arrays((4, 6), dyadic(3)), st.sampled_from([(2, 0), (3, -1), (1, 0), (6, 1)]))
def test_parts_joined_are_the_whole(x, cut):
    sections, axis = cut
    parts = [ops.split(x, sections=sections, part=i, axis=axis) for i in range(sections)]
    joined, vjp = ops.concatenate(*(part for part, _ in parts), axis=axis)
    np.testing.assert_array_equal(joined, x)
    total = sum(part_vjp(dpart)[0] for (_, part_vjp), dpart in zip(parts, vjp(x), strict=True))
    np.testing.assert_array_equal(total, x)


def test_a_split_with_a_remainder_is_refused():
    with pytest.raises(ValueError, match="sections must divide the length 3 of axis -1; got 2"):
        ops.split(np.zeros((2, 3)), sections=2, part=0)


def test_a_mask_larger_than_what_it_fills_is_refused():
    with pytest.raises(ValueError, match=r"mask must broadcast to x's shape \(3,\); got \(2, 3\)"):
        ops.masked_fill(np.zeros(3), np.zeros((2, 3), bool), value=0.0)


def test_dropout_needs_a_mask_of_its_own_shape():
    with pytest.raises(ValueError, match=r"mask must have x's shape \(3,\); got \(1,\)"):
        ops.dropout(np.zeros(3), np.zeros(1))
