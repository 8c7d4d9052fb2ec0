"""generate, on a small causal stand-in for a model whose arithmetic does not depend on the batch."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.sampling import Step, draw, generate, greedy, probabilities, uniforms
from tinygrad_gpt.tape import Tensor

V = 6


class Causal:
    """Logits at t depend on the ids up to t and, in order, on nothing behind.  Records what it is called with."""

    def __init__(self, context_length=8, vocab_size=V):
        self.config = SimpleNamespace(context_length=context_length, vocab_size=vocab_size)
        self.seen = []

    def __call__(self, ids):
        T = ids.shape[1]
        assert ((ids >= 0) & (ids < self.config.vocab_size)).all()
        assert 1 <= T <= self.config.context_length
        self.seen.append(ids.copy())
        history = np.cumsum((ids + 1) * np.arange(1, T + 1), axis=1)  # (B, T), whole numbers
        return SimpleNamespace(data=3 * np.sin(history[..., None] * np.arange(1, self.config.vocab_size + 1)))


def text(model, prompts, n, **settings):
    """The new tokens of each row, as lists."""
    steps = list(generate(model, prompts, n, **settings))
    return np.stack(steps, axis=1).tolist() if steps else [[] for _ in prompts]


ids = st.integers(0, V - 1)
prompts = st.lists(ids, min_size=1, max_size=12)  # also longer than the context
batches = st.lists(prompts, min_size=1, max_size=4)
settings = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([0.0, 0.7, 1, 5.0]),
        "top_k": st.sampled_from([None, 1, 3, 100]),
        "top_p": st.sampled_from([None, 0.5]),
        "seed": st.integers(0, 2**64 - 1),
    }
)


@given(batches, settings, st.integers(0, 12))
def test_each_token_is_drawn_from_what_the_model_says_after_the_last(batch, settings, n):
    """The whole of generate, spelled out one row and one token at a time."""
    filters = {name: value for name, value in settings.items() if name != "seed"}
    model = Causal()
    for row, new in enumerate(text(model, batch, n, **settings)):
        sequence = list(batch[row])
        for token in new:
            logits = model(np.array([sequence[-8:]])).data[0, -1]
            u = uniforms(settings["seed"], row, len(sequence))
            assert token == draw(probabilities(logits, **filters), u)
            sequence.append(token)


@given(batches, settings, st.integers(0, 9), st.integers(0, 5))
def test_a_longer_generation_begins_with_the_shorter(batch, settings, n, more):
    short, long = (text(Causal(), batch, count, **settings) for count in (n, n + more))
    assert [row[:n] for row in long] == short


@given(batches, settings, st.integers(0, 9), st.integers(1, 5))
def test_continuing_equals_one_go(batch, settings, n, more):
    first = text(Causal(), batch, n, **settings)
    then = text(Causal(), [p + f for p, f in zip(batch, first, strict=True)], more, **settings)
    assert [f + t for f, t in zip(first, then, strict=True)] == text(Causal(), batch, n + more, **settings)


@given(batches, settings)
def test_a_row_does_not_depend_on_the_rows_behind_it(batch, settings):
    assert text(Causal(), batch[:1], 6, **settings) == text(Causal(), batch, 6, **settings)[:1]


@given(batches)
def test_greedy_rows_equal_the_rows_alone(batch):
    assert text(Causal(), batch, 6) == [text(Causal(), [prompt], 6)[0] for prompt in batch]


@given(prompts, st.integers(0, 2**63))
def test_rows_and_seeds_have_their_own_numbers(prompt, seed):
    a, b = text(Causal(), [prompt, prompt], 30, temperature=5.0, seed=seed)
    (c,) = text(Causal(), [prompt], 30, temperature=5.0, seed=seed + 1)
    assert a != b
    assert a != c
    assert [a, b] == text(Causal(), [prompt, prompt], 30, temperature=5.0, seed=seed)


@given(batches, settings, st.lists(ids, max_size=3))
def test_a_row_ends_with_its_stop_token(batch, settings, stop_tokens):
    free = text(Causal(), batch, 15, **settings)
    stopped = text(Causal(), batch, 15, stop_tokens=stop_tokens, **settings)
    ends = [next((t + 1 for t, token in enumerate(row) if token in stop_tokens), 15) for row in free]
    assert {len(row) for row in stopped} == {max(ends)}  # when the last row stops, so does the generation
    for row, whole, end in zip(stopped, free, ends, strict=True):
        assert row == whole[:end] + [-1] * (max(ends) - end)


@given(prompts, st.integers(1, 5))
def test_the_model_sees_the_last_of_the_context(prompt, context_length):
    model = Causal(context_length)
    (new,) = text(model, [prompt], 7)
    whole = prompt + new
    for step, seen in enumerate(model.seen):
        assert seen.tolist() == [whole[: len(prompt) + step][-context_length:]]


def test_an_array_of_prompts():
    batch = np.array([[1, 2, 3], [4, 5, 0]], np.int32)
    assert text(Causal(), batch, 4) == text(Causal(), batch.tolist(), 4)
    assert batch.tolist() == [[1, 2, 3], [4, 5, 0]]


def test_prompts_are_not_appended_to():
    prompt = [1, 2]
    text(Causal(), [prompt], 3)
    assert prompt == [1, 2]


@given(batches, settings)
def test_with_probabilities_the_step_tells_all(batch, settings):
    filters = {name: value for name, value in settings.items() if name != "seed"}
    steps = list(generate(Causal(), batch, 5, return_probabilities=True, **settings))
    assert np.stack([step.ids for step in steps], axis=1).tolist() == text(Causal(), batch, 5, **settings)
    for t, step in enumerate(steps):
        assert isinstance(step, Step)
        assert step.logits.shape == step.probabilities.shape == (len(batch), V)
        assert step.probabilities.tobytes() == probabilities(step.logits, **filters).tobytes()
        u = uniforms(settings["seed"], range(len(batch)), [len(prompt) + t for prompt in batch])
        assert draw(step.probabilities, u).tolist() == step.ids.tolist()


def test_settings_per_row():
    prompt = [1, 2, 3]
    first, second = text(Causal(), [prompt, prompt], 9, temperature=[0, 5.0])
    assert first == text(Causal(), [prompt], 9)[0]
    assert second == text(Causal(), [prompt, prompt], 9, temperature=5.0)[1]


def test_ids_are_int64_on_the_host():
    (ids,) = generate(Causal(), [[0], [1]], 1)
    assert type(ids) is np.ndarray
    assert (ids.dtype, ids.shape) == (np.int64, (2,))
    assert ids.tolist() == greedy(Causal()(np.array([[0], [1]])).data[:, 0]).tolist()


@pytest.mark.parametrize(("batch", "n"), [([], 5), ([[1]], 0), (np.zeros((0, 3), int), 5)])
def test_nothing_to_generate(batch, n):
    assert list(generate(Causal(), batch, n)) == []


class Recording(Causal):
    """Its logits are made on the tape."""

    weight = Tensor(np.ones(V), requires_grad=True)

    def __call__(self, ids):
        self.logits = self.weight * super().__call__(ids).data
        return self.logits


def records(weight):
    return (weight * 2.0).node is not None


def test_only_the_model_runs_without_the_tape():
    model = Recording()
    for _ in generate(model, [[1, 2]], 2):
        assert not model.logits.requires_grad
        assert records(model.weight)  # the loop body is the caller's own: it may train
    assert records(model.weight)


BAD_CALLS = {
    "prompts must have at least one id in each row; got none in row 1": {"prompts": [[1], []]},
    "ids of prompt 1 must be from 0 to 5; got 6 at offset 2": {"prompts": [[1], [0, 1, 6, 9]]},
    "ids of prompt 0 must be from 0 to 5; got -1 at offset 0": {"prompts": [[-1]]},
    "prompts must be rows of ids, [ids] for a single one; got shape () as row 0": {"prompts": [1, 2, 3]},
    "ids of prompt 0 must be whole numbers; got float64": {"prompts": [[0.5]]},
    "ids of prompt 0 must be whole numbers; got <U1": {"prompts": [["a"]]},
    "max_new_tokens must be a whole number of at least 0; got -1": {"max_new_tokens": -1},
    "max_new_tokens must be a whole number of at least 0; got 2.5": {"max_new_tokens": 2.5},
    "max_new_tokens must be a whole number of at least 0; got True": {"max_new_tokens": True},
    "stop_tokens must hold ids from 0 to 5; got 6": {"stop_tokens": [1, 6]},
    "stop_tokens must hold ids from 0 to 5; got -1": {"stop_tokens": [-1]},
    "stop_tokens must be a sequence of ids; got 3": {"stop_tokens": 3},
    "stop_tokens must be a sequence of ids; got 'ab'": {"stop_tokens": "ab"},
    "seed must be from 0 to 2**64 - 1; got -1": {"seed": -1},
    "temperature must be a finite number, at least 0; got nan": {"temperature": np.nan},
    "temperature must be one number, or one per row in shape (1,); got shape (2,)": {"temperature": [1.0, 1.0]},
    "top_k must be a whole number, at least 1, or None for no limit; got 0": {"top_k": 0},
}


@pytest.mark.parametrize("said", BAD_CALLS)
def test_bad_arguments_are_named_at_the_call(said):
    model = Causal()
    arguments = {"prompts": [[1, 2]], "max_new_tokens": 3, **BAD_CALLS[said]}
    with pytest.raises((ValueError, TypeError)) as error:
        generate(model, **arguments)  # not at the first next()
    assert str(error.value) == said
    assert not model.seen


class TurnsToNan(Causal):
    """Breaks at its third call, in row 1, token 4."""

    def __call__(self, ids):
        logits = super().__call__(ids)
        if len(self.seen) == 3:
            logits.data[1, -1, 4] = np.nan
        return logits


def test_broken_logits_name_the_step():
    steps = generate(TurnsToNan(), [[1, 2], [3, 4]], 5)
    next(steps), next(steps)
    with pytest.raises(ValueError, match=r"^new token 2 cannot be drawn: logits .* got nan at row 1, id 4$"):
        next(steps)
