"""Every reference op keeps CuPy's rules: it runs on the stand-in, gives NumPy's bits, and reads nothing back."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cuda.standin import Transfer
from tests.ops.cases import CASES
from tests.ops.test_float16 import CASES as NARROW
from tinygrad_gpt import ops
from tinygrad_gpt.laws.strategies import normal, seeds

CLAIMED = [
    pytest.param(sut, id=sut.name)
    for op in ops.ALL_OPS
    for sut in CASES[op.__name__]
    if sut.name != "power-whole"  # makes its exponents with NumPy
]
DTYPES = ("float32", "float64")


def cases_of(sut):
    """All that the laws try: smooth places, edges, extremes, kinks."""
    return st.one_of([drawn for drawn in (sut.domain, sut.edges, sut.extremes, sut.kinks) if drawn is not None])


def moved(device, x):
    if isinstance(x, tuple):
        return tuple(moved(device, part) for part in x)
    return device.asarray(x) if isinstance(x, np.ndarray) else x


def counts_a_mask(chosen):
    """An index of bools: how many entries will there be?  That CuPy has to wait for."""
    keys = [key if isinstance(key, tuple) else (key,) for key in chosen.values()]
    return any(isinstance(part, np.ndarray) and part.dtype == bool for key in keys for part in key)


def results(op, arrays, chosen, dy, asarray=np.asarray):
    """y and the gradients; or the error's type."""
    try:
        y, vjp = op(*arrays, **chosen)
        return [y, *vjp(asarray(dy(y)))]
    except (ValueError, IndexError) as error:  # the largest of nothing, for one
        return type(error)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sut", CLAIMED)
@settings(suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_it_gives_numpys_bits_and_waits_for_nothing(sut, dtype, data, device):
    arrays, chosen = data.draw(cases_of(sut))
    arrays = [np.asarray(x, dtype if x.dtype.kind == "f" else None) for x in arrays]
    there, chosen_there = [moved(device, x) for x in arrays], {name: moved(device, x) for name, x in chosen.items()}
    seed = data.draw(seeds())

    def dy(y):
        return np.asarray(normal(seed, y.shape), y.dtype)

    device.transfers.clear()
    with np.errstate(all="ignore"):
        wanted = results(sut.op, arrays, chosen, dy)
        found = results(sut.op, there, chosen_there, dy, device.asarray)
    assert set(device.transfers) <= ({Transfer("wait", 0)} if counts_a_mask(chosen) else set())
    if isinstance(wanted, type):
        assert found is wanted
        return
    for got, want in zip(found, wanted, strict=True):
        assert (got is None) == (want is None)
        if want is not None:
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            assert same(sut, device.get(got), np.ascontiguousarray(want))


def same(sut, got, want):
    """The same bits; but a table's gradient is summed in another order."""
    return np.allclose(got, want, rtol=1e-6, atol=1e-5) if sut.gathers else got.tobytes() == want.tobytes()


@pytest.mark.parametrize("name", NARROW)
def test_numbers_of_16_bits_are_added_up_as_numpys_are(name, device):
    op, arrays, settings = NARROW[name]
    there, settings_there = [moved(device, x) for x in arrays], {k: moved(device, v) for k, v in settings.items()}

    def dy(y):
        return np.ones(y.shape, y.dtype)

    want = results(op, arrays, settings, dy)
    got = results(op, there, settings_there, lambda y: dy(device.get(y)), device.asarray)
    for x, z in zip(got, want, strict=True):
        assert (x is None) == (z is None)
        if z is not None:
            np.testing.assert_array_equal(device.get(x), z)
