"""The page of laws, written from the laws themselves."""

from collections.abc import Mapping, Sequence

from tinygrad_gpt.laws.catalogue import DROPPED, LAWS, TITLES
from tinygrad_gpt.laws.law import Area, Law
from tinygrad_gpt.laws.markdown import escape_cell
from tinygrad_gpt.laws.mutation import Mutant


def page(zoo: Mapping[Area, Sequence[Mutant]] | None = None) -> str:
    """The page as Markdown: for every area a table of its laws, then its mutants."""
    areas = (
        f"\n## {TITLES[area]}\n\n{_table(laws)}{_stories((zoo or {}).get(area, ()))}" for area, laws in LAWS.items()
    )
    dropped = (f"- {id}: {why}.\n" for id, why in DROPPED.items())
    return _INTRODUCTION + "".join(areas) + "\n## Dropped\n\n" + "".join(dropped)


_INTRODUCTION = """# The laws

<!-- Written by `python -m tests.mutants.page_of_laws`; edit laws and mutants, not this page. -->

What must be true of every object of an area, whoever wrote it. *exact* laws compare values or bits, *stratified* ones
use a fixed grid of numbers, *statistical* ones count random draws (with a false alarm in one of
1,000,000,000 checks, and in one of 1,000,000 runs at most).
A law that needs a capability (in brackets) is skipped if the object lacks it. "Would have caught" lists published
bugs as their authors reported them; "kills" names the broken objects of `tests/mutants/zoo` that must fail this law,
many of them small versions of such bugs. [What else each law kills was measured](law-mutant-matrix.md).
"""


def _table(laws: tuple[Law, ...]) -> str:
    """One Markdown table row per law."""
    head = "| id | law | level | would have caught | kills |\n| --- | --- | --- | --- | --- |\n"
    return head + "".join(f"| {' | '.join(map(escape_cell, _row(law)))} |\n" for law in laws)


def _stories(mutants: Sequence[Mutant]) -> str:
    """One line per mutant: its story."""
    lines = (f"- `{mutant.name}`: {' '.join(mutant.story.split())}{_citations(mutant.cites)}\n" for mutant in mutants)
    return "\nThe mutants:\n\n" + "".join(lines) if mutants else ""


def _citations(bugs: tuple[str, ...]) -> str:
    """Published bugs in brackets, if any."""
    return f" ({', '.join(bugs)})" if bugs else ""


def _row(law: Law) -> tuple[str, str, str, str, str]:
    """A law's cells."""
    needs = f" [{', '.join(sorted(law.needs))}]" if law.needs else ""
    sentence = " ".join(law.statement.split())
    return law.id, f"**{law.title}.** {sentence}{needs}", law.level, ", ".join(law.cites), ", ".join(law.mutants)
