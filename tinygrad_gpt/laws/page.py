"""The page of laws, written from the laws themselves."""

from tinygrad_gpt.laws.catalogue import DROPPED, LAWS, TITLES
from tinygrad_gpt.laws.law import Area, Law
from tinygrad_gpt.laws.markdown import escaped


def page() -> str:
    """docs/laws.md: per area a table of id, law, level, bugs it would have caught, mutants it kills; and those."""
    areas = "".join(f"\n## {TITLES[area]}\n\n{table(laws)}{zoo(area)}" for area, laws in LAWS.items())
    return INTRODUCTION + areas + "\n## Dropped\n\n" + "".join(f"- {id}: {why}.\n" for id, why in DROPPED.items())


INTRODUCTION = """# The laws

<!-- Written by `python -m tinygrad_gpt.laws --page`; edit the laws, not this page. -->

What must be true of every object of an area, whoever wrote it. *exact* laws are algebra or bits, *stratified* ones use
a fixed grid of numbers, *statistical* ones count random draws (a false alarm in one of
1,000,000,000 checks, and in one of 1,000,000 runs at most).
A law that needs a capability (in brackets) is skipped where the object lacks it. "Would have caught" lists published
bugs as their authors reported them; "kills" names the broken objects of `tinygrad_gpt.laws.mutants` that this law must
break, many of them small re-enactments of such bugs. [What each law kills besides was measured](law-mutant-matrix.md).
"""


def table(laws: tuple[Law, ...]) -> str:
    """One Markdown table row per law."""
    head = "| id | law | level | would have caught | kills |\n| --- | --- | --- | --- | --- |\n"
    return head + "".join(f"| {' | '.join(map(escaped, row(law)))} |\n" for law in laws)


def zoo(area: Area) -> str:
    """One line per mutant of an area: what is wrong with it."""
    from tinygrad_gpt.laws.mutants import MUTANTS  # all the broken objects: made only for who wants to read of them

    if area not in MUTANTS:
        return ""
    lines = (f"- `{mutant.name}`: {' '.join(mutant.story.split())}{cited(mutant.cites)}\n" for mutant in MUTANTS[area])
    return "\nThe mutants:\n\n" + "".join(lines)


def cited(bugs: tuple[str, ...]) -> str:
    """Published bugs in brackets, if there are any."""
    return f" ({', '.join(bugs)})" if bugs else ""


def row(law: Law) -> tuple[str, str, str, str, str]:
    """A law's cells."""
    needs = f" [{', '.join(sorted(law.needs))}]" if law.needs else ""
    sentence = " ".join(law.statement.split())
    return law.id, f"**{law.title}.** {sentence}{needs}", law.level, ", ".join(law.cites), ", ".join(law.mutants)
