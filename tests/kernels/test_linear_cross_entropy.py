"""What the laws cannot reach with small arrays: a batch of several chunks."""

import sys
import tracemalloc

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
        patch.setattr(MODULE, "CHUNK_LOGITS", chunk)
        patch.setattr(MODULE, "_BLOCK", 14)  # two rows
        fast_loss, fast_vjp = cpu.linear_cross_entropy(x, weight, targets, **settings)
        for dloss in (np.float32(1), np.float32(-0.3)):  # what is kept serves more than once
            for got, want in zip(fast_vjp(dloss)[:2], vjp(dloss)[:2], strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fast_loss, loss, rtol=1e-5)


def test_two_chunks_of_logits_are_held_at_most(monkeypatch):
    chunk = 2**18
    monkeypatch.setattr(MODULE, "CHUNK_LOGITS", chunk)
    monkeypatch.setattr(MODULE, "_BLOCK", 2**12)
    x, weight = np.ones((4096, 2), np.float32), np.ones((512, 2), np.float32)  # eight chunks
    peaks = []
    tracemalloc.start()
    try:
        _, vjp = cpu.linear_cross_entropy(x, weight, np.zeros(4096, int))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()
        vjp(np.float32(1))
        peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    forward, backward = (peak / (4 * chunk) for peak in peaks)
    assert forward < 1.5
    assert backward < 2.5
