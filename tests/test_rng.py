"""Philox's words, and the numbers and masks that are computed from them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tinygrad_gpt.rng import Dropout, Purpose, normals, permutation, philox_words, to_uniform

LAST = 2**64 - 1
ALPHA = 1e-9  # the chance that a sound generator fails a check below

seeds = st.integers(0, LAST)
purposes = st.sampled_from(Purpose)
places = st.fixed_dictionaries({name: st.integers(0, 2**40) for name in ("step", "row", "site")})


def hexadecimal(array):
    return [f"{int(word):016x}" for word in array]


def test_philox_at_key_and_counter_zero():
    """Salmon et al.'s known answer.  Ours is one counter later than theirs, so theirs at 0 is ours at the last."""
    first = philox_words(0, 0, step=LAST, row=LAST, site=LAST, start=4 * LAST, count=4)
    assert hexadecimal(first) == ["16554d9eca36314c", "db20fe9d672d0fdc", "d7e772cee186176b", "7e68b68aec7ba23b"]


def plain_philox(key, counter):
    """Philox4x64-10 as published: ten rounds of two 64 x 64 bit products on whole numbers."""
    k0, k1 = key
    x0, x1, x2, x3 = counter
    for _ in range(10):
        p, q = 0xD2E7470EE14C6C93 * x0, 0xCA5A826395121157 * x2
        x0, x1, x2, x3 = (q >> 64) ^ x1 ^ k0, q & LAST, (p >> 64) ^ x3 ^ k1, p & LAST
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & LAST, (k1 + 0xBB67AE8584CAA73B) & LAST
    return x0, x1, x2, x3


@given(seeds, purposes, places, st.integers(0, 2**40))
def test_word_i_is_lane_i_mod_4_of_block_i_div_4_plus_1(seed, purpose, place, i):
    counter = (i // 4 + 1, place["row"], place["step"], place["site"])
    assert philox_words(seed, purpose, start=i, count=1, **place).tolist() == [
        plain_philox((seed, purpose), counter)[i % 4]
    ]


@given(seeds, purposes, places, st.integers(0, 20), st.integers(0, 20))
def test_any_part_of_a_stream_is_that_part_of_the_whole(seed, purpose, place, start, count):
    whole = philox_words(seed, purpose, count=start + count, **place)
    part = philox_words(seed, purpose, start=start, count=count, **place)
    assert (part.dtype, part.shape) == (np.uint64, (count,))
    assert part.tolist() == whole[start:].tolist()


@given(st.integers(0, LAST - 1), st.integers(0, 2**40))
def test_streams_of_neighbours_never_meet(seed, base):
    grid = [
        philox_words(seed + s, purpose, step=base + step, row=base + row, site=base + site, count=9)
        for s in (0, 1)
        for purpose in Purpose
        for step in (0, 1)
        for row in (0, 1)
        for site in (0, 1)
    ]
    assert len(np.unique(grid)) == np.size(grid)


@pytest.mark.parametrize("seed", [-1, 2**64, 2.0, True, "1", None])
def test_a_seed_is_a_whole_number_of_64_bits(seed):
    with pytest.raises((ValueError, TypeError), match=r"seed must be .*from 0 to 2\*\*64 - 1; got"):
        philox_words(seed, Purpose.WEIGHTS, count=1)


@pytest.mark.parametrize("seed", [np.uint64(LAST), np.int8(3)])
def test_a_seed_may_be_numpys(seed):
    assert (
        philox_words(seed, Purpose.WEIGHTS, count=3).tolist()
        == philox_words(int(seed), Purpose.WEIGHTS, count=3).tolist()
    )


@given(st.integers(0, LAST))
def test_to_unit_takes_the_upper_53_bits_and_never_gives_1(word):
    (u,) = to_uniform(np.array([word], np.uint64))
    assert u == (word >> 11) / 2**53
    assert 0 <= u < 1


def test_the_ends_of_to_unit():
    assert to_uniform(np.array([0, LAST], np.uint64)).tolist() == [0, 1 - 2.0**-53]


@given(seeds)
def test_uniforms_are_uniform(seed):
    assert stats.kstest(to_uniform(philox_words(seed, Purpose.SAMPLING, count=4000)), "uniform").pvalue > ALPHA


@given(st.integers(0, 200), seeds, purposes, st.integers(0, 1000))
def test_a_permutation_holds_every_index_once(n, seed, purpose, step):
    order = permutation(n, seed, purpose, step=step)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(n))
    assert order.tolist() == permutation(n, seed, purpose, step=step).tolist()
    if n >= 40:  # two of 40! orders
        assert order.tolist() != permutation(n, seed, purpose, step=step + 1).tolist()


@given(st.integers(0, 2**40))
def test_all_permutations_are_equally_likely(step):
    n, orders = 2400, {}
    for i in range(n):
        order = tuple(permutation(4, 0, Purpose.DATA_ORDER, step=step + i))
        orders[order] = orders.get(order, 0) + 1
    counts = [*orders.values(), *[0] * (24 - len(orders))]
    assert stats.chisquare(counts).pvalue > ALPHA


