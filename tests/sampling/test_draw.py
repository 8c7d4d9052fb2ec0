"""What is special to this draw and these uniforms: shapes, the upper end, messages."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tinygrad_gpt.rng import Purpose, philox_words, to_uniform
from tinygrad_gpt.sampling import draw, uniforms

ALMOST_ONE = 1 - 2.0**-53
masses = st.one_of(st.just(0.0), st.floats(0, 1), st.sampled_from([0.1, 1e-300, 1e300, 5e-324]))
rows = st.lists(masses, min_size=1, max_size=8).filter(any)
numbers = st.one_of(st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, 0.5, ALMOST_ONE]))


@given(rows, numbers)
def test_a_token_is_drawn_if_u_lies_in_its_slice(row, u):
    cdf = np.cumsum(row)
    token = draw(row, u)
    below = cdf[token - 1] if token else 0.0
    assert row[token] > 0
    assert below <= u * cdf[-1]
    assert u * cdf[-1] < cdf[token] or (u * cdf[-1] == cdf[-1] and cdf[token] == cdf[-1])  # rounded up to the total


@given(rows, st.integers(0, 100))
def test_the_ends_of_u_give_the_first_and_the_last_slice(row, zeros_behind):
    row = np.array(row + [0.0] * zeros_behind)
    cdf = row.cumsum()
    assert draw(row, 0.0) == np.flatnonzero(row)[0]
    assume(np.diff(cdf, prepend=0)[row > 0].min() > 1e-15 * cdf[-1])  # every possible token has a slice
    assert draw(row, ALMOST_ONE) == np.flatnonzero(row)[-1]


def test_rounding_up_to_the_total_draws_no_impossible_token():
    probs = np.array([1.0, 2.0, 0.0]) * 5e-324  # the product of a subnormal total and u rounds to the total
    assert draw(probs, ALMOST_ONE) == 1


@given(st.lists(rows.map(tuple), min_size=1, max_size=4), st.data())
def test_a_batch_of_rows_equals_its_rows(rows, data):
    V = max(map(len, rows))
    probs = np.array([row + (0.0,) * (V - len(row)) for row in rows])
    u = np.array(data.draw(st.lists(numbers, min_size=len(rows), max_size=len(rows))))
    assert draw(probs, u).tolist() == [int(draw(*pair)) for pair in zip(probs, u, strict=True)]
    assert draw(probs[:, None], u[:, None]).tolist() == draw(probs, u)[:, None].tolist()


def test_one_row_takes_many_u():
    u = np.array([[0.0, 0.2], [0.5, 0.9]])
    assert draw([0.2, 0.3, 0.5], u).tolist() == [[0, 1], [2, 2]]


def test_float32_probabilities_are_summed_in_float64():
    V = 50_257
    probs = np.full(V, 1 / V, np.float32)
    assert draw(probs, (np.arange(V) + 0.5) / V).tolist() == list(range(V))


@pytest.mark.parametrize(
    ("probs", "u", "said"),
    [
        ([0.5, 0.5], 1.0, "u must be at least 0 and below 1; got numbers from 1.0 to 1.0"),
        ([0.5, 0.5], [0.5, -0.25], "u must be at least 0 and below 1; got numbers from -0.25 to 0.5"),
        ([0.5, 0.5], np.nan, "u must be"),
        ([[0.5, 0.5]], 0.5, r"u must have one number per row of probs, shape \(1,\); got shape \(\)"),
        ([[0.5, 0.5]] * 2, [[0.1], [0.2]], "u must have one number per row"),
        ([0.0, 0.0], 0.5, "probs must be"),
        ([0.5, np.nan], 0.5, "probs must be"),
        ([1.0, -0.1], 0.5, "probs must be"),
        ([1.0, np.inf], 0.5, "probs must be"),
    ],
)
def test_probabilities_that_cannot_be_drawn_from_are_refused(probs, u, said):
    with pytest.raises(ValueError, match=said):
        draw(probs, u)


def test_empty_batches():
    assert draw(np.zeros((0, 3)), np.zeros(0)).shape == (0,)
    assert uniforms(0, [], []).shape == (0,)


@given(st.integers(0, 2**64 - 1), st.integers(0, 99), st.integers(0, 99))
def test_a_uniform_is_one_word_of_its_rows_stream(seed, row, position):
    (word,) = philox_words(seed, Purpose.SAMPLING, row=row, start=position, count=1)
    assert uniforms(seed, row, position) == to_uniform(word)


@given(st.integers(0, 2**64 - 2))
def test_uniforms_of_neighbours_differ(seed):
    rows, positions = np.arange(6)[:, None], np.arange(9)
    grid = np.stack([uniforms(seed, rows, positions), uniforms(seed + 1, rows, positions)])
    assert grid.shape == (2, 6, 9)
    assert len(np.unique(grid)) == grid.size
    assert uniforms(seed, 4, 7) == grid[0, 4, 7]  # broadcasting pairs rows with rows, positions with positions


@pytest.mark.parametrize(
    ("seed", "rows", "positions", "said"),
    [
        (-1, 0, 0, "seed must be from 0"),
        (0, -1, 0, "rows must be at least 0; got -1"),
        (0, 0, [3, -2], "positions must be at least 0; got -2"),
        (0, 0.5, 0, "rows must be whole numbers; got dtype float64"),
        (0, 0, True, "positions must be whole numbers; got dtype bool"),
    ],
)
def test_where_there_are_no_uniforms(seed, rows, positions, said):
    with pytest.raises((ValueError, TypeError), match=said):
        uniforms(seed, rows, positions)
