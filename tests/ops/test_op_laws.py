"""Every op keeps every law of ops that applies to it.  A new op needs a case, or this module does not import."""

from tests.ops.cases import CASES
from tinygrad_gpt import laws, ops

CLAIMED = [sut for op in ops.ALL_OPS for sut in CASES[op.__name__]]  # KeyError: an op without a case


@laws.parametrize_with_laws(CLAIMED)
def test_law(sut, law):
    law.check(sut)


def test_there_is_no_case_without_an_op():
    assert set(CASES) == {op.__name__ for op in ops.ALL_OPS}
