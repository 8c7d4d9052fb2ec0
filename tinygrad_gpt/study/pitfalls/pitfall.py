"""A pitfall is data: code that is wrong, the same code fixed, and the law that tells them apart."""

import difflib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinygrad_gpt.laws.law import UnderTest

Code = Callable[..., Any]
_PROFILE = "ci"  # the same cases for the same code, so that everybody sees the same failure
_ENDING = "_fixed"  # of the fixed function's name; not shown


@dataclass(frozen=True, kw_only=True)
class Pitfall:
    """One planted mistake.  Its file contains everything that is shown of it.

    `wrong` and `fixed` are functions of one signature; the name of fixed ends in `_fixed`.  symptom(code) runs one of
    them and prints what a user would notice.  `broken` and `whole` are the two as objects that laws can check.
    """

    name: str
    title: str
    area: str
    task: str  # what the code is for
    wrong: Code
    fixed: Code
    symptom: Callable[[Code], None]
    broken: "UnderTest"
    whole: "UnderTest"
    laws: tuple[str, ...]  # ids of all laws that the wrong code breaks, the clearest first
    why: str
    sources: tuple[str, ...] = ()  # published bugs of this kind

    def check(self) -> None:
        """Raise laws.LawBroken: the first of `laws`, on the smallest case found."""
        _check_law(self.laws[0], self.broken)

    def check_fixed(self) -> None:
        """Check the same law on the fixed code."""
        _check_law(self.laws[0], self.whole)

    @property
    def code(self) -> list[str]:
        """The lines of the wrong code."""
        return _source(self.wrong)

    @property
    def fixed_code(self) -> list[str]:
        """The lines of the fixed code."""
        return _source(self.fixed)

    def changes(self) -> Iterator[tuple[int, int, list[str]]]:
        """Which lines i:j of the wrong code are replaced, and the lines that replace them."""
        matcher = difflib.SequenceMatcher(None, self.code, self.fixed_code, autojunk=False)
        for tag, i, j, k, n in matcher.get_opcodes():
            if tag != "equal":
                yield i, j, self.fixed_code[k:n]

    def is_wrong(self, number: int) -> bool:
        """Whether the line with this number, counted from 1, changes, or is next to one that is missing."""
        return any(i < number <= j or (i == j and number in (i, i + 1)) for i, j, _ in self.changes())

    def diff(self) -> list[str]:
        """The difference between the two: removed lines (-), added lines (+), and a line of context."""
        lines = difflib.unified_diff(self.code, self.fixed_code, n=1, lineterm="")
        return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def _check_law(law: str, sut: "UnderTest") -> None:
    from tinygrad_gpt import laws  # here, so that the list of pitfalls needs no Hypothesis

    laws.find(law).check(sut, _PROFILE)


def _source(code: Code) -> list[str]:
    """The lines of a function, with the name that both versions share."""
    return inspect.getsource(code).replace(_ENDING, "").rstrip().splitlines()
