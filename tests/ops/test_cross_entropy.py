"""What is true of the op cross-entropy alone; the laws of losses are run on `nn.cross_entropy`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt import ops
from tinygrad_gpt.laws.strategies import arrays, dyadic, index_arrays

LOGITS, TARGETS = arrays((3, 4), dyadic(8)), index_arrays((3,), 4, distinct=4)


@given(LOGITS, TARGETS)
def test_the_gradient_is_probability_minus_one_hot(logits, targets):
    _, vjp = ops.cross_entropy(logits, targets)
    want = (ops.softmax(logits)[0] - np.eye(4)[targets]) / 3
    np.testing.assert_allclose(vjp(np.array(1.0))[0], want, atol=1e-15)


@given(LOGITS, TARGETS, st.sampled_from([np.nan, np.inf, -np.inf]), st.sampled_from(["mean", "sum"]))
def test_a_row_that_does_not_count_may_hold_anything(logits, targets, garbage, reduction):
    targets[1] = -100
    spoilt = logits.copy()
    spoilt[1] = garbage
    (want, want_vjp), (loss, vjp) = (
        ops.cross_entropy(x, targets, ignore_index=-100, reduction=reduction) for x in (logits, spoilt)
    )
    assert loss == want
    (dx,), (want_dx,) = vjp(np.array(2.0))[:1], want_vjp(np.array(2.0))[:1]
    np.testing.assert_array_equal(dx, want_dx)
    assert not dx[1].any()


@given(LOGITS, TARGETS, st.sampled_from([1e4, -1e4]))
def test_huge_logits_lose_nothing(logits, targets, shift):
    np.testing.assert_allclose(
        ops.cross_entropy(logits + shift, targets)[0], ops.cross_entropy(logits, targets)[0], rtol=1e-11
    )


def test_a_gap_of_20000_nats():
    loss, vjp = ops.cross_entropy(np.array([[1e4, -1e4]]), np.array([1]))
    assert loss == 2e4
    assert vjp(np.array(1.0))[0].tolist() == [[1, -1]]


def test_an_impossible_target_costs_infinitely_much_and_is_never_nan():
    loss, vjp = ops.cross_entropy(np.array([[0.0, -np.inf]]), np.array([1]))
    assert loss == np.inf
    assert vjp(np.array(1.0))[0].tolist() == [[1, -1]]


@given(LOGITS, TARGETS)
def test_a_mean_is_the_sum_over_the_count(logits, targets):
    mean, total = (ops.cross_entropy(logits, targets, reduction=r) for r in ("mean", "sum"))
    np.testing.assert_allclose(total[0], 3 * mean[0], rtol=1e-14)
    np.testing.assert_allclose(total[1](np.array(1.0))[0], 3 * mean[1](np.array(1.0))[0], rtol=1e-14, atol=1e-16)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="reduction must be 'mean' or 'sum'; got 'none'"):
        ops.cross_entropy(np.zeros((1, 2)), np.zeros(1, int), reduction="none")
    with pytest.raises(ValueError, match=r"targets must have the shape \(2,\) of the logits' rows; got \(1,\)"):
        ops.cross_entropy(np.zeros((2, 3)), np.zeros(1, int))
