"""Masks drawn on the device are the host's, bit for bit."""

import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinygrad_gpt import ops
from tinygrad_gpt.kernels import cuda
from tinygrad_gpt.kernels.cuda import precision
from tinygrad_gpt.laws.strategies import normal, seeds
from tinygrad_gpt.nn.dropout import DropoutSites
from tinygrad_gpt.rng import Dropout, Purpose, philox_words
from tinygrad_gpt.tape import Tensor, apply

DRAWN = settings(suppress_health_check=list(HealthCheck))
SHAPES = st.sampled_from([(1,), (3, 1), (2, 5), (1, 16), (3, 31), (2, 3, 11), (1, 2, 5, 7), (2, 4099)])
RATES = st.sampled_from([0.1, 0.5, 1 / 3, 1e-6, 0.99999])
PLACES = st.fixed_dictionaries(
    {"seed": seeds(), "step": st.integers(0, 2**63), "first_row": st.sampled_from([0, 1, 7, 2**40])}
)


@DRAWN
@given(
    place=PLACES, site=st.integers(0, 2**40), shape=SHAPES, rate=RATES, dtype=st.sampled_from(["float32", "float64"])
)
def test_a_mask_has_the_hosts_bits(place, site, shape, rate, dtype, device):
    masks = Dropout(**place)
    like = device.asarray(np.zeros(1, dtype))
    mask = device.get(cuda.draw_mask(masks.lazy_mask(site, shape, rate), like))
    assert mask.dtype == dtype
    assert mask.tobytes() == masks.mask(site, shape, rate, dtype).tobytes()


@DRAWN
@given(seed=seeds(), entry=st.integers(0, 63))
def test_an_entry_is_kept_below_the_bound_and_not_at_it(seed, entry, device):
    lanes = philox_words(seed, Purpose.DROPOUT, step=1, count=16).view(np.uint16)
    bound = max(1, int(lanes[entry]))  # an entry has just these bits
    lazy = Dropout(seed, 1).lazy_mask(0, (1, 64), 1 - bound / 2**16)
    mask = device.get(cuda.draw_mask(lazy, device.asarray(np.zeros(1, np.float32))))
    assert lazy.kept == bound
    assert (mask[0] > 0).tolist() == (lanes < bound).tolist()


@DRAWN
@given(place=PLACES, shape=SHAPES, rate=RATES, seed=seeds())
def test_dropping_is_multiplying_by_that_mask(place, shape, rate, seed, device):
    masks = Dropout(**place)
    x, dy = (normal(seed + i, shape).astype(np.float32) for i in (0, 1))
    x.flat[0] = -0.0
    mask = masks.mask(5, shape, rate, np.float32)
    y, vjp = cuda.dropout(device.asarray(x), masks.lazy_mask(5, shape, rate))
    dx, nothing = vjp(device.asarray(dy))
    assert nothing is None
    assert device.get(y).tobytes() == (x * mask).tobytes()
    assert device.get(dx).tobytes() == (dy * mask).tobytes()


def test_more_rows_than_a_grid_has_blocks(device, monkeypatch):
    monkeypatch.setattr(sys.modules["tinygrad_gpt.kernels.cuda.dropout"], "_MAX_BLOCKS", 2)
    masks, shape = Dropout(3, 4), (5, 20)
    x = normal(0, shape).astype(np.float32)
    mask = masks.mask(0, shape, 0.3, np.float32)
    assert device.get(cuda.draw_mask(masks.lazy_mask(0, shape, 0.3), device.asarray(x))).tobytes() == mask.tobytes()
    y, _ = cuda.dropout(device.asarray(x), masks.lazy_mask(0, shape, 0.3))
    assert device.get(y).tobytes() == (x * mask).tobytes()


def test_bfloat16_is_rounded_once(device):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    masks, shape = Dropout(1, 2), (3, 50)
    x = normal(0, shape).astype(ml_dtypes.bfloat16)
    y, _ = cuda.dropout(device.asarray(x), masks.lazy_mask(0, shape, 0.2))
    want = (x.astype(np.float32) * masks.mask(0, shape, 0.2, np.float32)).astype(ml_dtypes.bfloat16)
    assert device.get(y).tobytes() == want.tobytes()


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0), (3, 2, 0)], ids=str)
@pytest.mark.parametrize("by_name", [True, False])
def test_nothing_is_dropped_from_nothing(shape, by_name, device):
    masks, x = Dropout(0, 1), device.asarray(np.ones(shape, np.float32))
    described = masks.lazy_mask(0, shape, 0.1)
    y, vjp = cuda.dropout(x, described if by_name else cuda.draw_mask(described, x))
    assert y.shape == vjp(x)[0].shape == shape


def test_a_mask_of_another_shape_is_refused(device):
    with pytest.raises(ValueError, match="mask must have x's shape"):
        apply(ops.dropout, device.asarray(np.ones((2, 3), np.float32)), Dropout(0, 1).lazy_mask(0, (3, 2), 0.1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_layer_drops_the_same_units_on_either_device(dtype, device):
    x = normal(0, (2, 3, 8)).astype(dtype)
    drops = [DropoutSites(Dropout(9, 3, first_row=2), 0.4, first_site=6) for _ in range(2)]
    for site in (6, 7):
        here = drops[0](Tensor(x)).data
        device.transfers.clear()
        there = drops[1](Tensor(device.asarray(x))).data
        assert device.transfers == []
        assert device.get(there).tobytes() == here.tobytes()
        assert here.tobytes() == (x * Dropout(9, 3, first_row=2).mask(site, x.shape, 0.4, dtype)).tobytes()


def test_what_runs_as_no_kernel_gets_the_mask_itself(device):
    drop = DropoutSites(Dropout(0, 1), 0.5)
    like = Tensor(device.asarray(np.zeros((2, 3))))  # float64
    mask = drop.mask(ops.dropout, (2, 3), like)
    assert device.get(mask).tobytes() == Dropout(0, 1).mask(0, (2, 3), 0.5, np.float64).tobytes()
    with precision("float32"):
        assert not hasattr(drop.mask(ops.dropout, (2, 3), Tensor(device.asarray(np.zeros((2, 3), np.float32)))), "data")
