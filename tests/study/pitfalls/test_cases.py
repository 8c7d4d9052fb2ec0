"""Every pitfall does what it says: the symptom shows, the named laws catch it, the fixed code keeps them all."""

import ast
import functools
import inspect
import re
import textwrap

import numpy as np
import pytest
from hypothesis import settings

from tinygrad_gpt import laws
from tinygrad_gpt.laws.profiles import settings_for
from tinygrad_gpt.study import pitfalls
from tinygrad_gpt.study.pitfalls import lesson

FEW = settings(settings_for("mutants"), max_examples=3)
MUCH = {"E01", "E15", "M6", "L15", "S40", "S39"}  # laws of one large case; CI tries them on the pitfalls too

everyone = pytest.mark.parametrize("pitfall", pitfalls.every(), ids=pitfalls.NAMES)


@functools.cache
def found(name):
    """What the law says, once: shrinking takes a while."""
    with pytest.raises(laws.LawBroken) as caught:
        pitfalls.find(name).check()
    return caught.value


@everyone
def test_the_wrong_code_breaks_the_law_it_names(pitfall):
    assert found(pitfall.name).law.id == pitfall.laws[0]
    assert str(found(pitfall.name)).startswith(f"{pitfall.laws[0]}, ")


@everyone
def test_the_fixed_code_keeps_all_laws(pitfall):
    quick = [law.id for law in laws.laws_of(pitfall.whole) if law.id not in MUCH]
    whole = laws.check(pitfall.whole, only=quick, profile=FEW, on_fail="report")
    assert not whole.bad, whole


@pytest.mark.slow
@everyone
def test_the_wrong_code_breaks_just_the_laws_it_names_and_the_fixed_code_none(pitfall):
    broken = laws.check(pitfall.broken, profile="mutants", on_fail="report")
    assert {result.law.id for result in broken.bad} == set(pitfall.laws)
    whole = laws.check(pitfall.whole, profile="mutants", on_fail="report")
    assert not whole.bad, whole


@everyone
def test_the_symptom_shows_and_goes(pitfall):
    seen, gone = lesson.symptom(pitfall, pitfall.wrong), lesson.symptom(pitfall, pitfall.fixed)
    assert seen != gone
    assert seen == lesson.symptom(pitfall, pitfall.wrong)
    assert all(lines and max(map(len, lines)) <= 78 for lines in (seen.splitlines(), gone.splitlines()))
    assert len(seen.splitlines()) <= 8


@everyone
def test_the_diff_turns_the_wrong_code_into_the_fixed(pitfall):
    lines, at = [], 0
    for i, j, new in pitfall.changes():
        lines += [*pitfall.code[at:i], *new]
        at = j
    assert [*lines, *pitfall.code[at:]] == pitfall.fixed_code
    diff = pitfall.diff()
    assert [line[1:] for line in diff if line.startswith("+")] != []
    assert all(line[1:] in pitfall.fixed_code for line in diff if not line.startswith("-"))


@everyone
def test_some_lines_are_wrong_and_most_are_not(pitfall):
    wrong = [number for number in range(1, len(pitfall.code) + 1) if pitfall.is_wrong(number)]
    assert 1 <= len(wrong) <= 0.7 * len(pitfall.code)
    assert not pitfall.is_wrong(0)
    assert not pitfall.is_wrong(1)


@everyone
def test_the_code_is_short_and_fits_a_terminal(pitfall):
    for code in (pitfall.code, pitfall.fixed_code):
        assert 3 <= len(code) <= 20
        assert max(map(len, code)) <= 74
    names = {
        node.name
        for node in ast.walk(ast.parse(inspect.getsource(inspect.getmodule(pitfall.wrong))))
        if isinstance(node, ast.FunctionDef)
    }
    assert {pitfall.wrong.__name__, f"{pitfall.wrong.__name__}_fixed", "symptom"} <= names


@everyone
def test_a_lesson_fits_80_columns_but_for_the_lines_to_paste(pitfall):
    number = pitfalls.NAMES.index(pitfall.name) + 1
    told = [lesson.opening(number, pitfall), lesson.finding(pitfall, found(pitfall.name)), lesson.fix(pitfall)]
    for line in "\n\n".join(told).splitlines():
        assert len(line) <= 80 or "laws.find(" in line


@everyone
def test_the_lines_to_paste_break_the_law_again(pitfall):
    replay = found(pitfall.name).replay()
    assert "sut = ..." not in replay
    with pytest.raises(laws.LawBroken):
        exec(replay, {"array": np.array})


@everyone
def test_what_is_said_of_it(pitfall):
    assert pitfalls.find(pitfall.name) is pitfall
    assert re.fullmatch(r"[a-z-]{5,22}", pitfall.name)
    assert pitfall.area == {"ops": "gradient"}.get(pitfall.broken.area, pitfall.broken.area)
    assert 2 <= len(re.split(r"[.:] ", pitfall.why)) <= 6
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", source) for source in pitfall.sources)


def test_there_are_twenty_one_by_number_and_by_name():
    assert len(pitfalls.NAMES) == len(set(pitfalls.NAMES)) == 21
    assert [pitfalls.find(str(n + 1)).name for n in range(21)] == list(pitfalls.NAMES)


@pytest.mark.parametrize("key", ["0", "22", "-1", "", "²", "layer_norm"])
def test_another_key_is_a_key_error(key):
    with pytest.raises(KeyError):
        pitfalls.find(key)


def test_a_pitfall_that_is_not_caught_is_an_error():
    from dataclasses import replace

    pitfall = pitfalls.find("1")
    with pytest.raises(AssertionError, match="not caught by G05"):
        lesson.catch(replace(pitfall, broken=pitfall.whole))


def test_a_long_line_of_a_message_is_folded_and_a_replay_is_not():
    folded = lesson.wrap("  observed  " + "word " * 40).splitlines()
    assert len(folded) > 1
    assert max(map(len, folded)) <= 78
    assert all(line.startswith(" " * 12) for line in folded[1:])
    line = textwrap.indent('laws.find("G02").replay(' + "x, " * 60, " " * 12)
    assert lesson.wrap(line) == line
