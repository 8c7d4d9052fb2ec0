"""Evaluation of a real model: which context each token gets, and that nothing is left behind."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.optim import AdamW
from tinygrad_gpt.tape import no_grad
from tinygrad_gpt.text import Batches
from tinygrad_gpt.training import Evaluation, evaluate, train
from tinygrad_gpt.training.evaluate import layout, spread_windows, windows

CONFIG = GPTConfig(vocab_size=5, context_length=4, emb_dim=8, n_heads=2, n_layers=1, drop_rate=0.5)
MODEL = GPT(CONFIG, seed=1, dtype="float64")
for p in MODEL.parameters().values():
    p.data *= 5  # far from uniform, so that every token's score tells its context

TEXTS = st.lists(st.integers(0, 4), min_size=2, max_size=20).map(np.array)
STRIDES, SIZES = st.integers(1, 4), st.integers(1, 5)


def context_start(place, stride, length):
    """Where the window begins that scores tokens[place]: the first one to reach it."""
    start = 0
    while start + length < place:
        start += stride
    return start


def spelled_out(tokens, stride, length=4):
    """Every token alone, after the context its window gives it."""
    total = 0.0
    with no_grad():
        for place in range(1, len(tokens)):
            context = tokens[context_start(place, stride, length) : place]
            logits = MODEL(context[None]).data[0, -1]
            total += math.log(np.exp(logits).sum()) - logits[tokens[place]]
    return total


@given(TEXTS, STRIDES, SIZES)
def test_every_token_is_scored_once_in_the_context_of_its_window(tokens, stride, batch_size):
    result = evaluate(MODEL, tokens, stride=stride, batch_size=batch_size)
    assert result.tokens == len(tokens) - 1
    assert result.nll == pytest.approx(spelled_out(tokens, stride), rel=1e-9)


@given(TEXTS)
def test_the_default_stride_is_the_context_length(tokens):
    assert evaluate(MODEL, tokens) == evaluate(MODEL, tokens, stride=4)


@given(TEXTS, STRIDES, st.integers(1, 25))
def test_max_tokens_is_a_shorter_text(tokens, stride, max_tokens):
    limited = evaluate(MODEL, tokens, stride=stride, max_tokens=max_tokens)
    assert limited == evaluate(MODEL, tokens[: max_tokens + 1], stride=stride)
    assert limited.tokens == min(max_tokens, len(tokens) - 1)


@given(st.integers(2, 60), st.integers(1, 70))
def test_spread_windows_are_some_of_the_whole_text_s_evenly_apart(n_tokens, max_tokens):
    tokens = np.arange(n_tokens) * 7 % 5
    got = evaluate(MODEL, tokens, max_tokens=max_tokens, spread=True)
    if max_tokens >= n_tokens - 1:
        assert got == evaluate(MODEL, tokens)
        return
    wanted, size = max(1, max_tokens // 4), min(4, max_tokens)
    chosen = list(spread_windows(tokens, 4, max_tokens, 5))
    assert got.tokens == sum(len(ids) for ids, _ in chosen) == wanted * size <= max_tokens
    places = np.array(
        [find(tokens, ids, targets) for ids, targets in spread_windows(np.arange(n_tokens), 4, max_tokens, n_tokens)]
    )
    assert not (places % 4).any()
    gaps = np.diff(places // 4)
    assert len(gaps) == 0 or (gaps.min() >= 1 and gaps.max() - gaps.min() <= 1)
    whole = max(1, (n_tokens - 1) // 4)
    assert places[0] // 4 <= whole / wanted / 2
    assert places[-1] // 4 >= whole - 1 - whole / wanted / 2
    assert got.nll == pytest.approx(sum(spelled_out(tokens[p : p + size + 1], 4) for p in places), rel=1e-9)


@pytest.mark.parametrize("max_tokens", [None, 3, 99])
def test_all_tokens_are_checked_where_spreading_takes_all_of_them(max_tokens):
    with pytest.raises(ValueError, match="tokens must be from 0 to 4; got -1 at offset 3"):
        evaluate(MODEL, np.array([1, 2, 3, -1]), max_tokens=max_tokens, spread=True)
    with pytest.raises(TypeError, match="tokens must be whole numbers"):
        evaluate(MODEL, np.array([1.0, 2, 3, 4]), max_tokens=max_tokens, spread=True)
    with pytest.raises(ValueError, match="at least 2 tokens; got 1"):
        evaluate(MODEL, np.array([1]), max_tokens=max_tokens, spread=True)


@given(st.integers(2, 60), st.integers(1, 9), st.data())
def test_what_is_scored_is_known_before(n_tokens, length, data):
    stride = data.draw(st.integers(1, length))
    spread_to = data.draw(st.none() | st.integers(1, 70)) if stride == length else None
    found = layout(n_tokens, length, stride, spread_to)
    tokens = np.arange(n_tokens)
    if found.n_scored < n_tokens - 1:
        pairs = list(spread_windows(tokens, length, spread_to, n_tokens))
    else:
        pairs = list(windows(tokens, length, stride))
    assert [ids[0] for ids, _ in pairs] == list(found.starts)
    assert max(len(ids) for ids, _ in pairs) <= found.size
    assert sum(int((targets >= 0).sum()) for _, targets in pairs) == found.n_scored


def find(tokens, ids, targets):
    """Where a window of the tokens 0, 1, 2 ... begins."""
    np.testing.assert_array_equal(ids, ids[0] + np.arange(len(ids)))
    np.testing.assert_array_equal(targets, ids + 1)
    assert targets[-1] < len(tokens)
    return int(ids[0])


def test_a_text_whose_beginning_is_unlike_the_rest_is_scored_by_the_rest_too():
    tokens = np.array([0] * 40 + [1, 4] * 80)
    whole, first, spread = (
        evaluate(MODEL, tokens, **how).loss for how in ({}, {"max_tokens": 40}, {"max_tokens": 40, "spread": True})
    )
    assert abs(spread - whole) < 0.1 * abs(first - whole)


@given(TEXTS, st.sampled_from([np.uint8, np.uint16, np.int32]))
def test_any_whole_numbers_are_tokens(tokens, dtype):
    assert evaluate(MODEL, tokens.astype(dtype)) == evaluate(MODEL, tokens)


@given(TEXTS, STRIDES, SIZES)
def test_float32_is_float64_rounded_at_any_batch_size(tokens, stride, batch_size):
    single = GPT(CONFIG, weights={name: p.data for name, p in MODEL.parameters().items()})
    got = evaluate(single, tokens, stride=stride, batch_size=batch_size)
    assert isinstance(got.nll, float)
    assert got.nll == pytest.approx(spelled_out(tokens, stride), rel=1e-4)


@given(TEXTS, STRIDES)
def test_it_is_repeatable_and_leaves_the_model_as_it_was(tokens, stride):
    before = {name: (p.data.tobytes(), p.grad) for name, p in MODEL.parameters().items()}
    first, second = (evaluate(MODEL, tokens, stride=stride) for _ in range(2))
    assert first == second
    assert {name: (p.data.tobytes(), p.grad) for name, p in MODEL.parameters().items()} == before


@given(st.integers(0, 2**64 - 1), st.lists(st.booleans(), min_size=4, max_size=4), STRIDES)
def test_evaluating_between_steps_changes_no_bit_of_training(seed, after, stride):
    tokens = np.arange(40) * 7 % 5

    def losses(evaluated):
        model = GPT(CONFIG, seed=seed)
        batches = Batches(tokens, context_length=4, batch_size=2, seed=seed)
        found = []
        for report in train(model, AdamW(model.parameters()), batches, steps=4, seed=seed):
            found.append(report.loss.tobytes())
            if evaluated[report.step - 1]:
                evaluate(model, tokens, stride=stride)
        return found, [p.data.tobytes() for p in model.parameters().values()]

    assert losses(after) == losses([False] * 4)


def test_a_score_by_hand():
    # 1,000 tokens at 2 nats and 10 at 6: 2,060 nats in all, the example of a mean of means
    score = Evaluation(nll=2060.0, tokens=1010)
    assert score.loss == 2060 / 1010
    assert score.perplexity == pytest.approx(7.6876, abs=1e-4)
    assert score.bits_per_byte(4040) == pytest.approx(2060 / 4040 / math.log(2), rel=1e-15)
    assert Evaluation(nll=710.0, tokens=1).perplexity == math.inf


@pytest.mark.parametrize(
    ("tokens", "settings", "message"),
    [
        ([], {}, "evaluating needs at least 2 tokens; got 0"),
        ([1], {}, "evaluating needs at least 2 tokens; got 1"),
        ([1, 2], {"stride": 0}, "stride must be a whole number of at least 1, at most context_length 4; got 0"),
        (
            [1, 2],
            {"stride": 3, "spread": True},
            "spread=True needs windows side by side: stride must be context_length 4; got 3",
        ),
        ([1, 2], {"stride": 5}, "stride must be a whole number of at least 1, at most context_length 4; got 5"),
        ([1, 2], {"batch_size": 0}, "batch_size must be a whole number of at least 1; got 0"),
        ([1, 2], {"max_tokens": 0}, "max_tokens must be a whole number of at least 1, or None for all; got 0"),
        ([1, 2, 3], {"max_tokens": -1}, "max_tokens must be a whole number of at least 1, or None for all; got -1"),
        ([1, 5], {}, r"tokens must be from 0 to 4; got 5 at offset 1"),
        ([1, 2, -1], {}, r"tokens must be from 0 to 4; got -1 at offset 2"),
        ([1, -1], {}, r"tokens must be from 0 to 4; got -1 at offset 1"),
        ([[1, 2], [3, 4]], {}, r"tokens must be one sequence \(N,\); got shape \(2, 2\)"),
    ],
)
def test_bad_input_is_named(tokens, settings, message):
    with pytest.raises(ValueError, match=message):
        evaluate(MODEL, np.array(tokens, int), **settings)


@pytest.mark.parametrize("tokens", [[0.9, 1.9, 2.9], [True, False], ["1", "2"]])
def test_tokens_that_are_no_whole_numbers_are_refused(tokens):
    with pytest.raises(TypeError, match="tokens must be whole numbers; got "):
        evaluate(MODEL, tokens)


@given(TEXTS, st.integers(0, 19), st.sampled_from([-(2**40), -100, -2, -1, 5, 2**40]))
def test_no_number_outside_the_vocabulary_is_taken_for_a_mark(tokens, place, strange):
    place %= len(tokens)
    spoilt = tokens.copy()
    spoilt[place] = strange
    with pytest.raises(ValueError, match=f"tokens must be from 0 to 4; got {strange} at offset {place}$"):
        evaluate(MODEL, spoilt)
