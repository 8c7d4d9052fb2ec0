"""The adapter for HIPS autograd, on functions of its own, under the claims that are made of ours."""

from dataclasses import replace

import numpy as np
import pytest

from tests.ops.cases import CASES
from tinygrad_gpt import laws
from tinygrad_gpt.laws.adapters import autograd_op

autograd = pytest.importorskip("autograd")
anp = pytest.importorskip("autograd.numpy")

FUNCTIONS = {"multiply": anp.multiply, "tanh": anp.tanh, "embedding": lambda table, ids: table[ids]}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_autograd_keeps_the_laws(case):
    theirs = autograd_op(FUNCTIONS[case])
    laws.check_op(replace(CASES[case][0], name=f"autograd-{case}", op=theirs.op, mixes=False))


def test_a_wrong_gradient_is_found():
    @autograd.extend.primitive
    def square(x):
        return x * x

    autograd.extend.defvjp(square, lambda y, x: lambda dy: dy * x)  # 2 x without its 2
    with pytest.raises(AssertionError, match="G02"):
        laws.check_op(autograd_op(square, reference=np.square), only=["G02"])
