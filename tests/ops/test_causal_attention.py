"""What is true of causal attention alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt import ops
from tinygrad_gpt.laws.strategies import normal, seeds

B, T, C, H = 2, 4, 6, 3


def qkv_of(seed):
    return normal(seed, (B, T, 3 * C))


def composed(qkv, dropout_mask):
    """Head by head from the ops it is made of, so that the gradients compose as well."""
    out, vjps = [], []
    for b in range(B):
        for h in range(H):
            q, k, v = (qkv[b, :, i * C + h * 2 : i * C + h * 2 + 2] for i in range(3))
            scores, back_to_qk = ops.matmul(q, k.T)
            scaled, back_to_scores = ops.divide(scores, np.full((T, T), 2**0.5))
            masked, back_to_scaled = ops.masked_fill(scaled, ~np.tri(T, dtype=bool), value=-np.inf)
            probs, back_to_masked = ops.softmax(masked)
            weights, back_to_probs = ops.dropout(probs, dropout_mask[b, h])
            y, back_to_weights = ops.matmul(weights, v)
            out.append(y)
            vjps.append((back_to_qk, back_to_scores, back_to_scaled, back_to_masked, back_to_probs, back_to_weights))

    def vjp(dy):
        dqkv = np.zeros((B, T, 3 * C))
        for n, (to_qk, to_scores, to_scaled, to_masked, to_probs, to_weights) in enumerate(vjps):
            b, h = divmod(n, H)
            dweights, dv = to_weights(dy[b, :, h * 2 : h * 2 + 2])
            dscores = to_scores(to_scaled(to_masked(to_probs(dweights)[0])[0])[0])[0]
            dq, dkt = to_qk(dscores)
            for i, part in enumerate((dq, dkt.T, dv)):
                dqkv[b, :, i * C + h * 2 : i * C + h * 2 + 2] = part
        return dqkv

    y = np.array(out).reshape(B, H, T, 2).transpose(0, 2, 1, 3).reshape(B, T, C)
    return y, vjp


@given(seeds())
def test_it_is_the_composition_of_smaller_ops(seed):
    qkv, dy = qkv_of(seed), normal(seed // 2, (B, T, C))
    dropout_mask = np.where(normal(seed // 3, (B, H, T, T)) < 1, 1.25, 0)
    y, vjp = ops.causal_attention(qkv, dropout_mask, n_heads=H)
    want, want_vjp = composed(qkv, dropout_mask)
    np.testing.assert_allclose(y, want, atol=1e-13)
    np.testing.assert_allclose(vjp(dy)[0], want_vjp(dy), atol=1e-12)


@given(seeds(), st.integers(1, T - 1))
def test_what_comes_later_has_no_influence(seed, at):
    qkv = qkv_of(seed)
    changed = qkv.copy()
    changed[:, at:] += 1e3
    y, vjp = ops.causal_attention(qkv, n_heads=H)
    np.testing.assert_array_equal(ops.causal_attention(changed, n_heads=H)[0][:, :at], y[:, :at])
    dy = normal(seed // 2, y.shape)
    dy[:, at:] = 0
    assert (vjp(dy)[0][:, at:] == 0).all()


@given(seeds())
def test_the_first_position_sees_only_itself(seed):
    qkv = qkv_of(seed)
    np.testing.assert_allclose(ops.causal_attention(qkv, n_heads=H)[0][:, 0], qkv[:, 0, 2 * C :], rtol=1e-15)


@given(seeds())
def test_a_mask_of_ones_is_no_mask_and_of_zeros_is_nothing(seed):
    qkv, ones = qkv_of(seed), np.ones((B, H, T, T))
    y, vjp = ops.causal_attention(qkv, n_heads=H)
    kept, kept_vjp = ops.causal_attention(qkv, ones, n_heads=H)
    np.testing.assert_array_equal(kept, y)
    np.testing.assert_array_equal(kept_vjp(y)[0], vjp(y)[0])
    dropped, dropped_vjp = ops.causal_attention(qkv, 0 * ones, n_heads=H)
    assert not dropped.any()
    assert not dropped_vjp(y)[0].any()


@given(seeds())
def test_heads_know_nothing_of_each_other(seed):
    qkv = qkv_of(seed)
    changed = qkv.copy()
    changed.reshape(B, T, 3, H, 2)[:, :, :, 1] += 5
    apart = ops.causal_attention(changed, n_heads=H)[0] != ops.causal_attention(qkv, n_heads=H)[0]
    assert not apart.reshape(B, T, H, 2)[:, :, [0, 2]].any()


@given(seeds(), seeds())
def test_shifting_all_keys_changes_nothing(seed, other):
    """The key's bias has gradient 0: it adds the same to every score of a row."""
    qkv = qkv_of(seed)
    changed = qkv.copy()
    changed[:, :, C : 2 * C] += normal(other, (C,))
    np.testing.assert_allclose(
        ops.causal_attention(changed, n_heads=H)[0], ops.causal_attention(qkv, n_heads=H)[0], atol=1e-12
    )


@pytest.mark.parametrize(("width", "n_heads"), [(12, 3), (10, 1), (12, 5)])
def test_a_width_that_the_heads_do_not_divide_is_refused(width, n_heads):
    with pytest.raises(ValueError, match=f"n_heads must divide the width {width // 3}; got {n_heads}"):
        ops.causal_attention(np.zeros((1, 2, width)), n_heads=n_heads)
