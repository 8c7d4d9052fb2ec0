"""Every kernel keeps the laws of its op, and agrees with it: nobody has to name it here.

The dtype of a kernel is that of its row in the table; its cases are those of its op.
"""

from dataclasses import replace

import numpy as np
import pytest

from tests.kernels.rows import run
from tests.ops.cases import CASES
from tinygrad_gpt import laws, ops
from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.kernels import KERNELS, Kernel, dispatch, reference_only
from tinygrad_gpt.ops.adamw import adamw_update
from tinygrad_gpt.ops.norms import total_of_squares
from tinygrad_gpt.tape import Tensor


def claims(op, module, dtype, kernel):
    """The cases of an op, for a kernel of one dtype."""
    for sut in CASES[op.__name__]:
        if sut.op is op:  # cases around an op's wrappers have no kernel of their own
            yield replace(sut, name=f"{sut.name}-{module}-{dtype}", op=kernel, original=op, dtypes=(dtype,))


def rows(kernels):
    """What the laws are checked on: rows for NumPy's arrays.  tests/cuda has those for CuPy's."""
    found = [row for row in kernels if row.op in ops.ALL_OPS and row.module == "numpy"]
    return [sut for row in found for sut in claims(row.op, row.module, row.dtype, run(row))]


@laws.parametrize_with_laws(rows(KERNELS.values()))
def test_law(sut, law):
    law.check(sut)


def test_functions_without_a_vjp_are_those_of_optimizer_and_cache():
    without = {op for op, module, _ in KERNELS if op not in ops.ALL_OPS and module == "numpy"}
    assert without == {adamw_update, total_of_squares}  # tests/optim


# ---- the test tests: a kernel made up for it


def square_root(x: Array) -> tuple[Array, Vjp]:
    y = np.exp(0.5 * np.log(x))
    return y, lambda dy: (np.float32(0.5) * dy / y,)


def square_root_of_half_the_slope(x: Array) -> tuple[Array, Vjp]:
    y, vjp = square_root(x)
    return y, lambda dy: (vjp(dy)[0] / 2,)


@laws.parametrize_with_laws(rows([Kernel(ops.sqrt, "numpy", "float32", square_root)]))
def test_a_right_kernel_passes(sut, law):
    law.check(sut)


def test_a_wrong_kernel_is_found():
    (sut,) = rows([Kernel(ops.sqrt, "numpy", "float32", square_root_of_half_the_slope)])
    with pytest.raises(laws.LawBroken, match="gradient 0"):
        laws.find("E11").check(sut)


def put(monkeypatch, row):
    monkeypatch.setitem(KERNELS, (row.op, row.module, row.dtype), row)


def test_a_row_decides_by_shapes_and_settings(monkeypatch):
    def accepts(x, *, scale=1.0):
        return x.size > 1 and scale == 1

    put(monkeypatch, Kernel(ops.sqrt, "numpy", "float32", square_root, accepts))
    one, two = np.ones(1, np.float32), np.ones(2, np.float32)
    assert dispatch(ops.sqrt, two) is square_root
    assert dispatch(ops.sqrt, one) is ops.sqrt
    assert dispatch(ops.sqrt, two, scale=2.0) is ops.sqrt


def test_the_table_decides_by_op_module_and_dtype(monkeypatch):
    put(monkeypatch, Kernel(ops.sqrt, "numpy", "float32", square_root))
    single, double = np.ones(1, np.float32), np.ones(1)
    assert dispatch(ops.sqrt, single) is square_root
    assert dispatch(ops.sqrt, double) is ops.sqrt
    assert dispatch(ops.exp, single) is ops.exp
    with reference_only():
        assert dispatch(ops.sqrt, single) is ops.sqrt
    assert dispatch(ops.sqrt, single) is square_root


def test_the_tape_takes_the_kernel(monkeypatch):
    def kernel(x):
        return x * 0 + 7, lambda dy: (dy * 11,)

    put(monkeypatch, Kernel(ops.sqrt, "numpy", "float32", kernel))
    x = Tensor(np.ones(1, np.float32), requires_grad=True)
    y = x.sqrt()
    y.backward()
    assert (y.data, x.grad) == ([7], [11])
