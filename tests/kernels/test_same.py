"""Every kernel keeps the laws of its op, and agrees with it: nobody has to name it here.

The dtype of a kernel is that of its row in the table; its cases are those of its op.
"""

from dataclasses import replace

import numpy as np
import pytest

from tests.ops.cases import CASES
from tinygrad_gpt import laws, ops
from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.kernels import FASTER, fastest, reference_only
from tinygrad_gpt.optim.adamw import adamw_step
from tinygrad_gpt.tape import Tensor


def claims(op, module, dtype, kernel):
    """The cases of an op, for a kernel of one dtype."""
    for sut in CASES[op.__name__]:
        if sut.op is op:  # cases around an op's wrappers have no kernel of their own
            yield replace(sut, name=f"{sut.name}-{module}-{dtype}", op=kernel, original=op, dtypes=(dtype,))


def rows(table):
    """What the laws are checked on: rows for NumPy's arrays.  tests/cuda has those for CuPy's."""
    found = [(row, kernel) for row, kernel in table.items() if row[0] in ops.EVERY and row[1] == "numpy"]
    return [sut for (op, module, dtype), kernel in found for sut in claims(op, module, dtype, kernel)]


@laws.parametrize_with_laws(rows(FASTER))
def test_law(sut, law):
    law.check(sut)


def test_what_is_no_op_is_the_optimizers_step():
    assert {row[0] for row in FASTER if row[0] not in ops.EVERY and row[1] == "numpy"} == {
        adamw_step
    }  # tests/optim/test_adamw_kernel.py


# ---- the test tests: a kernel made up for it


def square_root(x: Array) -> tuple[Array, Vjp]:
    y = np.exp(0.5 * np.log(x))
    return y, lambda dy: (np.float32(0.5) * dy / y,)


def square_root_of_half_the_slope(x: Array) -> tuple[Array, Vjp]:
    y, vjp = square_root(x)
    return y, lambda dy: (vjp(dy)[0] / 2,)


@laws.parametrize_with_laws(rows({(ops.sqrt, "numpy", "float32"): square_root}))
def test_a_right_kernel_passes(sut, law):
    law.check(sut)


def test_a_wrong_kernel_is_found():
    (sut,) = rows({(ops.sqrt, "numpy", "float32"): square_root_of_half_the_slope})
    with pytest.raises(laws.LawBroken, match="gradient 0"):
        laws.find("E11").check(sut)


def test_the_table_decides_by_op_module_and_dtype(monkeypatch):
    monkeypatch.setitem(FASTER, (ops.sqrt, "numpy", "float32"), square_root)
    single, double = np.ones(1, np.float32), np.ones(1)
    assert fastest(ops.sqrt, single) is square_root
    assert fastest(ops.sqrt, double) is ops.sqrt
    assert fastest(ops.exp, single) is ops.exp
    with reference_only():
        assert fastest(ops.sqrt, single) is ops.sqrt
    assert fastest(ops.sqrt, single) is square_root


def test_the_tape_takes_the_kernel(monkeypatch):
    def kernel(x):
        return x * 0 + 7, lambda dy: (dy * 11,)

    monkeypatch.setitem(FASTER, (ops.sqrt, "numpy", "float32"), kernel)
    x = Tensor(np.ones(1, np.float32), requires_grad=True)
    y = x.sqrt()
    y.backward()
    assert (y.data, x.grad) == ([7], [11])
