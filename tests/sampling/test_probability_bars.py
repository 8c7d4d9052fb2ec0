import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.sampling import probabilities, probability_bars
from tinygrad_gpt.sampling.chart import display_width

VOCABULARY = ["closer", "every", "effort", "forward", "inches", "moves", "pizza", "toward", "you"]
LOGITS = np.array([4.51, 0.89, -1.90, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79])
BEFORE = probabilities(LOGITS)
AFTER = probabilities(LOGITS, temperature=1.4, top_k=3)


def test_the_chapters_figure():
    chart = probability_bars(BEFORE, AFTER, VOCABULARY, 4, 60, chosen=VOCABULARY.index("toward"))
    assert chart.splitlines() == [
        "  token      before                  after",
        "  'forward'   57.2% ███████████████   52.2% █████████████▋",
        "> 'toward'    35.8% █████████▍        37.3% █████████▊",
        "  'closer'     6.1% █▋                10.5% ██▊",
        "  'you'        0.4% ▏                     -",
    ]


def test_the_chosen_token_is_listed_wherever_it_ranks():
    chart = probability_bars(BEFORE, BEFORE, VOCABULARY, 2, chosen=VOCABULARY.index("pizza"))
    assert [line.split()[:2] for line in chart.splitlines()[1:]] == [
        ["'forward'", "57.2%"],
        ["'toward'", "35.8%"],
        [">", "'pizza'"],
    ]


@given(
    st.lists(
        st.text(st.characters(exclude_characters="%█", exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=12
    ),
    st.integers(0, 2**32 - 1),
    st.integers(1, 14),
    st.integers(60, 120),
    st.data(),
)
def test_every_line_fits_and_stands_under_the_one_before(labels, seed, n, width, data):
    logits = np.random.default_rng(seed).normal(0, 3, len(labels))
    chosen = data.draw(st.none() | st.integers(0, len(labels) - 1))
    before, after = probabilities(logits), probabilities(logits, top_k=2)
    lines = probability_bars(before, after, labels.__getitem__, n, width, chosen=chosen).splitlines()
    listed = np.argsort(-before)[:n]
    assert len(lines) == 1 + len(listed) + (chosen is not None and chosen not in listed)  # no label breaks a line
    assert all(display_width(line) <= width for line in lines)
    assert sum(line.startswith(">") for line in lines) == (chosen is not None)
    assert len({display_width(line[: line.index("%")]) for line in lines[1:]}) == 1  # the percentages are aligned
    longest = max(line.count("█") for line in lines)
    assert longest >= (width - 2 - 22 - 18) // 2


@pytest.mark.parametrize(
    ("text", "shown"), [("\n", r"'\n'"), (" the", "' the'"), ("\t", r"'\t'"), ("\x1b[31m", r"'\x1b[31m'")]
)
def test_labels_show_what_cannot_be_seen(text, shown):
    assert shown in probability_bars([1.0], [1.0], [text])


def test_wide_characters_count_twice():
    first, second = probability_bars([0.5, 0.5], [0.5, 0.5], ["日本語", "ab"]).splitlines()[1:]
    assert display_width(first[: first.index("%")]) == display_width(second[: second.index("%")])
    assert first.index("%") == second.index("%") - 3


def test_unlikely_is_not_impossible():
    chart = probability_bars([0.9999, 0.0001, 0.0], [1.0, 0.0, 0.0], ["a", "b", "c"])
    assert [line.split()[1] for line in chart.splitlines()[1:]] == ["100.0%", "<0.1%", "-"]


def test_at_least_one_bar():
    with pytest.raises(ValueError, match="n must be at least 1; got 0"):
        probability_bars(BEFORE, AFTER, VOCABULARY, 0)


def test_a_part_of_a_character_is_shown_as_bytes():
    chart = probability_bars(np.array([0.5, 0.5]), np.array([0.5, 0.5]), ["a", "é".encode()[:1]])
    assert "'a'" in chart
    assert r"b'\xc3'" in chart
