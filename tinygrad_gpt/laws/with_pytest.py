"""One pytest test per object and law."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tinygrad_gpt.laws.catalogue import laws_of
from tinygrad_gpt.laws.law import Law, LawBroken, UnderTest
from tinygrad_gpt.laws.report import require_reasons


def _no_failures(sut: UnderTest) -> Mapping[str, str]:
    """Nothing is expected to fail."""
    return {}


def parametrize_with_laws(
    suts: Iterable[UnderTest],
    *,
    expected_failures: Callable[[Any], Mapping[str, str]] = _no_failures,
    only: Iterable[str] | None = None,
) -> Any:
    """A decorator for `def test_law(sut, law): law.check(sut)`: every law that applies, ids like book-S13.

    expected_failures(sut) maps law ids to reasons.  Such a law must fail, or its test fails; its case is not shrunk.
    Raises ValueError for an empty reason or a law that is not checked on the object.
    """
    import pytest

    wanted = None if only is None else list(only)
    tests = []
    for sut in suts:
        laws = laws_of(sut, wanted)
        reasons = require_reasons(sut, laws, expected_failures(sut))
        for law in laws:
            if not law.applies_to(sut):
                continue
            expected = law.id in reasons
            marks = [pytest.mark.xfail(reason=reasons[law.id], strict=True, raises=LawBroken)] if expected else []
            chosen: Law = law.without_shrinking() if expected else law
            tests.append(pytest.param(sut, chosen, id=f"{sut.name}-{law.id}", marks=marks))
    return pytest.mark.parametrize(("sut", "law"), tests)
