"""Events around what is timed, in the right order, in seconds."""

import operator
import sys
from types import ModuleType, SimpleNamespace

import pytest

from benchmarks.cuda import clock, page


class Recorder:
    """Writes down what a GPU is asked."""

    def __init__(self):
        self.asked = []

    def mark(self):
        self.asked.append("mark")
        return len(self.asked)

    def seconds(self, start, stop):
        assert start < stop
        return (stop - start) / 10

    def occupy(self):
        self.asked.append("occupy")

    def wait(self):
        self.asked.append("wait")


def test_a_call_is_timed_while_the_device_is_busy():
    recorder = Recorder()
    seconds = clock.seconds_of(recorder, lambda: recorder.asked.append("call"), rounds=2)
    assert recorder.asked == ["call"] * clock.WARM_UP + ["occupy", "mark", "call", "mark"] * 2
    assert seconds == 0.2


def test_the_median_counts():
    recorder, seconds = Recorder(), iter([5.0, 1.0, 3.0])
    recorder.seconds = lambda start, stop: next(seconds)
    assert clock.seconds_of(recorder, lambda: None, rounds=3) == 3.0


def test_steps_are_timed_in_a_row():
    recorder = Recorder()
    times = clock.seconds_each(recorder, lambda: recorder.asked.append("step"), rounds=2, in_a_row=3)
    assert recorder.asked == ["step"] * clock.WARM_UP + ["wait", "mark", "step", "step", "step", "mark"] * 2
    assert times == [pytest.approx(0.4 / 3)] * 2


class Event:
    """Of either library: says what is done to it."""

    def __init__(self, done, **settings):
        self.done, self.settings = done, settings

    def record(self):
        self.done.append("record")

    def synchronize(self):
        self.done.append("synchronize")

    def elapsed_time(self, stop):
        self.done.append("elapsed")
        return 250.0


def test_through_cupy(monkeypatch):
    done = []
    runtime = SimpleNamespace(memGetInfo=lambda: (30, 100))
    fake = SimpleNamespace(
        Event=lambda: Event(done), get_elapsed_time=lambda start, stop: start.elapsed_time(stop), runtime=runtime
    )
    monkeypatch.setattr(clock, "cupy", lambda: SimpleNamespace(cuda=fake))
    timer = clock.CupyClock()
    assert timer.seconds(timer.mark(), timer.mark()) == 0.25
    assert done == ["record", "record", "synchronize", "elapsed"]
    assert timer.memory() == 70


def test_through_torch(monkeypatch):
    done, torch = [], ModuleType("torch")
    torch.cuda = SimpleNamespace(
        Event=lambda enable_timing: Event(done, enable_timing=enable_timing),
        synchronize=lambda: done.append("wait"),
        mem_get_info=lambda: (1, 8),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    timer = clock.TorchClock()
    start = timer.mark()
    assert start.settings == {"enable_timing": True}
    assert timer.seconds(start, timer.mark()) == 0.25
    timer.wait()
    assert done == ["record", "record", "synchronize", "elapsed", "wait"]
    assert timer.memory() == 7


@pytest.mark.parametrize(
    "name",
    [
        *("copyto", "zeros", "arange", "cuda.Event", "cuda.get_elapsed_time", "cuda.runtime.memGetInfo"),
        *("cuda.runtime.getDeviceProperties", "cuda.runtime.runtimeGetVersion", "cuda.runtime.driverGetVersion"),
    ],
)
def test_cupy_has_what_it_is_asked_for(name):
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed: nobody to ask")
    assert callable(operator.attrgetter(name)(cupy))


def test_the_device_is_named():
    runtime = SimpleNamespace(
        getDeviceProperties=lambda i: {"name": b"NVIDIA H100 80GB HBM3", "totalGlobalMem": 80 * 2**30},
        runtimeGetVersion=lambda: 13000,
        driverGetVersion=lambda: 12080,
    )
    line = page.described(runtime, "580.159.04")
    assert ", NVIDIA H100 80GB HBM3, 80 GiB, driver 580.159.04 (up to CUDA 12.8); CUDA 13.0; Python 3." in line
    assert ", numpy 2." in line
