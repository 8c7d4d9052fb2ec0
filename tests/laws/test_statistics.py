"""The test of frequencies against exact chances, and what it lets through and stops."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.mutants.zoo.losses import RIGHT_LOSS
from tinygrad_gpt import laws
from tinygrad_gpt.laws import LawBroken
from tinygrad_gpt.laws.losses import text_metrics
from tinygrad_gpt.laws.profiles import PROFILES
from tinygrad_gpt.laws.sampling import draws, reference
from tinygrad_gpt.laws.statistics import (
    ALPHA,
    BUDGET,
    assert_frequencies,
    assert_uniform,
    detectable_distance,
    detectable_variation,
    false_alarm,
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


@settings(max_examples=25)  # each a chance of ALPHA to fail: 2,000 of them would be more than the budget of a run
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
    with pytest.raises(
        LawBroken, match=r"10000 numbers at distance 0.2.* from uniform; expected at most 0.0327"
    ) as caught:
        assert_uniform(u * u)
    assert caught.value.expected.endswith("10000 numbers show any distance above 0.049 in 99 of 100 runs")


def test_what_is_no_number_is_not_uniform_and_none_are_an_error():
    with pytest.raises(LawBroken, match="distance nan"):
        assert_uniform([0.5, np.nan])
    with pytest.raises(ValueError, match="u must hold at least one number"):
        assert_uniform([])


@pytest.mark.parametrize("n", [1000, 20_000])
def test_numbers_that_far_from_uniform_are_detected_in_99_of_100_runs(n):
    off = detectable_distance(n)  # a share of `off` moved from the lower half to the upper: the worst of shifts
    limit = detectable_distance(n, power=0) - np.sqrt(np.log(2) / (2 * n))  # what a right one may reach
    seen_below_half = stats.binom(n, 0.5 - off)
    assert seen_below_half.cdf(np.floor(n * (0.5 - limit))) >= 0.99


@pytest.mark.parametrize("few", [[0, 0], [1, 0], [2, 3]])
def test_too_few_draws_say_nothing(few):
    assert_frequencies(few, [0.5, 0.5])


STATISTICAL = [law for law in laws.ALL_LAWS if law.level == "statistical"]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_run_of_every_law_keeps_to_the_budget(profile):
    assert 0 < false_alarm(laws.ALL_LAWS, PROFILES[profile]["max_examples"]) <= BUDGET


def test_a_law_without_a_limit_of_its_own_counts_every_case():
    counting, exact = laws.find("S31"), laws.find("S01")
    unlimited = laws.Law(**{**vars(counting), "examples": None})
    assert false_alarm([counting, exact], 2000) == pytest.approx(3 * ALPHA)
    assert false_alarm([counting, exact], 2) == pytest.approx(2 * ALPHA)
    assert false_alarm([unlimited], 2000) > BUDGET


@pytest.mark.parametrize("law", [law for law in STATISTICAL if law.area == "sampling"], ids=lambda law: law.id)
def test_a_statistical_law_of_samplers_makes_one_check_per_case(law, monkeypatch):
    cases, checks = [], []
    for name in ("assert_frequencies", "assert_uniform"):
        check = getattr(draws, name)
        monkeypatch.setattr(draws, name, lambda *args, check=check: (checks.append(1), check(*args)))
    counted = laws.Law(**{**vars(law), "body": lambda sut, **case: (cases.append(1), law.body(sut, **case))})
    right = {"probabilities": reference.probabilities, "draw": reference.draw, "uniforms": reference.uniforms}
    counted.check(laws.SamplerUnderTest(name="right", **right), "thorough")
    assert len(cases) <= law.examples
    assert len(checks) <= len(cases)


@pytest.mark.parametrize(
    ("id", "promise"),
    [
        ("S31", detectable_variation(6, draws.N_DRAWS)),
        ("S32", detectable_variation(4 * 4, draws.N_DRAWS // 2)),
        ("S42", detectable_distance(draws.N_DRAWS)),
    ],
)
def test_a_sentence_promises_what_the_numbers_give(id, promise):
    assert f"{promise:.3f} " in laws.find(id).statement
    assert "99 of 100 runs" in laws.find(id).statement


def test_two_seeds_are_alike_by_chance_less_often_than_alpha():
    alike = 0.0
    for V in (2, 3, 4):  # of logits in [-1, 1] the chance is greatest at the ends
        for high in range(1, V):
            weights = np.exp([1.0] * high + [-1.0] * (V - high))
            alike = max(alike, float(((weights / weights.sum()) ** 2).sum()))
    assert 3 * alike**draws.N_TOKENS_PER_SEED < ALPHA


def test_a_known_source_says_what_it_detects():
    off = laws.LossUnderTest(
        name="off",
        score=lambda *args, **sizes: (2 * RIGHT_LOSS.score(*args, **sizes)[0], text_metrics.MARKOV_TOKENS - 1),
    )
    with pytest.raises(LawBroken) as caught:
        laws.find("L15").replay(off, seed=0)
    assert "nats, off by" in caught.value.observed
    assert "nats per token in 99 of 100 runs" in caught.value.expected
