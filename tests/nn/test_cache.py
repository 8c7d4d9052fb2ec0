"""The cache of keys and values: with it the logits are those of a pass over the whole text."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt import ops
from tinygrad_gpt.kernels import op_hook
from tinygrad_gpt.laws.strategies import seeds
from tinygrad_gpt.nn import GPT, Cache, GPTConfig
from tinygrad_gpt.sampling import generate

CONFIG = GPTConfig(vocab_size=11, context_length=9, emb_dim=8, n_heads=2, n_layers=2, drop_rate=0.1, qkv_bias=True)
LENGTH = CONFIG.context_length
rows = st.lists(st.lists(st.integers(0, 10), min_size=1, max_size=LENGTH), min_size=1, max_size=3)


def model(seed=0):
    gpt = GPT(CONFIG, seed=seed, dtype="float64")
    for tensor in gpt.parameters().values():
        tensor.data *= 9  # at its first weights a model hardly looks at other tokens
    return gpt


def last_logits(gpt, sequences):
    """From a pass over each row alone."""
    return np.stack([gpt(np.array([sequence])).data[0, -1] for sequence in sequences])


@given(rows, st.data())
def test_reading_on_equals_reading_everything(whole, data):
    """Each row in as many pieces as it likes, none of a row now and then."""
    gpt, cache = model(), Cache(CONFIG, len(whole), LENGTH, np.zeros(0))
    seen = [data.draw(st.integers(1, len(row))) for row in whole]
    for _ in range(4):
        sequences = [row[:n] for row, n in zip(whole, seen, strict=True)]
        np.testing.assert_allclose(
            gpt.next_logits(sequences, cache), last_logits(gpt, sequences), rtol=1e-9, atol=1e-12
        )
        assert cache.seen.tolist() == seen
        seen = [data.draw(st.integers(n, len(row))) for row, n in zip(whole, seen, strict=True)]


@given(rows, seeds(), st.integers(0, 2 * LENGTH), st.sampled_from([0.0, 1.0]))
def test_generation_is_the_same_with_and_without(prompts, seed, n, temperature):
    """Also past the context, where the window slides, and for rows that stop."""
    gpt = model()
    settings = {"temperature": temperature, "seed": seed, "stop_tokens": [3]}
    cached, plain = ([*map(list, generate(gpt, prompts, n, use_cache=use, **settings))] for use in (True, False))
    assert cached == plain


@given(rows)
def test_without_a_cache_everything_is_read(sequences):
    gpt = model()
    np.testing.assert_allclose(gpt.next_logits(sequences), last_logits(gpt, sequences), rtol=1e-9, atol=1e-12)


@given(rows, st.integers(0, 2 * LENGTH), st.booleans())
def test_the_head_runs_on_one_token_a_row(prompts, n, use_cache):
    """Whatever the prompts' lengths, with a cache and without, within the context and past it."""
    made = []

    def watched(function, run):
        def watching(*arrays, **settings):
            y, vjp = run(*arrays, **settings)
            if function is ops.linear:
                made.append(y.shape)
            return y, vjp

        return watching

    with op_hook(watched):
        list(generate(model(), prompts, n, use_cache=use_cache))
    assert [shape for shape in made if shape[-1] == CONFIG.vocab_size] == [(len(prompts), CONFIG.vocab_size)] * n


@pytest.mark.parametrize("n_rows", [1, 8])
@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("length", [10, 63, 64, 200])
def test_the_memory_of_a_step_does_not_grow_with_the_text_times_the_vocabulary(n_rows, use_cache, length):
    V, T = 4096, 64
    gpt = GPT(GPTConfig(vocab_size=V, context_length=T, emb_dim=8, n_heads=2, n_layers=1))
    steps = generate(gpt, [[1] * length] * n_rows, 3, use_cache=use_cache)
    tracemalloc.start()
    try:
        list(steps)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    a_row_of_logits = 4 * V
    assert peak < n_rows * 24 * a_row_of_logits  # in float64, sorted, summed up: some 20; all positions were 64 more


def test_a_step_runs_the_model_on_one_token_a_row():
    passes = []

    class Watched(GPT):
        def checked_ids(self, ids):
            passes.append(ids.shape)
            return super().checked_ids(ids)

    gpt = Watched(CONFIG)
    list(generate(gpt, [[1, 2, 3], [4]], LENGTH - 1))
    assert passes == [(2, 3)] + [(2, 1)] * (LENGTH - 3) + [(2, LENGTH)]  # the last step is past the context


def test_a_row_must_fit():
    gpt, cache = model(), Cache(CONFIG, 1, 4, np.zeros(0))
    with pytest.raises(ValueError, match=r"row 0 of sequences must be from 1 \(seen so far\) to 4 .* long; got 5"):
        gpt.next_logits([[1, 2, 3, 4, 5]], cache)
    assert cache.seen.tolist() == [0]


@pytest.mark.parametrize(
    ("sequences", "said"),
    [
        ([[1, 2, 3], []], "row 1 of sequences must be from 2 .* got 0"),
        ([[1, 2, 3], [4]], r"row 1 of sequences must be from 2 \(seen so far\)"),
        ([[1, 2, 3]], "sequences must be 2 rows, as the cache has; got 1"),
        ([], "sequences must be 2 rows, as the cache has; got 0"),
    ],
)
def test_rows_only_grow(sequences, said):
    gpt, cache = model(), Cache(CONFIG, 2, LENGTH, np.zeros(0))
    gpt.next_logits([[1, 2], [3, 4]], cache)
    with pytest.raises(ValueError, match=said):
        gpt.next_logits(sequences, cache)
    assert cache.seen.tolist() == [2, 2]


@pytest.mark.parametrize("length", [0, LENGTH + 1])
def test_a_cache_is_no_longer_than_the_context(length):
    with pytest.raises(ValueError, match=f"length must be from 1 to context_length {LENGTH}; got {length}"):
        Cache(CONFIG, 1, length, np.zeros(0))


def test_a_model_with_its_own_forward_pass_is_asked_for_it():
    class Contrary(GPT):
        def __call__(self, ids, dropout=None):
            return super().__call__(ids, dropout) * -1.0

    def text(use_cache):
        return [ids.tolist() for ids in generate(Contrary(CONFIG, dtype="float64"), [[1, 2]], 4, use_cache=use_cache)]

    assert text(True) == text(False)


def test_nothing_is_recorded():
    gpt, cache = model(), Cache(CONFIG, 1, LENGTH, np.zeros(0))
    assert isinstance(gpt.next_logits([[1, 2]], cache), np.ndarray)
