"""A law is data: a sentence, a strategy that draws cases, and a body that raises LawBroken on a case that breaks it.

    @law("S02", "shift invariance", area="sampling", case=lambda sut: cases(logits=logits(), shift=st.integers(-9, 9)))
    def shift_invariance(sut, logits, shift):
        '''Adding a constant to a row of logits changes no probability.'''
        ...
        raise LawBroken(observed, expected)

`law.check(sut)` runs the body on many cases and raises one LawBroken.  Its text has the sentence, the smallest failing
case, what was observed and expected, the policy in force, and the lines of Python that replay the case.
"""

import copy
import dataclasses
import inspect
import unittest
import warnings
import zlib
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure, HypothesisException

from tinygrad_gpt.laws.first_call import FirstCall, failed_call
from tinygrad_gpt.laws.profiles import settings_for
from tinygrad_gpt.laws.source import assignments, call, import_line
from tinygrad_gpt.laws.storage import storage_in_cache

Array = Any  # the laws see NumPy's arrays; adapters convert at the boundary
Case = dict[str, Any]  # the body's arguments by name
Level = Literal["exact", "stratified", "statistical"]
Area = Literal["ops", "engine", "model", "sampling", "loss", "optimizer", "data", "checkpoint"]


class UnderTest(Protocol):
    """What every adapter has: an area, a name, capabilities, and the declared policies (name -> value)."""

    area: ClassVar[Area]

    @property
    def name(self) -> str:
        """The object's name in reports."""

    @property
    def capabilities(self) -> Set[str]:
        """What the object can do; a law that needs more is skipped."""

    @property
    def policies(self) -> Mapping[str, object]:
        """The declared choices where several are right."""


class LawBroken(AssertionError):  # noqa: N818 - a finding about the object, not an error of the laws
    """A case on which a law fails.  A body sets the first three fields, `Law.check` the others."""

    def __init__(
        self,
        observed: str,
        expected: str,
        policy: str = "",
        *,
        law: "Law | None" = None,
        sut: Any = None,
        case: Any = None,
    ) -> None:
        super().__init__(observed, expected, policy)
        self.observed, self.expected, self.policy = observed, expected, policy
        self.law, self.sut, self.case = law, sut, case

    def __str__(self) -> str:
        if self.law is None:
            return f"observed {self.observed}; expected {self.expected}"
        fields = {
            "law": self.law.statement,
            "example": assignments(self.case) or "(always the same)",
            "observed": self.observed,
            "expected": self.expected,
            "policy": self.policy_in_force(),
            "replay": self.replay(),
        }
        head = f"{self.law.id}, {self.law.title}: broken by {self.sut.name}\n"
        return "\n".join([head, *(_field(name, text) for name, text in fields.items())])

    def policy_in_force(self) -> str:
        """The policy that the body named, or else all that the object declares."""
        return self.policy or ", ".join(f"{name}={value!r}" for name, value in self.sut.policies.items()) or "(none)"

    def replay(self) -> str:
        """Lines of Python that check the law on this one case again."""
        imports = ["import numpy as np", "from tinygrad_gpt import laws", import_line(self.sut)]
        law = self.law.id if self.law else "?"
        return "\n".join([*imports, call(f'laws.find("{law}").replay', "sut", self.case)])


class FirstCallFailed(LawBroken):
    """A function of the object fails on its very first call, so that no law that calls it can be checked."""

    def __init__(self, call: FirstCall, error: Exception, law: "Law", sut: Any) -> None:
        super().__init__(f"{type(error).__name__}: {error}", "no exception", law=law, sut=sut, case={})
        self.call = call

    @property
    def line(self) -> str:
        """The finding in a few words."""
        return f"{self.call.what} fails on {self.call.on}"

    def __str__(self) -> str:
        fields = {"call": self.call.source, "observed": self.observed, "remedy": self.call.remedy}
        return "\n".join([f"{self.sut.name}: {self.line}\n", *(_field(name, text) for name, text in fields.items())])

    def replay(self) -> str:
        """Lines of Python that make the call again."""
        return "\n".join(["import numpy as np", import_line(self.sut), self.call.source])


def _field(name: str, text: str) -> str:
    """A named paragraph of a message, with its further lines indented."""
    return f"  {name:<9} " + text.replace("\n", "\n" + " " * 12)


class DoesNotApply(unittest.SkipTest):
    """The object lacks a capability that the law needs.  pytest and unittest count it as a skipped test."""


