"""The profile: every op is counted, the shares add up, and watching changes nothing."""

import re
import time

import numpy as np
import pytest

from tinygrad_gpt import ops
from tinygrad_gpt.debug.profile import BACKWARD, ELSE, FORWARD, Profile
from tinygrad_gpt.kernels import op_hook
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.optim import AdamW
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.tape import Tensor, apply

CONFIG = GPTConfig(vocab_size=11, context_length=6, emb_dim=8, n_heads=2, n_layers=2, drop_rate=0.1)
IDS = np.arange(12).reshape(2, 6) % 11


def step(model):
    loss = model.loss(IDS, IDS, dropout=Dropout(0, 1))
    loss.backward()
    return loss.data.tobytes(), *(t.grad.tobytes() for t in model.parameters().values())


def test_every_op_of_a_step_is_counted_both_ways():
    profile = Profile()
    with profile.of_ops():
        step(GPT(CONFIG))
    calls = {name: profile.calls[name, FORWARD] for name, _ in profile.calls}
    assert calls["causal_attention"] == CONFIG.n_layers
    assert calls["layer_norm"] == 2 * CONFIG.n_layers + 1
    assert calls["linear"] == 4 * CONFIG.n_layers
    assert calls["linear_cross_entropy"] == calls["embedding"] == 1
    assert all(profile.calls[name, BACKWARD] == n for name, n in calls.items())
    assert all(seconds > 0 for seconds in profile.seconds.values())


def test_watching_changes_no_bit():
    with Profile().of_ops():
        watched = step(GPT(CONFIG))
    assert watched == step(GPT(CONFIG))


def test_outside_the_block_nothing_is_counted():
    profile = Profile()
    with profile.of_ops():
        y = Tensor(np.ones(2), requires_grad=True).exp()
    Tensor(np.ones(2)).exp()
    assert profile.calls == {("exp", FORWARD): 1}
    y.sum().backward()  # but what was made inside is, wherever it is walked
    assert profile.calls == {("exp", FORWARD): 1, ("exp", BACKWARD): 1}


def test_the_table_adds_up():
    profile = Profile()
    profile.seconds.update(
        {("gelu", FORWARD): 0.2, ("gelu", BACKWARD): 0.3, ("exp", FORWARD): 0.12, ("batch", ELSE): 0.1}
    )
    profile.calls.update({("gelu", FORWARD): 4, ("gelu", BACKWARD): 4, ("exp", FORWARD): 2, ("batch", ELSE): 2})
    assert profile.table(steps=2, total=1.0).splitlines() == [
        "ms per step             calls   forward  backward       all   share",
        "gelu                        2    100.00    150.00    250.00   50.0%",
        "exp                         1     60.00               60.00   12.0%",
        "batch                       1                         50.00   10.0%",
        "other                                                140.00   28.0%",
        "total                            160.00    150.00    500.00  100.0%",
    ]


def test_a_step_in_full():
    model, profile = GPT(CONFIG), Profile()
    optimizer = AdamW(model.parameters())
    started = time.perf_counter()
    with profile.of_ops():
        step(model)
    with profile.part("optimizer"):
        optimizer.step()
    table = profile.table(total=time.perf_counter() - started)
    shares = [float(share) for share in re.findall(r"([\d.]+)%", table)]
    assert shares[-1] == 100.0
    assert sum(shares[:-1]) == pytest.approx(100, abs=1)
    assert "optimizer " in table


def test_an_op_hook_sees_the_op_and_what_computes_it():
    seen = []

    def around(op, run):
        seen.append((op, run))
        return run

    x = Tensor(np.ones((1, 2), np.float32))
    with op_hook(around):
        apply(ops.gelu, x)
        apply(ops.gelu, Tensor(np.ones(2)))
    apply(ops.gelu, x)
    (first, kernel), (second, itself) = seen
    assert first is second is itself is ops.gelu
    assert kernel is not ops.gelu


def test_a_part_does_not_count_what_is_timed_within_it(monkeypatch):
    clock = iter([0.0, 1.0, 5.0, 7.0, 8.0, 20.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    profile = Profile()
    with profile.part("outer"):
        with profile.part("inner"):
            pass
        with profile.part("inner"):
            pass
    assert profile.seconds == {("inner", ELSE): 4.0 + 1.0, ("outer", ELSE): 20.0 - 5.0}


def test_checkpointing_is_not_counted_twice():
    model, profile = GPT(CONFIG, activation_checkpointing=True), Profile()
    started = time.perf_counter()
    with profile.of_ops():
        step(model)
    total = time.perf_counter() - started
    assert sum(profile.seconds.values()) <= total
    assert profile.calls["recomputed", FORWARD] == CONFIG.n_layers
    assert profile.calls["causal_attention", FORWARD] == 2 * CONFIG.n_layers
