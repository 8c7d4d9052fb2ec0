"""The tape passes the laws of engines.  Tests of this tape alone are in test_tape.py."""

from dataclasses import replace

from tests.mutants.zoo.small_engine import RIGHT_ENGINE
from tinygrad_gpt import Tensor, laws, no_grad, ownership
from tinygrad_gpt.tape import apply

tape = laws.EngineUnderTest(
    name="tape",
    leaf=lambda array: Tensor(array, requires_grad=True),
    constant=Tensor,
    operations={"add": Tensor.__add__, "multiply": Tensor.__mul__, "tanh": Tensor.tanh, "sum": Tensor.sum},
    backward=Tensor.backward,
    grad=lambda tensor: tensor.grad,
    data=lambda tensor: tensor.data,
    apply=apply,
    no_grad=no_grad,
    second_backward="error",
    saved_writes="undetected",
)


@laws.parametrize_with_laws([tape, RIGHT_ENGINE])
def test_law(sut, law):
    law.check(sut)


@laws.parametrize_with_laws([replace(tape, name="tape-that-counts-no-references")])
def test_law_where_references_are_not_counted(sut, law, monkeypatch):
    monkeypatch.setattr(ownership, "_COUNTS_TELL", False)
    law.check(sut)
