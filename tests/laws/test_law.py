"""What a law does with an object: find the smallest breaking case, and say all that is needed to act on it."""

import os
import sys
import types
import unittest

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from tinygrad_gpt import laws
from tinygrad_gpt.laws import law as core
from tinygrad_gpt.laws.profiles import PROFILES, settings_for


class Thing:
    """An object under test that counts its calls."""

    area = "sampling"
    policies: dict[str, object] = {"ties": "exact", "order": "first"}  # noqa: RUF012

    def __init__(self, answer, name="thing", capabilities=frozenset()):
        self.answer, self.name, self.capabilities, self.asked = answer, name, capabilities, 0

    def __call__(self, x):
        self.asked += 1
        return self.answer(x)


@core.law(
    "T01",
    "small numbers stay",
    area="sampling",
    case=lambda sut: core.cases(x=st.integers(0, 1000), scale=st.just(2.0)),
    needs=("numbers",),
    mutants=("any",),
)
def stays(sut, x, scale):
    """The answer is the number itself."""
    if sut(x) != x:
        raise laws.LawBroken(f"{sut(x)}", f"{x}")


def numbers(answer):
    return Thing(answer, capabilities=frozenset({"numbers"}))


def broken_by(sut, law=stays, profile="ci"):
    with pytest.raises(laws.LawBroken) as caught:
        law.check(sut, profile)
    return caught.value


def test_a_law_is_data_with_its_docstring_as_statement():
    assert (stays.id, stays.title, stays.statement) == ("T01", "small numbers stay", "The answer is the number itself.")
    assert (stays.level, stays.area, stays.needs, stays.mutants) == ("exact", "sampling", {"numbers"}, ("any",))


def test_a_right_object_holds_and_is_asked_as_often_as_the_profile_says():
    sut = numbers(lambda x: x)
    stays.check(sut, "ci")
    assert sut.asked == 100


def test_the_case_found_is_the_smallest():
    assert broken_by(numbers(lambda x: min(x, 41))).case == {"x": 42, "scale": 2.0}


def test_the_message_says_everything():
    assert str(broken_by(numbers(lambda x: min(x, 41)))) == "\n".join(
        [
            "T01, small numbers stay: broken by thing",
            "",
            "  law       The answer is the number itself.",
            "  example   x = 42",
            "            scale = 2.0",
            "  observed  41",
            "  expected  42",
            "  policy    ties='exact', order='first'",
            "  replay    import numpy as np",
            "            from tinygrad_gpt import laws",
            "            sut = ...  # the Thing named 'thing'",
            '            laws.find("T01").replay(sut, x=42, scale=2.0)',
        ]
    )


def test_the_replay_lines_break_the_law_again(monkeypatch):
    module = types.ModuleType("users_module")
    module.clipped = laws.SamplerUnderTest(name="clipped", probabilities=lambda x: np.minimum(x, 0.5))
    monkeypatch.setitem(sys.modules, "users_module", module)
    broken = broken_by(module.clipped, laws.find("S01"))
    lines = broken.replay()
    assert "from users_module import clipped as sut" in lines
    with pytest.raises(laws.LawBroken) as again:
        exec(lines, {})
    assert str(again.value) == str(broken)


def test_an_exception_of_the_object_breaks_the_law():
    broken = broken_by(numbers(lambda x: [0][x]))
    assert (broken.observed, broken.expected) == ("IndexError: list index out of range", "no exception")
    assert isinstance(broken.__cause__, IndexError)
    assert broken.case["x"] == 1


def test_an_object_that_answers_now_so_now_so_is_found_out():
    sut = numbers(None)
    sut.answer = lambda x: x if sut.asked % 7 else -1
    broken = broken_by(sut)
    assert broken.observed == "it failed, but passed when run again on the very same case"


def test_an_object_that_spoils_its_input_does_not_spoil_the_report():
    def spoil(x):
        x[:] = 99
        return x

    @core.law("T02", "kept", area="sampling", case=lambda sut: core.cases(x=st.just(np.array([1, 2]))))
    def kept(sut, x):
        """The input stays."""
        if sut(x).max() > 2:
            raise laws.LawBroken("99", "2")

    assert broken_by(Thing(spoil), kept).case["x"].tolist() == [1, 2]
    with pytest.raises(laws.LawBroken) as caught:
        kept.replay(Thing(spoil), x=np.array([1, 2]))
    assert caught.value.case["x"].tolist() == [1, 2]


def test_numpy_warnings_break_nothing():
    @core.law("T03", "quiet", area="sampling", case=lambda sut: core.cases(x=st.just(0.0)))
    def quiet(sut, x):
        """Any answer."""
        sut(x)

    quiet.check(Thing(lambda x: np.log(np.array(x)) - np.inf))


def test_a_law_that_needs_more_than_the_object_has_is_skipped():
    sut = Thing(lambda x: x)
    assert stays.missing(sut) == {"numbers"}
    assert not stays.applies_to(sut)
    with pytest.raises(unittest.SkipTest, match="T01 needs numbers"):
        stays.check(sut)


def test_an_object_of_another_area_is_not_judged():
    sut = numbers(lambda x: x)
    sut.area = "ops"
    with pytest.raises(laws.DoesNotApply, match="T01 needs an object of sampling"):
        stays.check(sut)


def test_without_shrinking_the_first_case_found_will_do():
    sut = numbers(lambda x: min(x, 41))
    first = broken_by(sut, stays.without_shrinking())
    few = sut.asked
    broken_by(sut)
    assert first.case["x"] >= 42
    assert few < 10 < sut.asked - few


def test_examples_limits_every_profile():
    law = core.law("T04", "rare", area="sampling", case=stays.case, examples=3)(stays.body)
    sut = numbers(lambda x: x)
    law.check(sut, "ci")
    assert sut.asked == 3


def test_derandomised_profiles_look_at_the_same_cases_every_time():
    seen = []
    for _ in range(2):
        cases = []
        stays.check(numbers(lambda x, cases=cases: (cases.append(x), x)[1]), "ci")
        seen.append(cases)
    assert seen[0] == seen[1]


def test_the_profiles_hide_nothing():
    for name, fields in PROFILES.items():
        found = settings_for(name)
        assert found.deadline is None
        assert not found.report_multiple_bugs
        assert found.max_examples == fields["max_examples"]
        assert found.derandomize == (name in ("ci", "mutants"))
        assert (found.database is None) == found.derandomize
    own = settings(max_examples=3)
    assert settings_for(own) is own


def test_the_default_profile_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("HYPOTHESIS_PROFILE", raising=False)
    assert settings_for().max_examples == 25
    os.environ["HYPOTHESIS_PROFILE"] = "thorough"
    assert settings_for().max_examples == 2000
    settings.register_profile("users-own", max_examples=7)
    assert settings_for("users-own").max_examples == 7
    with pytest.raises(ValueError, match=r"profile must be one of dev, ci, thorough, mutants .*; got 'fast'"):
        settings_for("fast")
    os.environ.pop("HYPOTHESIS_PROFILE")
