"""A pitfall is data: code that is wrong, the same code mended, and the law that tells them apart."""

import difflib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinygrad_gpt.laws.law import UnderTest

Code = Callable[..., Any]
_PROFILE = "ci"  # the same cases for the same code, so that everybody sees the same failure
_ENDING = "_mended"  # of the mended function's name; not shown


@dataclass(frozen=True, kw_only=True)
class Pitfall:
    """One planted mistake.  Its file holds all that is shown of it.

    `wrong` and `mended` are functions of one signature, mended's name ending in `_mended`.  symptom(code) runs either
    of them and prints what a user would notice.  `broken` and `whole` show the two to the laws.
    """

    name: str
    title: str
    area: str
    task: str  # what the code is for
    wrong: Code
    mended: Code
    symptom: Callable[[Code], None]
    broken: "UnderTest"
    whole: "UnderTest"
    laws: tuple[str, ...]  # ids of all laws that the wrong code breaks, the most telling first
    why: str
    sources: tuple[str, ...] = ()  # published bugs of this kind

    def check(self) -> None:
        """Raises laws.LawBroken: the law that the wrong code breaks, on the smallest case found."""
        _holds(self.laws[0], self.broken)

    def check_mended(self) -> None:
        """The same law on the mended code."""
        _holds(self.laws[0], self.whole)

    @property
    def code(self) -> list[str]:
        """The lines of the wrong code."""
        return _source(self.wrong)

    @property
    def mended_code(self) -> list[str]:
        """The lines of the mended code."""
        return _source(self.mended)

    def changes(self) -> Iterator[tuple[int, int, list[str]]]:
        """Which lines i:j of the wrong code give way, and the lines that come in their place."""
        matcher = difflib.SequenceMatcher(None, self.code, self.mended_code, autojunk=False)
        for tag, i, j, k, n in matcher.get_opcodes():
            if tag != "equal":
                yield i, j, self.mended_code[k:n]

    def is_wrong(self, number: int) -> bool:
        """Whether the line with this number, counted from 1, changes, or stands beside one that is missing."""
        return any(i < number <= j or (i == j and number in (i, i + 1)) for i, j, _ in self.changes())

    def diff(self) -> list[str]:
        """The wrong code against the mended one: lines that go (-), lines that come (+), a line around them."""
        lines = difflib.unified_diff(self.code, self.mended_code, n=1, lineterm="")
        return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def _holds(law: str, sut: "UnderTest") -> None:
    """Raises laws.LawBroken if it does not."""
    from tinygrad_gpt import laws  # here, so that the list of pitfalls needs no Hypothesis

    laws.find(law).check(sut, _PROFILE)


def _source(code: Code) -> list[str]:
    """The lines of a function, under the name that both versions share."""
    return inspect.getsource(code).replace(_ENDING, "").rstrip().splitlines()