@given(seeds, st.integers(0, 1000))
def test_normals_are_normal(seed, site):
    numbers = normals(5000, seed, Purpose.WEIGHTS, site=site)
    assert numbers.dtype == np.float64
    assert stats.kstest(numbers, "norm").pvalue > ALPHA
    bound = stats.norm.isf(ALPHA / 2) / np.sqrt(len(numbers))
    assert abs(numbers.mean()) < bound
    assert abs((numbers**2).mean() - 1) < 1.1 * bound * np.sqrt(2)  # the square of a normal has variance 2
    # Half as many; the two of a pair are independent.
    assert abs((numbers[::2] * numbers[1::2]).mean()) < 1.1 * bound * np.sqrt(2)


@given(seeds, st.integers(0, 30), st.integers(0, 30))
def test_fewer_normals_are_the_first_of_more(seed, few, more):
    assert normals(few, seed, 1).tolist() == normals(few + more, seed, 1)[:few].tolist()


def test_normals_are_finite_at_both_ends(monkeypatch):
    monkeypatch.setattr(
        "tinygrad_gpt.rng.philox_words", lambda *_, count, **__: np.array([0, LAST] * count, np.uint64)[:count]
    )
    assert normals(4, 0, 1).tolist() == [0, 0, 0, 0]  # u = 1 - 0: radius 0
    monkeypatch.setattr("tinygrad_gpt.rng.philox_words", lambda *_, count, **__: np.full(count, LAST, np.uint64))
    assert normals(2, 0, 1)[0] == pytest.approx(np.sqrt(2 * 53 * np.log(2)))  # the largest there is


shapes = st.lists(st.integers(0, 5), min_size=1, max_size=3).map(tuple)
rates = st.one_of(st.sampled_from([0, 0.1, 0.5]), st.floats(0, 0.999))
dtypes = st.sampled_from([np.float32, np.float64])


@given(seeds, st.integers(0, 2**40), st.integers(0, 2**20), st.integers(0, 99), shapes, rates, dtypes)
def test_a_mask_is_16_bits_of_the_rows_stream_against_the_rate(seed, step, first_row, site, shape, rate, dtype):
    mask = Dropout(seed, step, first_row).mask(site, shape, rate, dtype)
    assert (mask.dtype, mask.shape) == (dtype, shape)
    kept = round((1 - rate) * 2**16)
    for row, entries in enumerate(mask, start=first_row):
        stream = philox_words(seed, Purpose.DROPOUT, step=step, row=row, site=site, count=entries.size)
        bits = [(int(stream[i // 4]) >> (16 * (i % 4))) & 0xFFFF for i in range(entries.size)]
        want = [dtype(2**16 / kept) if b < kept else 0 for b in bits]
        assert entries.ravel().tolist() == want


@given(rates)
def test_the_mean_of_a_mask_over_all_its_bits_is_1(rate):
    """Over the 65,536 values that 16 bits can have: kept of them count 65,536 / kept each."""
    every = np.arange(2**16, dtype=np.uint16).view(np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinygrad_gpt.rng.philox_words", lambda *_, count, **__: every[:count])
        mask = Dropout(0, 1).mask(0, (1, 2**16), rate, np.float64)
    assert mask.mean() == pytest.approx(1, abs=1e-14)
    assert (mask > 0).mean() == pytest.approx(1 - rate, abs=2.0**-17)


@given(seeds, st.integers(0, 1000), rates)
def test_as_many_are_kept_as_the_rate_says(seed, step, rate):
    mask = Dropout(seed, step).mask(3, (4, 2500), rate, np.float32)
    kept = round((1 - rate) * 2**16) / 2**16
    assert stats.binomtest(int((mask > 0).sum()), mask.size, kept).pvalue > ALPHA


@given(st.data(), seeds, st.integers(1, 6), rates)
def test_micro_batches_draw_the_masks_of_the_whole_batch(data, seed, B, rate):
    cut = data.draw(st.integers(0, B))
    whole = Dropout(seed, 7).mask(2, (B, 3, 5), rate, np.float32)
    parts = [
        Dropout(seed, 7, first).mask(2, (rows, 3, 5), rate, np.float32) for first, rows in [(0, cut), (cut, B - cut)]
    ]
    assert np.concatenate(parts).tolist() == whole.tolist()


@given(st.integers(0, LAST - 1), st.integers(0, 1000), st.integers(0, 99))
def test_masks_of_other_positions_differ(seed, step, site):
    def mask(**changed):
        place = {"seed": seed, "step": step, "site": site} | changed
        return Dropout(place["seed"], place["step"]).mask(place["site"], (2, 100), 0.5, np.float32)

    masks = [*mask(), *mask(seed=seed + 1), *mask(step=step + 1), *mask(site=site + 1)]  # also row from row
    assert len({m.tobytes() for m in masks}) == len(masks)


def test_no_rate_no_dropping():
    assert Dropout(0, 1).mask(0, (3, 1000), 0.0, np.float32).tolist() == np.ones((3, 1000)).tolist()
