"""What the laws cannot reach with small arrays: a batch of several chunks."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt import ops
from tinygrad_gpt.kernels import cpu
from tinygrad_gpt.laws.strategies import normal, seeds

MODULE = sys.modules["tinygrad_gpt.kernels.cpu.linear_cross_entropy"]


@given(seed=seeds(), rows=st.integers(1, 9), chunk=st.integers(1, 30), ignored=st.booleans())
def test_chunks_add_up(seed, rows, chunk, ignored):
    x, weight = normal(seed, (rows, 4)).astype(np.float32), normal(seed + 1, (7, 4)).astype(np.float32)
    targets = np.arange(rows) % 7
    settings = {"ignore_index": 0, "reduction": "sum"} if ignored else {}
    loss, vjp = ops.linear_cross_entropy(x, weight, targets, **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODULE, "CHUNK", chunk)
        patch.setattr(MODULE, "BLOCK", 14)  # two rows
        fast_loss, fast_vjp = cpu.linear_cross_entropy(x, weight, targets, **settings)
        for dloss in (np.float32(1), np.float32(-0.3)):  # what is kept serves more than once
            for got, want in zip(fast_vjp(dloss)[:2], vjp(dloss)[:2], strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fast_loss, loss, rtol=1e-5)


def test_no_more_logits_than_a_chunk_are_held(monkeypatch):
    held = []
    empty = np.empty

    def watched(shape, dtype=float):
        held.append(np.prod(shape))
        return empty(shape, dtype)

    monkeypatch.setattr(MODULE, "CHUNK", 100)
    x, weight = np.ones((60, 3), np.float32), np.ones((10, 3), np.float32)
    monkeypatch.setattr(MODULE.np, "empty", watched)
    _, vjp = cpu.linear_cross_entropy(x, weight, np.zeros(60, int))
    vjp(np.float32(1))
    assert max(held) <= 180  # dx; all logits would be 600
