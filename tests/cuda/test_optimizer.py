"""AdamW on the device: the same steps, in a few launches, and nothing that the host waits for."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from tests.cuda.conftest import pretended_device
from tests.cuda.emulator.emulator import Emulator
from tinygrad_gpt.kernels import reference_only
from tinygrad_gpt.kernels.cuda.optimizer import send_once
from tinygrad_gpt.laws.strategies import normal
from tinygrad_gpt.optim import AdamW, clip_grad_norm, grad_norm
from tinygrad_gpt.tape import Tensor

SHAPES = {"a": (3, 7), "b": (5,), "c": (), "d": (2, 40), "e": (0, 4), "f": (1,)}


def tensors(move, seed=0):
    """A tensor of each shape with a gradient; `move` takes arrays to where they shall be."""
    found = {}
    for i, (name, shape) in enumerate(SHAPES.items()):
        found[name] = Tensor(move(normal(seed + i, shape).astype(np.float32)), requires_grad=True)
        found[name].grad = move(normal(seed + 50 + i, shape).astype(np.float32))
    return found


def held(optimizer, get):
    """Everything that a step may change, as bytes."""
    arrays = [(p.data, optimizer.m[name], optimizer.v[name]) for name, p in optimizer.parameters.items()]
    return [get(x).tobytes() for group in arrays for x in group], get(optimizer.step_counts).tolist()


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr("tinygrad_gpt.kernels.cuda.optimizer.CHUNK", 8)


@pytest.mark.parametrize("max_norm", [math.inf, 0.1, 1e9])
def test_it_is_the_same_optimizer(max_norm, device, small_chunks):
    ours, theirs = tensors(device.asarray), tensors(np.array)
    optimizer, other = AdamW(ours, lr=0.1), AdamW(theirs, lr=0.1)
    for step in range(4):
        for i, name in enumerate(SHAPES):
            idle = step == 1 and name in "bd"  # no gradient this time: no step
            grad = normal(100 * step + i, SHAPES[name]).astype(np.float32)
            ours[name].grad, theirs[name].grad = (None, None) if idle else (device.asarray(grad), grad)
        norm, want = optimizer.step(0.05, max_norm=max_norm), other.step(0.05, max_norm=max_norm)
        assert float(device.get(norm)) == pytest.approx(want, rel=1e-12)
    for name in SHAPES:
        for got, wanted in (
            (ours[name].data, theirs[name].data),
            (optimizer.m[name], other.m[name]),
            (optimizer.v[name], other.v[name]),
        ):
            np.testing.assert_allclose(device.get(got), wanted, rtol=2e-6, atol=1e-7, err_msg=name)
    assert optimizer.steps == other.steps == dict.fromkeys(SHAPES, 4) | {"b": 3, "d": 3}
    assert {"adamw", "squares_of_chunks", "norm_and_outcome"} == set(device.emulator.launches)
    assert len(device.emulator.launches) == 3 * 4


def test_any_order_of_threads_and_blocks_gives_the_same_bits(device, small_chunks):
    found = []
    for schedule in range(6):
        optimizer = AdamW(tensors(device.asarray), lr=0.1)
        with device.schedule(schedule):
            norm = optimizer.step(max_norm=0.5)
        found.append((held(optimizer, device.get), device.get(norm).tobytes()))
    assert all(one == found[0] for one in found)


def test_chunks_larger_than_a_round_of_a_block(device):
    n = 4 * 256 * 2 + 7
    for start in (0, 1):  # aligned for four at a time, and not
        p, other = (Tensor(x[start:], requires_grad=True) for x in (device.asarray(np.ones(n, np.float32)), np.ones(n)))
        grad = normal(0, (n,)).astype(np.float32)
        p.grad, other.grad = device.asarray(grad)[start:], grad[start:].astype(float)
        norm = AdamW({"p": p}, lr=0.5).step(max_norm=3.0)
        assert float(device.get(norm)) == pytest.approx(AdamW({"p": other}, lr=0.5).step(max_norm=3.0), rel=1e-12)
        np.testing.assert_allclose(device.get(p.data), other.data, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["first", "last", "loss"])
def test_what_is_not_finite_changes_nothing(bad, where, device, small_chunks):
    parameters = tensors(device.asarray)
    optimizer = AdamW(parameters, lr=0.1)
    optimizer.step()
    before = held(optimizer, device.get)
    loss = device.asarray(np.float32(bad if where == "loss" else 1.0))
    grad = parameters["d"].grad if where != "loss" else device.asarray(np.ones(1, np.float32))
    (grad.reshape(-1)[:1] if where == "first" else grad.reshape(-1)[-1:])[...] = bad if where != "loss" else 1
    norm = optimizer.step(max_norm=1.0, loss=loss)
    assert held(optimizer, device.get) == before
    assert math.isfinite(device.get(norm)) == (where == "loss")
    parameters["d"].grad = device.asarray(np.ones(SHAPES["d"], np.float32))
    optimizer.step(loss=device.asarray(np.float32(1)))
    assert optimizer.steps == dict.fromkeys(SHAPES, 2)


def test_a_step_waits_for_nothing_and_sends_its_tables_once(device):
    parameters = tensors(device.asarray)
    optimizer = AdamW(parameters)
    optimizer.step(max_norm=1.0)
    device.transfers.clear()
    optimizer.step(max_norm=1.0)
    assert device.transfers == []  # the same gradients, where they were
    for p in parameters.values():
        p.grad = p.grad + 1
    optimizer.step(max_norm=1.0)
    assert {transfer.kind for transfer in device.transfers} <= {"to device"}
    assert sum(transfer.nbytes for transfer in device.transfers) <= 32 * len(parameters)


def test_gradients_too_large_for_float32_squares_are_clipped(device):
    p = Tensor(device.asarray(np.zeros(2, np.float32)), requires_grad=True)
    p.grad = device.asarray(np.full(2, 1e30, np.float32))
    optimizer = AdamW({"p": p}, lr=0.1)
    norm = optimizer.step(max_norm=1.0)
    assert float(device.get(norm)) == pytest.approx(math.sqrt(2) * 1e30)
    np.testing.assert_allclose(device.get(optimizer.m["p"]), 0.1 / math.sqrt(2), rtol=1e-5)


def test_a_state_goes_from_one_device_to_the_other(device):
    there = AdamW(tensors(device.asarray))
    there.step()
    state = {
        name: {"step": entry["step"], "m": entry["m"].get(), "v": entry["v"].get()}
        for name, entry in there.state().items()
    }
    here, again = AdamW(tensors(np.array)), AdamW(tensors(device.asarray))
    here.load_state(state)
    again.load_state(state)
    assert here.steps == again.steps == there.steps
    for name in SHAPES:
        assert here.m[name].tobytes() == device.get(again.m[name]).tobytes() == device.get(there.m[name]).tobytes()


def test_what_the_kernel_does_not_cover_is_still_right(device):
    """float64 beside float32, a transposed parameter, and kernels switched off: slow, and the same."""
    x, grad = normal(0, (3, 4)).astype(np.float32), normal(1, (3, 4)).astype(np.float32)

    def stepped(move, **layouts):
        parameters = {
            "single": Tensor(move(x), requires_grad=True),
            "double": Tensor(move(x.astype(float)), requires_grad=True),
            "transposed": Tensor(move(x).T, requires_grad=True),
        }
        for name, p in parameters.items():
            p.grad = move(grad.T if name == "transposed" else grad).astype(p.dtype)
        AdamW(parameters, lr=0.1).step()
        return [p.data for p in parameters.values()]

    for got, want in zip(stepped(device.asarray), stepped(np.array), strict=True):
        np.testing.assert_allclose(device.get(got), want, rtol=1e-5, atol=1e-6)
    with reference_only():
        for got, want in zip(stepped(device.asarray), stepped(np.array), strict=True):
            np.testing.assert_allclose(device.get(got), want, rtol=1e-5, atol=1e-6)


def test_the_norm_of_gradients_and_what_clipping_leaves(device, small_chunks):
    ours, theirs = tensors(device.asarray), tensors(np.array)
    assert grad_norm(ours) == pytest.approx(grad_norm(theirs), rel=1e-12)
    assert clip_grad_norm(ours, 0.5) == pytest.approx(clip_grad_norm(theirs, 0.5), rel=1e-12)
    for name in SHAPES:
        np.testing.assert_allclose(device.get(ours[name].grad), theirs[name].grad, rtol=1e-6)
    ours["d"].grad[1, 3] = math.nan
    with pytest.raises(FloatingPointError, match="gradient of d is not finite"):
        grad_norm(ours)


def test_a_learning_rate_may_be_numpys(device):
    found = []
    for kind in (float, np.float64, np.float32):
        optimizer = AdamW(tensors(device.asarray))
        optimizer.step(lr=kind(0.25), max_norm=kind(1))
        found.append(held(optimizer, device.get))
    assert found[0] == found[1] == found[2]


def test_tables_are_sent_anew_for_another_stream(device, monkeypatch):
    """What one stream has sent need not have arrived when another one's kernels look."""
    optimizer = AdamW(tensors(device.asarray))
    optimizer.step()
    for address, anew in ((0, False), (0x500, True), (0x500, False), (0, False)):
        monkeypatch.setattr(device.xp.cuda, "get_current_stream", lambda address=address: SimpleNamespace(ptr=address))
        device.transfers.clear()
        optimizer.step()
        assert bool(device.transfers) == anew


def test_tables_do_not_outlive_their_device():
    if Emulator.missing():
        pytest.skip(Emulator.missing())
    with pretended_device() as device:
        AdamW(tensors(device.asarray)).step()
        assert send_once.cache_info().currsize
    assert not send_once.cache_info().currsize


def test_a_bound_is_positive(device):
    with pytest.raises(ValueError, match="max_norm must be positive; got 0"):
        AdamW(tensors(device.asarray)).step(max_norm=0)
