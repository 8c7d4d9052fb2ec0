"""Every law kills the mutants that it names, and every mutant is named by a law."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants import zoo
from tests.mutants.page_of_kills import main as matrix_command
from tinygrad_gpt import laws
from tinygrad_gpt.laws import measure
from tinygrad_gpt.laws.catalogue import TITLES

PAGE = Path(__file__).parents[2] / "docs" / "law-mutant-matrix.md"

NAMED = [(law, mutant) for mutant in zoo.ALL_MUTANTS for law in zoo.killers(mutant)]


@pytest.mark.parametrize(("law", "mutant"), NAMED, ids=lambda x: getattr(x, "id", "") or x.name)
def test_the_law_kills_the_mutant(law, mutant):
    assert law.applies_to(mutant.sut), f"{mutant.name} lacks {law.missing(mutant.sut)}"
    assert laws.kills(law, mutant)


@pytest.mark.parametrize("mutant", zoo.ALL_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_named_by_a_law_and_has_a_story(mutant):
    assert zoo.killers(mutant)
    assert mutant.story.endswith(".")
    assert mutant.sut.name == mutant.name


@pytest.mark.parametrize("law", laws.ALL_LAWS, ids=lambda law: law.id)
def test_a_law_names_a_mutant_that_exists(law):
    assert law.mutants, "a law that kills nothing is decoration"
    assert set(law.mutants) <= {mutant.name for mutant in zoo.MUTANTS[law.area]}


def test_names_are_unique():
    names = [mutant.name for mutant in zoo.ALL_MUTANTS]
    assert len(set(names)) == len(names)
    ids = [law.id for law in laws.ALL_LAWS]
    assert len(set(ids)) == len(ids)


def test_the_zoo_is_large_enough():
    assert len(zoo.MUTANTS["sampling"]) >= 28
    assert len(zoo.ALL_MUTANTS) >= 40


def test_the_matrix_marks_who_kills_whom():
    chosen = zoo.MUTANTS["sampling"][0]
    matrix = measure("sampling", [laws.find("S01"), laws.find("S02"), laws.find("S26")], [chosen])
    titles = [law.title for law in matrix.laws]
    names = [[name for name in law.mutants if name != chosen.name] for law in matrix.laws]
    assert all(names)
    assert matrix.table().splitlines() == [
        "| law | kills, as it names them | kills besides |",
        "| --- | --- | --- |",
        f"| S01 {titles[0]} | {', '.join([chosen.name, *(name + '!' for name in names[0])])} |  |",
        f"| S02 {titles[1]} | {', '.join(name + '!' for name in names[1])} |  |",
        f"| S26 {titles[2]} | {', '.join(name + '!' for name in names[2])} |  |",
        "",
        f"1. `{chosen.name}`",
    ]
    assert matrix.tried == {("S01", chosen.name), ("S02", chosen.name)}


def test_the_matrix_tells_what_a_law_kills_without_naming_it():
    broken = {mutant.name: mutant for mutant in zoo.MUTANTS["checkpoint"]}
    two = [broken["no-fsync"], broken["writes-in-place"]]
    matrix = measure("checkpoint", [replace(laws.find("F3"), mutants=("no-fsync",))], two)
    assert matrix.table().splitlines()[2] == "| F3 a power cut loses no checkpoint | no-fsync! | 2 |"
    assert matrix.summary == "1 laws, 2 mutants, 2 pairs tried: 0 of 1 named kills, 1 besides."


def test_a_law_that_goes_wrong_on_a_mutant_does_not_end_the_run(capsys):
    def no_case(sut):
        raise RuntimeError("the law is wrong")

    law = replace(laws.find("F3"), case=no_case)
    matrix = measure("checkpoint", [law], zoo.MUTANTS["checkpoint"][:1])
    assert not matrix.tried
    assert capsys.readouterr().err == "F3 on forgets-the-moments: RuntimeError: the law is wrong\n"


def test_the_page_of_the_matrix_is_about_these_laws_and_mutants():
    text = PAGE.read_text(encoding="utf-8")
    areas = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", text, re.MULTILINE))
    again = "measure anew: python -m tests.mutants.page_of_kills > docs/law-mutant-matrix.md"
    assert list(areas) == [TITLES[area] for area in zoo.MUTANTS], again
    for area, mutants in zoo.MUTANTS.items():
        section = areas[TITLES[area]]
        rows = dict(re.findall(r"^\| (\w+) .* \| (.*) \| [\d, ]*\|$", section, re.MULTILINE))
        assert rows == {law.id: ", ".join(law.mutants) for law in laws.LAWS[area]}, again  # and no ! anywhere
        assert re.findall(r"^\d+\. `(.+)`$", section, re.MULTILINE) == [mutant.name for mutant in mutants], again


def test_the_matrix_of_an_area_that_is_not_there_is_refused(capsys):
    assert matrix_command(["weather"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("python -m tests.mutants.page_of_kills: no area 'weather'; areas are ops, engine, model, ")
