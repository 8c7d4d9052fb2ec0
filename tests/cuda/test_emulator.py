"""The emulator runs what is right as CUDA would, and notices what is wrong."""

import numpy as np
import pytest

from tests.cuda.emulator.emulator import SCHEDULES, EmulatedKernelError, Emulator
from tinygrad_gpt.kernels.cuda import launcher
from tinygrad_gpt.kernels.cuda.launcher import launch
from tinygrad_gpt.kernels.cuda.precision import bfloat16

DEFINES = {"T": "float", "SHIFT": 0.5}


@pytest.fixture(autouse=True)
def texts(monkeypatch, device, request):
    monkeypatch.setattr(launcher, "FOLDER", request.path.parent / "texts")


def run(device, kernel, x, entries=None, dtype=np.float32, block=64, file="wrong.cu", **options):
    """y of kernel(x, y, n), under the current schedule."""
    x = device.asarray(np.asarray(x, np.float32))
    y = device.xp.empty(x.size if entries is None else entries, dtype)
    launch(file, kernel, x, y, x.size, grid=1, block=block, **options)
    return device.get(y)


def test_threads_share_memory_and_barriers(device):
    x = np.arange(70, dtype=np.float32)
    for schedule in SCHEDULES:
        with device.schedule(schedule):
            y = device.xp.empty(70, np.float32)
            launch("right.cu", "reversed", device.asarray(x), y, 3, 70, grid=3, block=32, defines=DEFINES)
            padded = np.append(x, np.zeros(26, np.float32)).reshape(3, 32)
            assert device.get(y).tolist() == (3 * padded[:, ::-1]).reshape(-1)[:70].tolist()


def test_shuffles_votes_and_counts(device):
    x = np.random.default_rng(0).integers(-9, 9, 150).astype(np.float32)
    for schedule in SCHEDULES:
        with device.schedule(schedule):
            y, positive = device.xp.empty(3, np.float32), device.xp.empty(3, np.int32)
            launch("right.cu", "block_sums", device.asarray(x), y, positive, 150, grid=3, block=64, defines=DEFINES)
            parts = np.append(x, np.zeros(42, np.float32)).reshape(3, 64)
            assert device.get(y).tolist() == parts.sum(1).tolist()
            assert device.get(positive).tolist() == (parts > 0).sum(1).tolist()


def test_bfloat16_is_rounded_as_ml_dtypes_does(device):
    pytest.importorskip("ml_dtypes")
    x = np.concatenate([np.random.default_rng(1).standard_normal(500), [0, -0.0, 3e38, np.inf, -np.inf, np.nan, 1e-40]])
    x = x.astype(np.float32)
    y = device.xp.empty(x.size, bfloat16())
    with np.errstate(over="ignore"):
        want = (2 * x + np.float32(0.5)).astype(bfloat16())
    options = {"grid": 8, "block": 64, "defines": {"T": "__nv_bfloat16", "SHIFT": 0.5}}
    launch("right.cu", "stored", device.asarray(x), y, x.size, **options)
    np.testing.assert_array_equal(device.get(y).astype(np.float32), want.astype(np.float32))


X = np.linspace(1, 2, 64, dtype=np.float32)


def test_a_write_outside_is_found(device):
    with pytest.raises(AssertionError, match=r"writes_beyond wrote outside of an array of 256 bytes"):
        run(device, "writes_beyond", X, block=128)


def test_a_read_outside_spoils_the_result(device):
    assert np.isnan(run(device, "reads_beyond", X)).tolist() == [False] * 63 + [True]


@pytest.mark.parametrize("kernel", ["races", "overwrites_early", "adds_in_any_order"])
def test_a_race_gives_other_bits(kernel, device):
    found = set()
    for schedule in SCHEDULES:
        with device.schedule(schedule):
            entries = 1 if kernel == "adds_in_any_order" else None
            found.add(run(device, kernel, X**7, entries).tobytes())
    assert len(found) > 1


def test_warps_in_step_hide_a_tile_overwritten_early(device):
    found = []
    for schedule in SCHEDULES:
        with device.schedule(schedule):
            found.append(run(device, "overwrites_early", X).tobytes())
    assert found[0] == found[1]
    assert found[2] != found[0]


@pytest.mark.parametrize(
    ("kernel", "problem"),
    [
        ("waits_for_some", "deadlock"),
        ("loads_misaligned", r"misaligned access at wrong.cu:\d+"),
        ("leaves_its_array", r"index out of bounds at wrong.cu:\d+; block \(0, 0, 0\), thread \(63, 0, 0\)"),
        ("shuffles_with_the_gone", "a shuffle read from a lane that has returned"),
    ],
)
def test_a_mistake_is_told(kernel, problem, device):
    with pytest.raises(EmulatedKernelError, match=f"{kernel}: {problem}"):
        run(device, kernel, X)


def test_shared_memory_holds_nan_before_it_is_written(device):
    run(device, "races", X)  # leaves numbers there
    assert np.isnan(run(device, "reads_what_nobody_wrote", X)).tolist() == [False] * 32 + [True] * 32


def test_text_that_is_no_cuda_is_refused(device):
    with pytest.raises(SyntaxError, match="undefined_name"):
        Emulator().raw_module('extern "C" __global__ void f() { int x = undefined_name; }', ())
