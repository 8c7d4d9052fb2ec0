"""Every kernel for CuPy keeps the laws of its op and agrees with it, in any order of its threads.

Nobody has to name a kernel here: the table does.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cuda.moving import claims, on
from tests.cuda.odd_shapes import odd_cases
from tests.kernels.rows import run
from tinygrad_gpt import laws, ops
from tinygrad_gpt.kernels import KERNELS
from tinygrad_gpt.kernels.cuda import precision
from tinygrad_gpt.kernels.cuda.precision import bfloat16
from tinygrad_gpt.laws.strategies import normal, seeds

SCHEDULES = range(6)
DRAWN = settings(  # each is run under six schedules
    max_examples=max(3, settings().max_examples // 8), suppress_health_check=list(HealthCheck)
)
TOLERANCE = {"float32": 3e-6, "bfloat16": 2e-2}  # relative, of whole arrays
LEAST = {"float32": 1.0, "bfloat16": 0.05}
FOUND = [row for row in KERNELS.values() if row.module == "cupy" and row.op in ops.ALL_OPS]
ROWS = {(row.op, row.dtype): run(row) for row in FOUND}
NAMED = [pytest.param(op, dtype, kernel, id=f"{op.__name__}-{dtype}") for (op, dtype), kernel in ROWS.items()]


def held_to_laws(rows):
    """The objects of the laws: kernels for float32.  Laws compare with exact references, which bfloat16 cannot meet."""
    found = [(op, dtype, kernel) for (op, dtype), kernel in rows.items() if dtype != "bfloat16"]
    return [replace(sut, op=kernel) for op, dtype, kernel in found for sut in claims(op, dtype)]


@pytest.mark.slow
@laws.parametrize_with_laws(held_to_laws(ROWS))
def test_law(sut, law, device):
    law.check(replace(sut, op=on(device, sut.op)))


@pytest.mark.cuda
@laws.parametrize_with_laws(held_to_laws(ROWS))
def test_law_on_a_gpu(sut, law, gpu):
    law.check(replace(sut, op=on(gpu, sut.op)))


def in_dtype(arrays, dtype):
    """Float arrays as a kernel takes them: in its dtype, or the first alone in bfloat16."""
    first, *rest = (x.astype(np.float32) if x.dtype.kind == "f" else x for x in arrays)
    return [first.astype(bfloat16() if dtype == "bfloat16" else dtype), *rest]


def results(function, arrays, settings, seed):
    """y and the gradients, for a dy drawn from the seed."""
    y, vjp = function(*arrays, **settings)
    dy = np.asarray(normal(seed, y.shape)).astype(y.dtype)
    return [y, *vjp(dy)]


def away(got, want, least):
    """How far apart two arrays are, relative to the size of the second, or to entries of `least` if that is more.

    What goes in is of size 1.  A result much smaller, like the gradient of a layer norm of two, is what is left when
    numbers of size 1 have cancelled, with their roundings.
    """
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    return np.linalg.norm(got - want) / (np.linalg.norm(want) + least * want.size**0.5)


def without_last_digits(x, dtype, start):
    """x with every other number, from `start`, a last digit of the dtype less: as far apart are two right answers."""
    if x.dtype.kind != "f":
        return x
    digit = 2.0**-7 if dtype == "bfloat16" else 2.0**-23
    return x * (1 - digit * (np.arange(x.size) % 2 == start).reshape(x.shape))


@pytest.mark.parametrize(("op", "dtype", "kernel"), NAMED)
@DRAWN
@given(data=st.data())
def test_it_agrees_with_its_op_at_odd_shapes_under_every_schedule(op, dtype, kernel, data, any_device):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    device = any_device
    arrays, chosen = data.draw(odd_cases(op))
    seed, arrays = data.draw(seeds()), in_dtype(arrays, dtype)
    with precision("bfloat16" if dtype == "bfloat16" else "float32"):
        first = results(on(device, kernel), arrays, chosen, seed)
        exact = [x.astype(np.float64) if x.dtype.kind in "fV" else x for x in arrays]
        nearby = [results(op, [without_last_digits(x, dtype, n) for x in exact], chosen, seed) for n in (0, 1)]
        for got, want, *moved in zip(first, results(op, exact, chosen, seed), *nearby, strict=True):
            assert (got is None) == (want is None)
            if want is not None:
                assert got.shape == want.shape
                least = LEAST[dtype]
                room = 4 * max(away(other, want, least) for other in moved)  # what the numbers themselves leave open
                assert away(got, want, least) < TOLERANCE[dtype] + room
        for x, dx in zip(arrays, first[1:], strict=True):
            assert dx is None or dx.dtype == x.dtype
        for schedule in SCHEDULES[1:]:
            with device.schedule(schedule):
                again = results(on(device, kernel), arrays, chosen, seed)
            for a, b in zip(first, again, strict=True):
                assert a is None or a.tobytes() == b.tobytes(), f"other bits under schedule {schedule}: a race"
