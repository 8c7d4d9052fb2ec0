"""Check an object by all laws of its area, and report the result of each."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import settings

from tinygrad_gpt.laws.catalogue import laws_of
from tinygrad_gpt.laws.law import FirstCallFailed, Law, LawBroken, UnderTest
from tinygrad_gpt.laws.profiles import default_profile, settings_for
from tinygrad_gpt.laws.source import assignments
from tinygrad_gpt.laws.statistics import BUDGET, false_alarm

Status = Literal["held", "broken", "skipped", "expected failure", "unexpected pass", "error", "not checked"]
_FAILING: frozenset[Status] = frozenset({"broken", "unexpected pass", "error", "not checked"})


@dataclass(frozen=True)
class Result:
    """The result of one law: its status and, unless it passed, why."""

    law: Law
    status: Status
    reason: str = ""  # the missing capability, the declared reason, or the error
    broken: LawBroken | None = None

    @property
    def line(self) -> str:
        """One line of a text report."""
        return f"{self.status:<16} {self.law.id}  {self.law.title}" + (f"  ({self.reason})" if self.reason else "")

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        about = {"id": self.law.id, "title": self.law.title, "statement": self.law.statement, "level": self.law.level}
        found = self.broken and {
            "example": assignments(self.broken.case),
            "observed": self.broken.observed,
            "expected": self.broken.expected,
            "policy": self.broken.policy_in_force(),
            "replay": self.broken.replay(),
        }
        return about | {"status": self.status, "reason": self.reason} | (found or {})


@dataclass(frozen=True)
class Report:
    """The results of one object under one profile."""

    sut: UnderTest
    profile: str
    results: tuple[Result, ...]
    false_alarm: float = 0.0  # an upper bound of the chance that a correct object failed a law that counts random draws

    @property
    def ok(self) -> bool:
        """Whether all laws passed, were skipped, or failed as expected."""
        return not self.bad

    @property
    def bad(self) -> tuple[Result, ...]:
        """The results that need attention."""
        return tuple(result for result in self.results if result.status in _FAILING)

    @property
    def summary(self) -> str:
        """One line: how many laws of each status."""
        statuses = [result.status for result in self.results]
        counts = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
        return f"{self.sut.name} ({self.sut.area}, profile {self.profile}): {counts or 'no laws'}"

    @property
    def budget(self) -> list[str]:
        """The chance of a false alarm, in a line, if laws that count random draws were checked."""
        if not self.false_alarm:
            return []
        return [
            "",
            f"A correct object fails by chance in at most {self.false_alarm:.0e} of runs (budget {BUDGET:.0e}).",
        ]

    @property
    def findings(self) -> list[str]:
        """Every failed law in full, and each failed first call once."""
        return list(dict.fromkeys(str(r.broken) for r in self.results if r.status in ("broken", "not checked")))

    def __str__(self) -> str:
        """Text for a terminal: a line per law, then every finding in full."""
        lines = [result.line for result in self.results] + self.budget
        return "\n".join([self.summary, "", *lines, *(f"\n{finding}" for finding in self.findings)])

    def markdown(self) -> str:
        """A table of laws, then every finding in full."""
        rows = [f"| {r.law.id} | {r.law.title} | {r.status} | {_result_cell(r)} |" for r in self.results]
        details = [f"\n```text\n{finding}\n```" for finding in self.findings]
        head = [
            f"## {self.summary}",
            "",
            "| law | what | status | smallest case, or why |",
            "| --- | --- | --- | --- |",
        ]
        return "\n".join([*head, *rows, *self.budget, *details]) + "\n"

    def json(self) -> str:
        """One object: sut, area, profile, ok, false_alarm, false_alarm_budget, laws."""
        laws = [result.as_dict() for result in self.results]
        about = {"sut": self.sut.name, "area": self.sut.area, "profile": self.profile, "ok": self.ok}
        chance = {"false_alarm": self.false_alarm, "false_alarm_budget": BUDGET} if self.false_alarm else {}
        return json.dumps(about | chance | {"laws": laws}, indent=2)

    def raise_if_bad(self) -> None:
        """Raise AssertionError with the summary and every finding."""
        if self.bad:
            others = [r.line for r in self.bad if r.broken is None]
            raise AssertionError("\n\n".join([self.summary, *self.findings, *others]))


def _result_cell(result: Result) -> str:
    """A result's last column in the Markdown table."""
    if result.broken is None or result.status != "broken":
        return result.reason
    return "`" + assignments(result.broken.case).replace("\n", "; ").replace("|", "\\|") + "`"


def check(
    sut: UnderTest,
    *,
    profile: str | settings | None = None,
    on_fail: Literal["raise", "report"] = "raise",
    only: Iterable[str] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Report:
    """Check every law of the object's area, or only those with these ids.

    expected_failures: law id -> the reason why it fails.  Such a law must fail; if it passes, that is a finding too.
    on_fail="raise" raises AssertionError with all findings after all laws were tried.
    """
    if on_fail not in ("raise", "report"):
        raise ValueError(f"on_fail must be 'raise' or 'report'; got {on_fail!r}")
    laws = laws_of(sut, only)
    reasons = require_reasons(sut, laws, expected_failures or {})
    results = tuple(_result_of(law, sut, profile, reasons.get(law.id)) for law in laws)
    name = profile if isinstance(profile, str) else default_profile() if profile is None else "given settings"
    checked = [result.law for result in results if result.status != "skipped"]
    report = Report(sut, name, results, false_alarm(checked, settings_for(profile).max_examples))
    if on_fail == "raise":
        report.raise_if_bad()
    return report


check_sampler = check_op = check_engine = check_model = check  # other names of check, from before it knew the areas
check_loss = check_optimizer = check_data = check_checkpoint = check


def require_reasons(sut: UnderTest, laws: Iterable[Law], reasons: Mapping[str, str]) -> Mapping[str, str]:
    """The expected failures.  Raises ValueError for one without a reason or of a law that is not checked."""
    checked = {law.id for law in laws if law.applies_to(sut)}
    for id, reason in reasons.items():
        if id not in checked:
            raise ValueError(f"expected_failures names {id}, which is not checked on {sut.name}")
        if not reason.strip():
            raise ValueError(f"expected_failures needs a reason why {id} fails on {sut.name}; got {reason!r}")
    return reasons


def _result_of(law: Law, sut: UnderTest, profile: str | settings | None, expected: str | None) -> Result:
    """Check one law; expected is the reason why it should fail, or None."""
    if not law.applies_to(sut):
        return Result(law, "skipped", f"needs {', '.join(sorted(law.missing(sut)))}")
    try:
        (law.without_shrinking() if expected else law).check(sut, profile)
    except FirstCallFailed as failed:
        return Result(law, "expected failure" if expected else "not checked", expected or failed.line, failed)
    except LawBroken as broken:
        return Result(law, "expected failure" if expected else "broken", expected or "", broken)
    except Exception as error:  # the law itself has a fault: report it, and go on with the others
        return Result(law, "error", f"{type(error).__name__}: {error}")
    return Result(law, "unexpected pass", f"expected to fail: {expected}") if expected else Result(law, "held")
