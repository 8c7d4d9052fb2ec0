"""tinygrad-gpt explain."""

import dataclasses

import numpy as np
import pytest

from tinygrad_gpt.study.explain.examples import EXAMPLES
from tinygrad_gpt.study.explain.explanation import OPS, explain
from tinygrad_gpt.study.explain.worked_example import work_through


def test_without_an_op_all_are_listed(tg):
    result = tg("explain")
    assert (result.code, result.err) == (0, "")
    assert all(f"\n  {name}" in result.out for name in OPS)


@pytest.mark.parametrize("name", ["gelu", "causal_attention", "Layer-Norm"])
def test_a_page(tg, name):
    result = tg("explain", name)
    assert (result.code, result.err) == (0, "")
    assert result.out == str(explain(name)) + "\n"


def test_a_seed_changes_the_numbers_and_nothing_else(tg):
    chosen, drawn = (tg("explain", "linear", *more).out.splitlines() for more in ([], ["--seed", 7]))
    assert chosen != drawn
    assert "\n".join(drawn) == str(explain("linear", seed=7))
    code = chosen.index("In numbers, line by line")
    assert chosen[:code] == drawn[:code]


@pytest.mark.parametrize(("columns", "widest"), [(70, 70), (100, 100), (400, 120), (20, 60)])
def test_the_page_is_as_wide_as_the_terminal(tg, monkeypatch, columns, widest):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert tg("explain", "tanh").out == explain("tanh").text(widest) + "\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["layer_nrm"], "tinygrad-gpt explain: unknown op 'layer_nrm'; did you mean layer_norm?\n"),
        (["???"], "tinygrad-gpt explain: unknown op '???'; tinygrad-gpt explain, without an op, lists them all\n"),
        (["gelu", "tanh"], "tinygrad-gpt explain: unexpected argument 'tanh'\n"),
        (["gelu", "--seed", "-1"], "tinygrad-gpt explain: --seed must be at least 0 and below 2**64; got -1\n"),
        (["gelu", "--sed", "1"], "tinygrad-gpt explain: unknown option --sed; did you mean --seed?\n"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tg, argv, said):
    assert tuple(tg("explain", *argv)) == (2, "", said)


def test_a_gradient_that_is_wrong_is_shown_and_exit_code_1(tg, monkeypatch):
    def broken(x):
        y = np.tanh(x)
        return y, lambda dy: (-dy * (1 - y * y),)

    wrong = dataclasses.replace(explain("tanh"), examples=(work_through(broken, EXAMPLES["tanh"][0]),))
    monkeypatch.setattr("tinygrad_gpt.cli.explain.explain", lambda op, seed: wrong, raising=False)
    result = tg("explain", "tanh")
    assert result.code == 1
    assert "<- wrong" in result.out
