"""The test of frequencies against exact chances, and what it lets through and stops."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from tinygrad_gpt.laws import LawBroken
from tinygrad_gpt.laws.statistics import (
    ALPHA,
    assert_frequencies,
    assert_uniform,
    detectable_variation,
    relative_entropy,
    relative_entropy_tail,
)
from tinygrad_gpt.laws.strategies import normal, seeds


def chance_of_failing(n, p, alpha=ALPHA):
    """The exact chance that n draws from two ids, the first with this p, fail the test."""
    failing = 0.0
    for seen in range(n + 1):
        try:
            assert_frequencies([seen, n - seen], [p, 1 - p], alpha)
        except LawBroken:
            failing += stats.binom.pmf(seen, n, p)
    return failing


@given(n=st.integers(1, 300), p=st.floats(1e-6, 0.5), alpha=st.sampled_from([ALPHA, 1e-3, 0.1]))
def test_a_right_coin_fails_with_at_most_the_chance_alpha(n, p, alpha):
    assert chance_of_failing(n, p, alpha) <= alpha


@pytest.mark.parametrize("expected", [0.01, 1, 5, 50])
def test_that_is_true_of_rare_ids_in_many_draws(expected):
    n = 20_000
    p = np.array([expected / n, 1 - expected / n])
    entropies = np.array([relative_entropy(np.array([seen, n - seen]), p) for seen in range(1000)])
    fails = np.array([relative_entropy_tail(t, 2) < ALPHA for t in entropies])
    assert stats.binom.pmf(np.arange(1000)[fails], n, p[0]).sum() <= ALPHA


@given(n=st.integers(1, 300), p=st.floats(1e-6, 1 - 1e-6))
def test_the_bound_is_above_the_exact_binomial_tail_everywhere(n, p):
    both = np.array([p, 1 - p])
    entropies = np.array([relative_entropy(np.array([seen, n - seen]), both) for seen in range(n + 1)])
    chances = stats.binom.pmf(np.arange(n + 1), n, p)
    order = np.argsort(-entropies)
    tails = chances[order].cumsum()  # of the entropies at least as large
    bounds = [relative_entropy_tail(t, 2) for t in entropies[order]]
    assert (tails <= np.array(bounds) * (1 + 1e-9)).all()


def test_the_bound_is_above_the_exact_tail_for_three_ids():
    n, p = 24, np.array([0.5, 0.35, 0.15])
    outcomes = [np.array([i, j, n - i - j]) for i in range(n + 1) for j in range(n + 1 - i)]
    entropies = np.array([relative_entropy(counts, p) for counts in outcomes])
    chances = stats.multinomial.pmf(outcomes, n, p)
    order = np.argsort(-entropies)
    bounds = [relative_entropy_tail(t, 3) for t in entropies[order]]
    assert (chances[order].cumsum() <= np.array(bounds) * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    ("counts", "p"),
    [([1, 2], [np.nan, 0.5]), ([np.nan, 2], [0.5, 0.5]), ([1, 2], [-0.5, 1.5]), ([1, 2], [0, 0]), ([1, 2], [1, 1, 1])],
)
def test_what_is_no_count_or_no_probability_is_an_error(counts, p):
    with pytest.raises(ValueError, match="must"):
        assert_frequencies(counts, p)


def test_a_single_id_never_fails():
    assert_frequencies([1000, 0], [1.0, 0.0])
    assert detectable_variation(1, 20_000) > 0


@given(seeds(), st.integers(2, 12))
def test_draws_from_p_pass(seed, V):
    p = np.exp(normal(seed, (V,)))
    p /= p.sum()
    u = np.random.Generator(np.random.Philox(key=seed)).random(5000)
    assert_frequencies(np.bincount(np.searchsorted(p.cumsum()[:-1], u), minlength=V), p)


def test_one_draw_of_an_impossible_id_is_enough():
    with pytest.raises(LawBroken, match="id 1 drawn 1 times in 1001; expected never"):
        assert_frequencies([1000, 1, 0], [1.0, 0.0, 0.0])


def test_a_shifted_distribution_is_stopped_and_the_message_says_what_can_be_seen():
    with pytest.raises(LawBroken) as caught:
        assert_frequencies([10600, 9400], [0.5, 0.5])
    assert "id 0 drawn 10600 times, 10000.0 expected" in caught.value.observed
    assert "20000 draws show any total variation above 0.036 in 99 of 100 runs" in caught.value.expected


@pytest.mark.parametrize(("cells", "variation"), [(2, 0.0357), (8, 0.0423), (16, 0.0479)])
def test_the_detectable_discrepancy_is_that_of_the_exact_computation(cells, variation):
    assert detectable_variation(cells, 20_000) == pytest.approx(variation, abs=1e-4)


@given(p=st.floats(0.01, 0.95), n=st.sampled_from([1000, 20_000]))
def test_a_coin_off_by_that_much_is_detected_in_99_of_100_runs(p, n):
    q = p + detectable_variation(2, n)
    assume(q < 1)
    both = np.array([p, 1 - p])
    seen = np.arange(n + 1)
    likely = seen[stats.binom.pmf(seen, n, q) > 1e-12]
    found = [i for i in likely if relative_entropy_tail(relative_entropy(np.array([i, n - i]), both), 2) < ALPHA]
    assert stats.binom.pmf(found, n, q).sum() >= 0.99


@pytest.mark.parametrize(("cells", "n"), [(0, 10), (2, 0)])
def test_no_cells_or_no_draws_detect_nothing(cells, n):
    with pytest.raises(ValueError, match="cells and n must be at least 1"):
        detectable_variation(cells, n)


def test_uniform_numbers_pass_and_others_do_not():
    u = np.random.Generator(np.random.Philox(key=1)).random(10_000)
    assert_uniform(u)
    with pytest.raises(LawBroken, match=r"10000 numbers at distance 0.2.* from uniform; expected at most 0.03"):
        assert_uniform(u * u)


@pytest.mark.parametrize("few", [[0, 0], [1, 0], [2, 3]])
def test_too_few_draws_say_nothing(few):
    assert_frequencies(few, [0.5, 0.5])
