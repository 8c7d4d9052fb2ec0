"""Mutants, the small broken objects that a law must kill, and the measured matrix of laws and mutants."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tinygrad_gpt.laws.law import Area, Law, LawBroken, UnderTest
from tinygrad_gpt.laws.markdown import escape_cell


@dataclass(frozen=True)
class Mutant:
    """A broken object; the laws that must kill it name it in their `mutants`.

    story: what is wrong, and its effect for a user; cites: published bugs of this kind.
    """

    name: str
    sut: UnderTest
    story: str
    cites: tuple[str, ...] = ()


def kills(law: Law, mutant: Mutant, profile: str = "mutants") -> bool:
    """Whether the law fails for the mutant."""
    try:
        law.check(mutant.sut, profile)
    except LawBroken:
        return True
    return False


@dataclass(frozen=True)
class Matrix:
    """Every law of an area, tried on every mutant of the area: pairs (law id, mutant's name)."""

    area: Area
    laws: tuple[Law, ...]
    mutants: tuple[Mutant, ...]
    tried: frozenset[tuple[str, str]]  # the mutant has what the law needs
    killed: frozenset[tuple[str, str]]

    def _named(self, law: Law) -> list[str]:
        """The mutants that the law names; those that survived are marked with !."""
        return [name + ("" if (law.id, name) in self.killed else "!") for name in law.mutants]

    def _besides(self, law: Law) -> list[int]:
        """The numbers, from 1, of the mutants that the law kills without naming them."""
        numbered = enumerate(self.mutants, start=1)
        return [i for i, mutant in numbered if mutant.name not in law.mutants and (law.id, mutant.name) in self.killed]

    def table(self) -> str:
        """The laws, one per row, and the numbered mutants, as Markdown."""
        rows = [f"| {' | '.join(self._row(law))} |" for law in self.laws]
        legend = [f"{i}. `{mutant.name}`" for i, mutant in enumerate(self.mutants, start=1)]
        return "\n".join([_HEAD, *rows, "", *legend]) + "\n"

    def _row(self, law: Law) -> tuple[str, str, str]:
        """A law's cells."""
        return (
            f"{law.id} {escape_cell(law.title)}",
            ", ".join(self._named(law)),
            ", ".join(map(str, self._besides(law))),
        )

    @property
    def summary(self) -> str:
        """The counts, in one sentence."""
        named = sum(len(law.mutants) for law in self.laws)
        besides = sum(len(self._besides(law)) for law in self.laws)
        survived = sum(name.endswith("!") for law in self.laws for name in self._named(law))
        return (
            f"{len(self.laws)} laws, {len(self.mutants)} mutants, {len(self.tried)} pairs tried: "
            f"{named - survived} of {named} named kills, {besides} besides."
        )


_HEAD = "| law | kills, as it names them | kills besides |\n| --- | --- | --- |"


def measure(area: Area, laws: Sequence[Law], mutants: Sequence[Mutant], profile: str = "mutants") -> Matrix:
    """Try every law on every mutant that has what the law needs (takes minutes).

    A pair on which the law itself raises an error is reported on stderr and left out.
    """
    outcome = {}
    for law in laws:
        for mutant in mutants:
            if law.applies_to(mutant.sut):
                try:
                    outcome[law.id, mutant.name] = kills(law, mutant, profile)
                except Exception as error:
                    print(f"{law.id} on {mutant.name}: {type(error).__name__}: {error}", file=sys.stderr)
    killed = frozenset(pair for pair, dead in outcome.items() if dead)
    return Matrix(area, tuple(laws), tuple(mutants), frozenset(outcome), killed)
