"""The training loop: what a step is, and that nothing else decides it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_gpt.kernels import reference_only
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.optim import AdamW, clip_grad_norm, cosine_schedule
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.text import Batches
from tinygrad_gpt.training import train

CONFIG = GPTConfig(vocab_size=7, context_length=4, emb_dim=8, n_heads=2, n_layers=1, drop_rate=0.3)
TOKENS = np.arange(60) * 5 % 7
SEEDS = st.integers(0, 2**64 - 1)


class Rows:
    """The same batch at every step."""

    def __init__(self, B, T=4, vocab_size=7):
        ids = np.arange(B * (T + 1)).reshape(B, T + 1) ** 2 % vocab_size
        self.ids, self.targets = ids[:, :-1], ids[:, 1:]

    def batch(self, step):
        return self.ids, self.targets


def weights(model):
    return {name: p.data.copy() for name, p in model.parameters().items()}


def bits(arrays):
    return {name: array.tobytes() for name, array in arrays.items()}


@given(SEEDS, st.integers(1, 6), st.integers(1, 8))
def test_accumulating_over_any_partition_is_the_big_batch(seed, B, accumulation):
    # float64, dropout on; eps 1, for Adam would make steps of rounding errors
    losses, ends = [], []
    for parts in (1, accumulation):
        model = GPT(CONFIG, seed=seed, dtype="float64")
        optimizer = AdamW(model.parameters(), lr=0.1, eps=1.0)
        reports = list(train(model, optimizer, Rows(B), steps=2, accumulation=parts, seed=seed))
        losses.append([(float(report.loss), report.grad_norm, report.tokens) for report in reports])
        ends.append(weights(model))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-12)
    for name, want in ends[0].items():
        np.testing.assert_allclose(ends[1][name], want, rtol=1e-12, atol=1e-12, err_msg=name)


@given(SEEDS, st.sampled_from([None, 0.1, 1e9]))
def test_a_step_is_forward_backward_clip_update(seed, clip_norm):
    ours, theirs = GPT(CONFIG, seed=seed), GPT(CONFIG, seed=seed)
    optimizer, other = AdamW(ours.parameters()), AdamW(theirs.parameters())
    batches = Batches(TOKENS, context_length=4, batch_size=3, seed=seed)

    def schedule(step):
        return cosine_schedule(step, peak_lr=0.01, total_steps=3)

    for report in train(ours, optimizer, batches, steps=3, schedule=schedule, clip_norm=clip_norm, seed=seed):
        ids, targets = batches.batch(report.step)
        loss = theirs.loss(ids, targets, dropout=Dropout(seed, report.step))
        other.zero_grad()
        loss.backward()
        norm = clip_grad_norm(theirs.parameters(), clip_norm or math.inf)
        other.step(schedule(report.step))
        assert float(report.loss) == pytest.approx(loss.item(), rel=1e-6)
        assert report.grad_norm == pytest.approx(norm, rel=1e-5)
        assert (report.lr, report.tokens) == (schedule(report.step), 12)
    for name, p in theirs.parameters().items():
        np.testing.assert_allclose(ours.parameters()[name].data, p.data, rtol=1e-3, atol=1e-3, err_msg=name)


@given(SEEDS, st.integers(0, 4), st.sampled_from([1, 2]))
def test_stopping_and_going_on_is_training_in_one_go(seed, stop, accumulation):
    batches = Batches(TOKENS, context_length=4, batch_size=2, seed=seed)

    def losses(model, optimizer, **steps):
        reports = train(model, optimizer, batches, seed=seed, accumulation=accumulation, **steps)
        return [report.loss.tobytes() for report in reports]

    whole, parts = GPT(CONFIG, seed=seed), GPT(CONFIG, seed=seed)
    want = losses(whole, AdamW(whole.parameters()), steps=4)
    first = AdamW(parts.parameters())
    got = losses(parts, first, steps=stop)
    second = AdamW(parts.parameters())
    second.load_state(first.state())
    got += losses(parts, second, start_step=stop + 1, steps=4)
    assert got == want
    assert bits(weights(parts)) == bits(weights(whole))


def test_reports_count_from_the_start_step():
    model = GPT(CONFIG)
    reports = list(train(model, AdamW(model.parameters(), lr=0.5), Rows(2), steps=5, start_step=4))
    assert [report.step for report in reports] == [4, 5]
    assert [report.lr for report in reports] == [0.5, 0.5]
    assert list(train(model, AdamW(model.parameters()), Rows(2), steps=5, start_step=6)) == []


def test_float32_stays_float32():
    model = GPT(CONFIG)
    (report,) = train(model, AdamW(model.parameters()), Rows(3), steps=1, accumulation=2)
    assert report.loss.dtype == np.float32
    assert {p.dtype for p in model.parameters().values()} == {np.dtype(np.float32)}
    assert {p.grad.dtype for p in model.parameters().values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("tied", [False, True])
def test_training_lowers_the_loss_and_overfits_a_batch(tied):
    config = GPTConfig(
        vocab_size=7, context_length=4, emb_dim=16, n_heads=2, n_layers=1, drop_rate=0.0, tie_weights=tied
    )
    model = GPT(config)
    optimizer = AdamW(model.parameters(), lr=0.02, weight_decay=0.0)
    losses = [float(report.loss) for report in train(model, optimizer, Rows(3), steps=80)]
    assert losses[0] == pytest.approx(math.log(7), abs=0.2)
    assert losses[-1] < 0.05


@settings(max_examples=5)
@given(st.sampled_from([math.nan, math.inf]), st.integers(1, 3), st.sampled_from([None, 1.0]))
def test_a_loss_or_gradient_that_is_not_finite_stops_the_run_before_anything_changes(bad, step, clip_norm):
    model = GPT(CONFIG)
    optimizer = AdamW(model.parameters())
    reports = train(model, optimizer, Rows(2), steps=3, clip_norm=clip_norm)
    for _ in range(step - 1):
        next(reports)
    model.parameters()["h.0.mlp.c_fc.weight"].data[0, 0] = bad
    before, state = bits(weights(model)), optimizer.state()
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=f"^step {step}: loss nan, gradient of "):
        next(reports)
    assert bits(weights(model)) == before
    for name, entry in optimizer.state().items():
        assert entry["step"] == state[name]["step"] == step - 1
        assert bits({"m": entry["m"], "v": entry["v"]}) == bits({"m": state[name]["m"], "v": state[name]["v"]})


def test_an_infinite_loss_stops_the_run_though_its_gradient_is_finite():
    config = GPTConfig(vocab_size=2, context_length=1, emb_dim=2, n_heads=1, n_layers=1, drop_rate=0.0)
    model = GPT(config)
    for name in ("ln_f.weight", "ln_f.bias"):
        model.parameters()[name].data[:] = 0
    model.parameters()["ln_f.bias"].data[:] = 2
    model.parameters()["lm_head.weight"].data[:] = [[1e38, 0], [-1e38, 0]]  # logits 2e38 and -2e38, 4e38 apart
    before = bits(weights(model))
    rows = Rows(1, T=1, vocab_size=2)
    rows.targets = np.array([[1]])
    with np.errstate(over="ignore"), pytest.raises(FloatingPointError, match="step 1: loss inf, which is not finite"):
        list(train(model, AdamW(model.parameters()), rows, steps=1))
    assert bits(weights(model)) == before


def test_a_gradient_that_is_not_finite_is_named():
    model = GPT(CONFIG)
    poisoned = model.parameters()["ln_f.bias"]
    poisoned.data[0] = np.inf
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=r"step 1: loss nan, gradient of \S+ is not finite"),
    ):
        list(train(model, AdamW(model.parameters()), Rows(1), steps=1))


def test_accumulation_is_at_least_1():
    model = GPT(CONFIG)
    with pytest.raises(ValueError, match="accumulation must be a whole number of at least 1; got 0"):
        list(train(model, AdamW(model.parameters()), Rows(1), steps=1, accumulation=0))


def test_a_run_with_kernels_follows_the_run_without():
    def losses():
        model = GPT(replace(CONFIG, drop_rate=0.1), seed=5)
        reports = train(model, AdamW(model.parameters(), lr=3e-3), Rows(4), steps=40)
        return [float(report.loss) for report in reports]

    fast = losses()
    with reference_only():
        slow = losses()
    assert fast != slow  # kernels round in another order
    np.testing.assert_allclose(fast, slow, rtol=1e-4)
    assert slow[-1] < slow[0] - 0.1


def test_going_on_behind_the_last_step_is_refused_not_done_in_silence():
    model = GPT(CONFIG)
    with pytest.raises(ValueError, match="start_step must be at most steps"):
        train(model, AdamW(model.parameters()), Rows(2), steps=20, start_step=411)
