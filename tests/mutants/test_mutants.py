"""The gate: every law kills the mutants it names, and every mutant is named."""

import pytest

from tinygrad_gpt import laws
from tinygrad_gpt.laws import mutants

NAMED = [(law, mutant) for mutant in mutants.EVERY for law in mutants.killers(mutant)]


@pytest.mark.parametrize(("law", "mutant"), NAMED, ids=lambda x: getattr(x, "id", "") or x.name)
def test_the_law_kills_the_mutant(law, mutant):
    assert law.applies_to(mutant.sut), f"{mutant.name} lacks {law.missing(mutant.sut)}"
    assert mutants.kills(law, mutant)


@pytest.mark.parametrize("mutant", mutants.EVERY, ids=lambda mutant: mutant.name)
def test_a_mutant_is_named_by_a_law_and_has_a_story(mutant):
    assert mutants.killers(mutant)
    assert mutant.story.endswith(".")
    assert mutant.sut.name == mutant.name


@pytest.mark.parametrize("law", laws.EVERY, ids=lambda law: law.id)
def test_a_law_names_a_mutant_that_exists(law):
    assert law.mutants, "a law that kills nothing is decoration"
    zoo = {mutant.name for mutant in mutants.MUTANTS.get(law.area, ())}
    assert set(law.mutants) <= zoo


def test_names_are_unique():
    names = [mutant.name for mutant in mutants.EVERY]
    assert len(set(names)) == len(names)
    ids = [law.id for law in laws.EVERY]
    assert len(set(ids)) == len(ids)


def test_the_zoo_is_large_enough():
    assert len(mutants.MUTANTS["sampling"]) >= 28
    assert len(mutants.EVERY) >= 40


def test_the_matrix_marks_who_kills_whom(monkeypatch):
    chosen = mutants.MUTANTS["sampling"][0]
    monkeypatch.setitem(mutants.MUTANTS, "sampling", (chosen,))
    monkeypatch.setitem(mutants.LAWS, "sampling", (laws.find("S01"), laws.find("S02"), laws.find("S26")))
    assert mutants.matrix("sampling").splitlines() == [
        "| mutant | S01 | S02 | S26 |",
        "| --- | --- | --- | --- |",
        f"| {chosen.name} | ● |  |  |",
    ]