@dataclass(frozen=True, kw_only=True)
class Law:
    """One property that every object of an area must have.

    case(sut) is a strategy of dicts.  body(sut, **case) raises LawBroken; with any other exception the law fails too.
    `mutants` are the names of the broken objects that it must kill, `cites` the published bugs it would have caught.
    """

    id: str
    title: str
    statement: str
    area: Area
    case: Callable[[Any], st.SearchStrategy[Case]]
    body: Callable[..., None]
    level: Level = "exact"
    needs: frozenset[str] = frozenset()
    mutants: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()
    examples: int | None = None  # at most this many in any profile, for laws with large cases
    shrink: bool = True

    def missing(self, sut: UnderTest) -> frozenset[str]:
        """The capabilities that the law needs and the object lacks."""
        return frozenset(self.needs - sut.capabilities)

    def applies_to(self, sut: UnderTest) -> bool:
        """Whether the law can be checked on this object."""
        return sut.area == self.area and not self.missing(sut)

    def check(self, sut: UnderTest, profile: str | settings | None = None) -> None:
        """Raise LawBroken with the smallest failing case, or DoesNotApply if the object lacks what the law needs."""
        __tracebackhide__ = True
        if not self.applies_to(sut):
            raise DoesNotApply(f"{self.id} needs {', '.join(sorted(self.missing(sut))) or f'an object of {self.area}'}")
        with storage_in_cache():
            self._search(sut, settings_for(profile))

    def _search(self, sut: UnderTest, chosen: settings) -> None:
        __tracebackhide__ = True
        tried: Case = {}

        def holds(case: Case) -> None:
            tried.clear()
            tried.update(case)
            self._run(sut, case)

        holds.__annotations__["case"] = f"{self.id} of {sut.name}"  # part of Hypothesis's database key
        test = given(self.case(sut))(holds)
        if chosen.derandomize:
            test = seed(zlib.crc32(self.id.encode()))(test)  # the same cases even after an edit of the body
        try:
            self._limit(chosen)(test)()
        except LawBroken as broken:
            failed = failed_call(getattr(sut, "first_calls", ()))
            if failed and (failed[0].decides_all or type(failed[1]) is type(broken.__cause__)):
                raise FirstCallFailed(*failed, self, sut) from failed[1]
            raise self._locate(broken, sut, tried) from broken.__cause__
        except FlakyFailure:
            unsteady = LawBroken(
                "it failed, but passed when run again on the very same case", "one result for one case"
            )
            raise self._locate(unsteady, sut, tried) from None

    def replay(self, sut: UnderTest, **case: Any) -> None:
        """Check the law on this one case."""
        __tracebackhide__ = True
        try:
            self._run(sut, case)
        except LawBroken as broken:
            raise self._locate(broken, sut, case) from broken.__cause__

    def _run(self, sut: UnderTest, case: Case) -> None:
        """Run the body without NumPy's warnings, since laws check results; an exception of the object fails the law.

        The body gets a copy of the case: an object that writes to its input must not change the report or other cases.
        """
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # such as "Mean of empty slice"
                self.body(sut, **copy.deepcopy(case))
        except (LawBroken, HypothesisException):
            raise
        except Exception as error:
            raise LawBroken(f"{type(error).__name__}: {error}", "no exception") from error

    def _locate(self, broken: LawBroken, sut: UnderTest, case: Case) -> LawBroken:
        """The same finding, with its law, object and case."""
        return LawBroken(broken.observed, broken.expected, broken.policy, law=self, sut=sut, case=case)

    def _limit(self, chosen: settings) -> settings:
        """The profile's settings, limited by this law's examples and shrinking."""
        examples = min(chosen.max_examples, self.examples or chosen.max_examples)
        phases = [phase for phase in chosen.phases if self.shrink or phase not in (Phase.shrink, Phase.explain)]
        return settings(chosen, max_examples=examples, phases=phases)

    def without_shrinking(self) -> "Law":
        """The same law, which stops at the first failing case: for expected failures."""
        return dataclasses.replace(self, shrink=False)


def law(
    id: str,
    title: str,
    *,
    area: Area,
    case: Callable[[Any], st.SearchStrategy[Case]],
    level: Level = "exact",
    needs: tuple[str, ...] = (),
    mutants: tuple[str, ...] = (),
    cites: tuple[str, ...] = (),
    examples: int | None = None,
) -> Callable[[Callable[..., None]], Law]:
    """Make a Law from a body, whose docstring is the law's statement.  Nothing is registered."""

    def make(body: Callable[..., None]) -> Law:
        return Law(
            id=id,
            title=title,
            statement=inspect.cleandoc(body.__doc__ or ""),
            area=area,
            case=case,
            body=body,
            level=level,
            needs=frozenset(needs),
            mutants=mutants,
            cites=cites,
            examples=examples,
        )

    return make


def cases(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Case]:
    """A strategy of cases from one strategy per argument of the body."""
    return st.fixed_dictionaries(strategies).map(lambda case: {name: case[name] for name in strategies})
