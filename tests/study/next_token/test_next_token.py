import base64
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.figures import faults
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.sampling import SamplerSettings, probabilities
from tinygrad_gpt.study.next_token import NextToken, entropy, figure, next_token, page, table
from tinygrad_gpt.text import build_tokenizer

CHAPTER = NextToken(
    "every effort", np.float32([4.51, 0.89, -1.90, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79]), "abcdefghi".__getitem__
)
distributions = st.lists(st.floats(0, 1), min_size=1, max_size=30).filter(lambda w: sum(w) > 1e-3)


@given(distributions)
def test_entropy_lies_between_certainty_and_a_fair_choice(weights):
    p = np.array(weights) / sum(weights)
    assert 0 <= entropy(p) <= math.log(len(p)) + 1e-12
    assert entropy(np.full(len(p), 1 / len(p))) == pytest.approx(math.log(len(p)), abs=1e-12)
    assert entropy(np.eye(len(p))[0]) == 0


@given(st.floats(0.1, 10), st.floats(1.01, 3))
def test_entropy_grows_with_the_temperature(temperature, factor):
    colder, warmer = (
        entropy(probabilities(CHAPTER.logits, temperature=T)) for T in (temperature, temperature * factor)
    )
    assert colder < warmer + 1e-12


def test_the_table():
    assert table(CHAPTER, [0, 1, 5], SamplerSettings(top_k=3), n=4, width=60).splitlines() == [
        "token         temperature 0   temperature 1   temperature 5",
        "d             100.0% ███████   57.8% ████      39.2% ██▊",
        "h                  -           36.1% ██▌       35.7% ██▌",
        "a                  -            6.1% ▍         25.1% █▊",
        "i                  -               -               -",
        "",
        "entropy       0.000 nats      0.856 nats      1.082 nats",
        "perplexity    1.00            2.35            2.95",
        "can be drawn  1 of 9          3 of 9          3 of 9",
    ]


def test_what_a_model_expects_after_a_text_and_only_the_context_counts():
    model = GPT(GPTConfig(vocab_size=256, context_length=4, emb_dim=8, n_heads=2, n_layers=1), seed=1)
    tokenizer = build_tokenizer("bytes", "")
    view = next_token(model, tokenizer, "a long text")
    ids = np.array([list(b"text")])
    np.testing.assert_array_equal(view.logits, model(ids).data[0, -1])
    assert view.label(97) == "'a'"
    assert view.label(0xE2) == r"b'\xe2'"
    with pytest.raises(ValueError, match="text must hold at least one token"):
        next_token(model, tokenizer, "")


def test_the_likeliest_are_those_of_the_sampler():
    level = NextToken("", np.float32([1, 3, 3, 0]), str)
    assert level.likeliest(3) == [1, 2, 0]


def bars_of(axes):
    return {container.get_label(): [bar.get_width() for bar in container] for container in axes.containers}


def test_the_figure_shows_the_samplers_numbers():
    axes = figure(CHAPTER, [0, 1, 5], SamplerSettings(top_k=3), n=4).axes
    tokens = [3, 7, 0, 8]
    for T in (0, 1, 5):
        assert bars_of(axes[0])[f"temperature {T}"] == probabilities(CHAPTER.logits, temperature=T)[tokens].tolist()
    assert bars_of(axes[1])["after"] == probabilities(CHAPTER.logits, top_k=3)[tokens].tolist()
    temperatures, entropies = axes[2].get_lines()[0].get_data()
    i = int(np.argmin(abs(temperatures - 1)))
    assert entropies[i] == entropy(probabilities(CHAPTER.logits, temperature=temperatures[i]))


def test_without_a_limit_nothing_is_drawn_twice():
    _, over_temperature = figure(CHAPTER, [1], SamplerSettings(), n=4).axes
    curves = [line for line in over_temperature.get_lines() if len(line.get_xdata()) > 2]
    assert [line.get_label() for line in curves] == ["no limit"]


@pytest.mark.parametrize(
    ("logits", "label", "n", "cut"),
    [
        (np.zeros(60), "b'\\xe2\\x80'", 10, SamplerSettings()),
        (np.zeros(60), "W" * 40, 60, SamplerSettings(top_k=50)),
        (np.linspace(0, 20, 60), "'漢字漢字'", 4, SamplerSettings(top_k=50, top_p=0.95, min_p=0.01)),
        (np.array([1.0, 0.5]), "' is'", 10, SamplerSettings(top_p=0.9)),
    ],
)
def test_nothing_in_the_figure_is_cut_crowded_or_hidden(logits, label, n, cut):
    view = NextToken(label * 20, np.float32(logits), lambda token: label)
    assert faults(figure(view, [0.1, 1, 5], cut, n)) == []


def test_every_temperature_has_a_colour_of_its_own():
    bars = figure(CHAPTER, range(1, 10), SamplerSettings(), n=4).axes[0].containers
    assert len({bar[0].get_facecolor() for bar in bars}) == 9


def test_a_token_that_looks_like_mathematics_or_like_the_end_of_a_script_is_a_token(tmp_path):
    odd = NextToken("$x$ </script>", np.float32([0, 1]), ["$\\frac$", "</script>"].__getitem__)
    figure(odd, [1], SamplerSettings(), 2).savefig(tmp_path / "odd.png")
    text = page(odd, 1.0, SamplerSettings())
    assert text.count("</script>") == 1
    assert data_of(text)["labels"] == ["$\\frac$", "</script>"]


def data_of(text):
    return json.loads(re.search(r"const data = (.*);\n", text)[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_page_carries_every_logit_and_the_settings(dtype):
    view = NextToken("text", CHAPTER.logits.astype(dtype), str)
    data = data_of(page(view, 0.7, SamplerSettings(top_k=3, min_p=0.1), n=5))
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(data["logits"]), data["dtype"]), view.logits)
    assert data["settings"] == {"temperature": 0.7, "top_k": 3, "top_p": None, "min_p": 0.1}
    assert (data["shown"], data["text"], data["labels"]) == (5, "text", list("012345678"))


def test_the_page_of_gpt2s_vocabulary_stays_below_a_megabyte():
    # GPT-2's tokens have 6.3 characters on average, and quotes around them
    view = NextToken("text", np.zeros(50_257, np.float32), lambda token: f"'{token:07}'")
    assert len(page(view, 1.0, SamplerSettings()).encode()) < 1_000_000


def test_the_page_asks_for_nothing_from_elsewhere():
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page(CHAPTER, 1.0, SamplerSettings()))
