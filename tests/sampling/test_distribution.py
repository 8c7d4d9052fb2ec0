"""Worked numbers and what no general law of samplers says: settings per row, messages, the chapter's example."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.sampling import draw, greedy, probabilities

VOCABULARY = ["closer", "every", "effort", "forward", "inches", "moves", "pizza", "toward", "you"]
LOGITS = np.array([4.51, 0.89, -1.90, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79])
CLOSER, FORWARD, PIZZA, TOWARD = (VOCABULARY.index(word) for word in ("closer", "forward", "pizza", "toward"))

dyadic = st.integers(-40, 40).map(lambda n: n / 4)  # few values, so ties


@st.composite
def batches_of_logits(draw):
    """(B, V) of float64 with ties and -inf, at least one finite logit in each row."""
    V = draw(st.integers(1, 7))
    rows = st.lists(st.one_of(dyadic, st.just(-np.inf)), min_size=V, max_size=V).filter(lambda row: max(row) > -np.inf)
    return np.array(draw(st.lists(rows, min_size=1, max_size=3)))


def test_the_chapters_distribution():
    probs = probabilities(LOGITS)
    assert VOCABULARY[greedy(LOGITS)] == "forward"
    np.testing.assert_allclose(probs[[FORWARD, TOWARD, CLOSER]], [0.5721, 0.3576, 0.0609], atol=5e-5)
    assert probs.sum() == pytest.approx(1, abs=1e-15)


def test_the_chapters_top_3():
    probs = probabilities(LOGITS, top_k=3)
    assert np.flatnonzero(probs).tolist() == [CLOSER, FORWARD, TOWARD]
    np.testing.assert_allclose(probs[[CLOSER, FORWARD, TOWARD]], [0.0615, 0.5775, 0.3610], atol=5e-5)


@pytest.mark.parametrize(
    ("temperature", "forward", "pizza"), [(0.1, 0.9910, 0), (1, 0.5721, 1.013e-4), (5, 0.2421, 0.0430)]
)
def test_the_chapters_temperatures(temperature, forward, pizza):
    probs = probabilities(LOGITS, temperature=temperature)
    np.testing.assert_allclose(probs[[FORWARD, PIZZA]], [forward, pizza], atol=5e-5)


def test_of_equals_the_lowest_id():
    assert greedy([[1.0, 3.0, 3.0], [2.0, 2.0, 0.0]]).tolist() == [1, 0]
    assert probabilities([1.0, 3.0, 3.0, 1.0], top_k=3).round(3).tolist() == [0.063, 0.468, 0.468, 0]
    assert probabilities([1.0, 3.0, 3.0, 1.0], top_k=3, ties="all").round(3).tolist() == [0.06, 0.44, 0.44, 0.06]


def test_temperature_zero_wins_over_all_ties():
    assert probabilities([0.0, 5.0, 5.0], temperature=0, top_k=1, ties="all").tolist() == [0, 1, 0]


@given(st.data())
def test_settings_per_row_equal_the_rows_alone(data):
    logits = data.draw(batches_of_logits())
    B, V = logits.shape

    def one_per_row(numbers):
        return np.array(data.draw(st.lists(numbers, min_size=B, max_size=B)))

    settings_per_row = {
        "temperature": one_per_row(st.sampled_from([0, 0.5, 1, 3])),
        "top_k": one_per_row(st.integers(1, V + 1)),
        "top_p": one_per_row(st.sampled_from([0.3, 0.75, 1])),
        "min_p": one_per_row(st.sampled_from([0, 0.2, 1])),
    }
    ties = data.draw(st.sampled_from(["exact", "all"]))
    together = probabilities(logits, **settings_per_row, ties=ties)
    for b, row in enumerate(logits):
        alone = probabilities(row, **{name: setting[b] for name, setting in settings_per_row.items()}, ties=ties)
        assert together[b].tobytes() == alone.tobytes()


@given(dyadic, st.sampled_from([0.3, 1, 7]))
def test_top_p_of_equal_logits_counts_exactly(level, temperature):
    """Also where (n / V) * V is below n, as at 1 of 49, and where it is above, as at 7 of 25."""
    for V, n in [(1, 1), (3, 2), (49, 1), (25, 7), (1000, 1000), (50257, 15)]:
        probs = probabilities(np.full(V, level), temperature=temperature, top_p=n / V)
        assert probs.tolist() == [1 / n] * n + [0] * (V - n)


def test_top_p_one_keeps_even_what_rounding_would_hide():
    assert (probabilities([0.0, -60.0, -700.0], top_p=1) > 0).all()


def test_top_p_is_measured_on_what_top_k_left():
    logits = np.log([0.4, 0.3, 0.2, 0.1])
    assert np.flatnonzero(probabilities(logits, top_p=0.5)).tolist() == [0, 1]
    assert np.flatnonzero(probabilities(logits, top_k=2, top_p=0.5)).tolist() == [0]  # 0.4 of 0.7


def test_top_p_is_measured_after_temperature():
    assert np.flatnonzero(probabilities([3.0, 2.0, 1.0], top_p=0.8)).tolist() == [0, 1]
    assert np.flatnonzero(probabilities([3.0, 2.0, 1.0], top_p=0.8, temperature=0.5)).tolist() == [0]


def test_min_p_is_relative_to_the_likeliest():
    probs = probabilities(np.log([0.1, 0.4, 0.19, 0.31]), min_p=0.5)
    np.testing.assert_allclose(probs, [0, 0.4 / 0.71, 0, 0.31 / 0.71], rtol=1e-12)


@given(batches_of_logits(), st.sampled_from([0, 1e-320, 0.5, 1e300]), st.sampled_from([None, 1, 2]))
def test_the_input_is_left_alone(logits, temperature, top_k):
    before = logits.copy()
    logits.setflags(write=False)
    probs = probabilities(logits, temperature=temperature, top_k=top_k, top_p=0.9, min_p=0.1)
    assert logits.tobytes() == before.tobytes()
    probs[...] = 0  # and the result is the caller's own
    greedy(logits)


@pytest.mark.parametrize("fault", ["raise", "warn"])
def test_no_floating_point_fault_escapes(fault):
    with np.errstate(all=fault):
        probs = probabilities([0.0, -800.0, -1e300, -np.inf], temperature=1e-300, top_k=3, top_p=0.9, min_p=0.0)
    assert probs.tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("fault", ["raise", "warn"])
@pytest.mark.parametrize("top_k", [None, 4, 5])
def test_nor_where_a_tiny_weight_is_divided_by_the_mass(fault, top_k):
    with np.errstate(all=fault):
        probs = probabilities([0.0, -744.0, 0.0, 0.0, -np.inf], top_k=top_k)
        token = draw(np.array([0.25, 0.25]), 5e-324)
    assert probs == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3, 0])
    assert token == 0


BAD_LOGITS = {
    "nan at row 1, id 2": [[0, 1, 2], [0, 1, np.nan]],
    "inf at row 0, id 1": [[0, np.inf, 2], [0, np.nan, 1]],
    "nan at row 0, id 0": [np.nan, 1],
    "nan at row (1, 0), id 1": [[[0, 1]], [[0, np.nan]]],
    "-inf for every id (0 to 1) of row 1": [[0, 1], [-np.inf, -np.inf]],
    "got shape (2, 0)": [[], []],
    "got shape ()": 1.5,
}


@pytest.mark.parametrize("said", BAD_LOGITS)
@pytest.mark.parametrize("use", [greedy, probabilities, lambda x: probabilities(x, temperature=0, top_k=1)])
def test_bad_logits_are_named(use, said):
    with pytest.raises(ValueError, match="logits must") as error:
        use(np.array(BAD_LOGITS[said], float))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("logits", [[True, False], ["a", "b"], [None, 1.0], [1j, 2]])
def test_logits_must_be_real_numbers(logits):
    with pytest.raises(TypeError, match="logits must be an array of real numbers"):
        probabilities(logits)


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        *(
            ("temperature", wrong)
            for wrong in (-1, -1e-9, np.nan, np.inf, True, None, "1", [1.0, -1.0], [1.0, 1.0, 1.0])
        ),
        *(("top_k", wrong) for wrong in (0, -1, True, 2.0, np.nan, "3", [1, 0], [[1], [2]], [True, False])),
        *(("top_p", wrong) for wrong in (0, -0.5, 1.0000001, np.nan, True, "a", [0.5, 0.0])),
        *(("min_p", wrong) for wrong in (-0.1, 1.5, np.nan, False, np.inf, [0.5, -1.0])),
        *(("ties", wrong) for wrong in ("any", None, True)),
    ],
)
@pytest.mark.parametrize("temperature", [1.0, 0])
def test_bad_settings_are_named(setting, wrong, temperature):
    with pytest.raises((ValueError, TypeError)) as error:
        probabilities(np.zeros((2, 3)), **{"temperature": temperature, setting: wrong})
    assert str(error.value).startswith(f"{setting} must be ")
    assert "; got " in str(error.value)
    assert "\n" not in str(error.value)


def test_the_message_for_top_k():
    with pytest.raises(ValueError, match=r"^top_k must be a whole number, at least 1, or None for no limit; got 0$"):
        probabilities([0.0, 1.0], top_k=0)


@pytest.mark.parametrize("number", [2, np.int8(2), np.uint64(2), np.array(2)])
def test_numbers_of_any_kind(number):
    probs = probabilities([0.0, 1.0, 2.0], temperature=number, top_k=number)
    assert probs.tolist() == probabilities([0.0, 1.0, 2.0], temperature=2.0, top_k=2).tolist()
