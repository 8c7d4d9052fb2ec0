"""The adapter for JAX, on functions of its own, under the claims that are made of ours."""

from dataclasses import replace

import pytest
from hypothesis import settings

from tests.ops.cases import CASES
from tinygrad_gpt import laws
from tinygrad_gpt.laws.adapters import jax_op

jax = pytest.importorskip("jax")
jax.numpy.zeros(1)  # jax changes the environment when it first computes

FEW = settings(max_examples=4, deadline=None, database=None)  # every new shape is compiled
FUNCTIONS = {
    "multiply": jax.numpy.multiply,
    "softmax": lambda x, axis: jax.nn.softmax(x, axis),
    "embedding": lambda table, ids: table[ids],
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_jax_keeps_the_laws(case):
    theirs = jax_op(FUNCTIONS[case])
    with jax.enable_x64(True):
        laws.check_op(replace(CASES[case][0], name=f"jax-{case}", op=theirs.op), profile=FEW)
