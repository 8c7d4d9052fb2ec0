"""Reports, their three renderings, and expected failures that must fail."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tinygrad_gpt import laws
from tinygrad_gpt.laws import report as reports
from tinygrad_gpt.laws.sampling import reference


def book(logits, temperature=1.0):
    """The textbook's softmax: no checks."""
    weights = np.exp((logits - logits.max(-1, keepdims=True)) / temperature)
    return weights / weights.sum(-1, keepdims=True)


sut = laws.SamplerUnderTest(name="book", probabilities=book, capabilities={"temperature"})
ONLY = ["S02", "S13", "S24"]


def test_a_report_names_what_held_broke_and_was_skipped():
    report = laws.check(sut, profile="ci", on_fail="report", only=ONLY)
    assert [(r.law.id, r.status) for r in report.results] == [("S02", "held"), ("S13", "skipped"), ("S24", "broken")]
    assert not report.ok
    assert report.summary == "book (sampling, profile ci): 1 held, 1 skipped, 1 broken"


def test_text():
    text = str(laws.check(sut, profile="ci", on_fail="report", only=ONLY))
    assert "skipped          S13  top-k keeps the k likeliest  (needs top_k)" in text
    assert "S24, invalid logits are an error: broken by book" in text


def test_markdown():
    lines = laws.check(sut, profile="ci", on_fail="report", only=ONLY).markdown().splitlines()
    assert lines[0] == "## book (sampling, profile ci): 1 held, 1 skipped, 1 broken"
    assert "| S02 | shift invariance | held |  |" in lines
    assert "| S24 | invalid logits are an error | broken | `logits = np.array([[np.nan]]); settings = {}` |" in lines


def test_json():
    found = json.loads(laws.check(sut, profile="ci", on_fail="report", only=ONLY).json())
    assert (found["sut"], found["area"], found["profile"], found["ok"]) == ("book", "sampling", "ci", False)
    broken = found["laws"][2]
    assert broken["status"] == "broken"
    assert broken["example"] == "logits = np.array([[np.nan]])\nsettings = {}"
    assert 'laws.find("S24").replay(sut, logits=np.array([[np.nan]]), settings={})' in broken["replay"]


def test_the_budget_of_chance_is_stated_where_laws_count_random_draws():
    right = laws.SamplerUnderTest(
        name="right", probabilities=reference.probabilities, draw=reference.draw, uniforms=reference.uniforms
    )
    report = laws.check(right, profile="ci", only=["S02", "S32", "S42"])
    sentence = "A correct object fails by chance in at most 6e-09 of runs (budget 1e-06)."
    assert str(report).splitlines()[-2:] == ["", sentence]
    assert report.markdown().splitlines()[-2:] == ["", sentence]
    found = json.loads(report.json())
    assert (found["false_alarm"], found["false_alarm_budget"]) == (pytest.approx(6e-9), 1e-6)
    exact = laws.check(right, profile="ci", only=["S02"])
    assert "by chance" not in str(exact) + exact.markdown()
    assert "false_alarm" not in json.loads(exact.json())


def test_raise_gives_all_findings_at_once():
    with pytest.raises(AssertionError) as caught:
        laws.check(sut, profile="ci", only=["S02", "S24", "S25"])
    assert "S24, invalid logits" in str(caught.value)
    assert "S25, bad settings" in str(caught.value)
    assert "S02, shift" not in str(caught.value)


def test_expected_failures_are_no_findings():
    why = {"S24": "nobody looks"}
    report = laws.check(sut, profile="ci", only=ONLY, expected_failures=why)
    assert [r.status for r in report.results] == ["held", "skipped", "expected failure"]
    assert report.ok
    assert report.results[2].reason == "nobody looks"


def test_an_expected_failure_that_holds_is_a_finding():
    with pytest.raises(AssertionError, match=r"S02, shift invariance|unexpected pass"):
        laws.check(sut, profile="ci", only=["S02"], expected_failures={"S02": "once broken"})


@pytest.mark.parametrize(
    ("reasons", "message"),
    [
        ({"S24": " "}, "expected_failures needs a reason why S24 fails on book"),
        ({"S99": "why"}, "expected_failures names S99, which is not checked on book"),
        ({"S13": "no top-k"}, "expected_failures names S13, which is not checked on book"),
    ],
)
def test_expected_failures_are_reasoned_and_about_something(reasons, message):
    with pytest.raises(ValueError, match=message):
        laws.check(sut, expected_failures=reasons)
    with pytest.raises(ValueError, match=message):
        laws.parametrize_with_laws([sut], expected_failures=lambda s: reasons)


def test_an_error_of_the_law_itself_is_told_apart(monkeypatch):
    def no_case(sut):
        raise RuntimeError("the law is wrong")

    law = laws.Law(id="T", title="t", statement="s", area="sampling", case=no_case, body=lambda sut: None)
    monkeypatch.setattr(reports, "laws_of", lambda sut, only: (law,))
    report = laws.check(sut, on_fail="report")
    assert (report.results[0].status, report.results[0].reason) == ("error", "RuntimeError: the law is wrong")
    assert not report.ok


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="on_fail must be 'raise' or 'report'; got 'print'"):
        laws.check(sut, on_fail="print")
    with pytest.raises(ValueError, match=r"only names S99; the laws of sampling are S01, S02"):
        laws.check(sut, only=["S02", "S99"])
    with pytest.raises(TypeError, match=r"made with an adapter such as laws.SamplerUnderTest; got <function"):
        laws.check(reference.probabilities)


@pytest.mark.parametrize("name", ["sampler", "op", "engine", "model", "loss", "optimizer", "data", "checkpoint"])
def test_a_check_of_an_area_is_another_name_of_check(name):
    assert getattr(laws, f"check_{name}") is laws.check


def test_the_adapters_are_there_without_an_import_of_their_own():
    script = "from tinygrad_gpt import laws; print(laws.adapters.torch_op.__name__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "torch_op\n"
    with pytest.raises(ValueError, match="there is no law 'S99'; there are"):
        laws.find("S99")


def test_parametrize_marks_expected_failures_strictly_and_leaves_out_what_does_not_apply():
    mark = laws.parametrize_with_laws([sut], expected_failures=lambda s: {"S24": "nobody looks"}, only=ONLY).mark
    names, tests = mark.args
    assert names == ("sut", "law")
    assert [test.id for test in tests] == ["book-S02", "book-S24"]
    (xfail,) = tests[1].marks
    assert xfail.name == "xfail"
    assert xfail.kwargs == {"reason": "nobody looks", "strict": True, "raises": laws.LawBroken}
    assert not tests[1].values[1].shrink
    assert tests[0].values[1].shrink


WHY = {"S05": "temperature 0 divides by zero", "S24": "nan and inf are not looked for", "S25": "nor are bad settings"}


@laws.parametrize_with_laws([sut], expected_failures=lambda s: WHY)
def test_law(sut, law):
    law.check(sut)
