"""What is selected without sorting is what sorting selects, ties and forbidden tokens included."""

from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.sampling import draw, probabilities, sample, selection
from tinygrad_gpt.sampling.selection import k_likeliest, kth_largest, prefix_size

V_MAX = 1500  # some twenty blocks


@st.composite
def rows(draw, *, forbidden=True, dtype=np.float64):
    """(B, V) with many ties, long enough for blocks, and now and then -inf."""
    B, V = draw(st.integers(1, 3)), draw(st.integers(1, V_MAX))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.integers(0, draw(st.sampled_from([2, 20, 5000])), (B, V)) / 8
    if forbidden and draw(st.booleans()):
        x[rng.random((B, V)) < draw(st.sampled_from([0.1, 0.9, 0.999]))] = -np.inf
        x[:, rng.integers(0, V)] = 1.0
    return x.astype(dtype)


def few_or_many(V):
    """Of V: as few as are found by blocks, or any number."""
    return st.integers(1, min(V, 5)) | st.integers(1, V)


def ks(data, x):
    B, V = x.shape
    same = few_or_many(V).map(lambda k: [k] * B)
    return np.array(data.draw(st.one_of(same, st.lists(few_or_many(V), min_size=B, max_size=B)), label="k"))


@given(data=st.data(), x=rows())
def test_the_kth_largest_is_that_of_a_sort(data, x):
    k = ks(data, x)[:, None]
    assert np.array_equal(kth_largest(x, k), np.take_along_axis(-np.sort(-x, axis=-1), k - 1, axis=-1))


@given(x=rows(forbidden=False), share=st.floats(0.01, 2), scale=st.integers(0, 900))
def test_the_prefix_is_the_shortest_that_reaches_the_share(x, share, scale):
    """Sums of these weights are exact in any order, so equality can be asked for."""
    weights = x * 2.0**-scale
    if not (weights.sum(-1) > 0).all():
        return
    found = prefix_size(weights, np.full((len(x), 1), share))
    for row, n in zip(weights, found[:, 0], strict=True):
        mass = np.sort(row)[::-1].cumsum()
        reached = np.flatnonzero(mass >= share * mass[-1])
        assert n == (reached[0] + 1 if len(reached) else len(row))


@given(data=st.data(), x=rows(dtype=np.float32))
def test_the_likeliest_are_all_there_in_order_with_their_logits(data, x):
    k = data.draw(few_or_many(x.shape[1]))
    ids, logits = k_likeliest(x, k)
    for row, found, values in zip(x, ids, logits, strict=True):
        kept = found[values > -np.inf]
        assert (np.diff(kept) > 0).all()
        assert np.array_equal(row[kept], values[: len(kept)])
        assert (values[len(kept) :] == -np.inf).all()
        wanted = np.flatnonzero((row >= np.sort(row)[-k]) & (row > -np.inf))
        assert set(wanted) <= set(kept)


@given(data=st.data(), x=rows(forbidden=False), share=st.floats(0.01, 2))
def test_sorting_whole_rows_selects_the_same(data, x, share):
    """What another array module than NumPy runs, on exact sums."""
    k, shares = ks(data, x)[:, None], np.full((len(x), 1), share)
    weights = x + 1
    with mock.patch.object(selection, "array_module", return_value=SimpleNamespace(**vars(np))):
        sorted_whole = kth_largest(x, k), prefix_size(weights, shares)
    for found, wanted in zip((kth_largest(x, k), prefix_size(weights, shares)), sorted_whole, strict=True):
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize("module", [np, SimpleNamespace(**vars(np))])
def test_a_prefix_that_reaches_the_share_exactly_is_long_enough(module):
    with mock.patch.object(selection, "array_module", return_value=module):
        assert prefix_size(np.ones((1, 8)), np.array([[0.5]])).tolist() == [[4]]


def test_few_of_a_large_vocabulary_are_looked_at():
    x = np.random.default_rng(0).normal(size=(4, 50257))
    ids, _ = k_likeliest(x, 50)
    assert 50 <= ids.shape[1] < 200


settings = st.fixed_dictionaries(
    {"temperature": st.sampled_from([0.0, 0.3, 1.0, 1e-300])},
    optional={
        "top_k": few_or_many(V_MAX),
        "top_p": st.floats(0.05, 1.0),
        "min_p": st.floats(0, 1),
        "ties": st.sampled_from(["exact", "all"]),
    },
)


@given(x=rows(), chosen=settings, seed=st.integers(0, 99))
def test_sample_draws_what_draw_draws_from_the_probabilities(x, chosen, seed):
    u = np.random.default_rng(seed).random(len(x))
    assert np.array_equal(sample(x, u, **chosen), draw(probabilities(x, **chosen), u))
    assert sample(x[0], u[0], **chosen) == draw(probabilities(x[0], **chosen), u[0])


@given(x=rows(), chosen=settings)
def test_a_row_does_not_depend_on_the_others(x, chosen):
    """Bit for bit: the others decide how many tokens are looked at."""
    together = probabilities(x, **chosen)
    for row, probs in zip(x, together, strict=True):
        assert np.array_equal(probabilities(row, **chosen), probs)


@given(x=rows(), chosen=settings, data=st.data())
def test_a_row_with_settings_of_its_own_does_not_depend_on_the_others(x, chosen, data):
    """Bit for bit, whether the others have a limit or not."""
    own = data.draw(st.lists(st.integers(1, 2 * x.shape[1]), min_size=len(x), max_size=len(x)), label="top_k")
    together = probabilities(x, **{**chosen, "top_k": np.array(own)})
    for row, top_k, probs in zip(x, own, together, strict=True):
        assert np.array_equal(probabilities(row, **{**chosen, "top_k": top_k}), probs)


def test_more_zeros_at_the_end_of_a_row_change_no_bit():
    """They are there if another row has more tokens that are tied with its k-th."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = rng.normal(size=(2, 300))
        x[1] = np.round(x[1])
        for row, probs in zip(x, probabilities(x, top_k=43), strict=True):
            assert np.array_equal(probabilities(row, top_k=43), probs)


def test_the_token_of_a_single_row_is_a_number_that_a_dictionary_finds():
    for top_k in (None, 2):
        assert {3: "token"}[sample(np.array([0.0, 0.0, 0.0, 9.0]), 0.5, top_k=top_k)] == "token"


@pytest.mark.parametrize("top_k", [None, 7])
def test_probabilities_may_underflow_where_numpy_is_set_to_raise(top_k):
    with np.errstate(all="raise"):
        probs = probabilities(np.array([0.0, 0.0, 0.0, -740.0] * 2), top_k=top_k)
    assert probs[:3] == pytest.approx([1 / 6] * 3)


def test_u_has_one_number_for_each_row():
    with pytest.raises(ValueError, match=r"u must have one number per row of logits, shape \(2,\); got shape \(3,\)"):
        sample(np.zeros((2, 5)), np.zeros(3), top_k=2)
    with pytest.raises(ValueError, match="u must be at least 0 and below 1"):
        sample(np.zeros((2, 5)), np.ones(2), top_k=2)
