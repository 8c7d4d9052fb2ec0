"""Time on a GPU: events, which the GPU itself stamps when it comes to them.

Everybody works on the one default stream, so an event of CuPy's also times what PyTorch has asked for in its process.
"""

import statistics
from collections.abc import Callable
from functools import cached_property
from typing import Any

from benchmarks.cuda.arrays import cupy
from tinygrad_gpt.backend import synchronize

Call = Callable[[], Any]
OCCUPIED_BY = 20  # copies of half a gigabyte: some seven milliseconds of an H100's


class CupyClock:
    """Through CuPy.  Raises UnavailableDeviceError without a GPU."""

    def __init__(self) -> None:
        self.cupy = cupy()

    def mark(self) -> Any:
        """An event, behind all that has been asked for so far."""
        event = self.cupy.cuda.Event()
        event.record()
        return event

    def seconds(self, start: Any, stop: Any) -> float:
        """Between two events.  Waits for the second."""
        stop.synchronize()
        return float(self.cupy.cuda.get_elapsed_time(start, stop)) / 1000

    def wait(self) -> None:
        """Until the GPU has nothing left to do."""
        synchronize()

    def memory(self) -> int:
        """Bytes in use on the GPU, by whatever."""
        free, total = self.cupy.cuda.runtime.memGetInfo()
        return int(total - free)

    def occupy(self) -> None:
        """Give the GPU work of some milliseconds."""
        source, target = self.half_gigabytes
        for _ in range(OCCUPIED_BY):
            self.cupy.copyto(target, source)

    @cached_property
    def half_gigabytes(self) -> tuple[Any, Any]:
        """Two arrays."""
        return self.cupy.zeros(2**27, "float32"), self.cupy.zeros(2**27, "float32")


class TorchClock:
    """The same through PyTorch, in a process without CuPy."""

    def __init__(self) -> None:
        import torch

        self.cuda: Any = torch.cuda

    def mark(self) -> Any:
        """An event, behind all that has been asked for so far."""
        event = self.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, start: Any, stop: Any) -> float:
        """Between two events.  Waits for the second."""
        stop.synchronize()
        return float(start.elapsed_time(stop)) / 1000

    def wait(self) -> None:
        """Until the GPU has nothing left to do."""
        self.cuda.synchronize()

    def memory(self) -> int:
        """Bytes in use on the GPU, by whatever."""
        free, total = self.cuda.mem_get_info()
        return int(total - free)


Clock = CupyClock | TorchClock


WARM_UP = 3  # calls that compile, choose algorithms, fill pools of memory


def seconds_of(clock: CupyClock, call: Call, rounds: int) -> float:
    """The GPU's time for what a call asks of it, median.

    The GPU is kept busy while the host asks, so that it need not wait for the host in between; and the copies that keep
    it busy leave nothing in its cache for the call to find.
    """
    for _ in range(WARM_UP):
        call()
    times = []
    for _ in range(rounds):
        clock.occupy()
        start = clock.mark()
        call()
        times.append(clock.seconds(start, clock.mark()))
    return statistics.median(times)


def seconds_each(clock: Clock, step: Call, rounds: int, in_a_row: int) -> list[float]:
    """Of each round, seconds per step: several are asked for one after the other, as in training."""
    for _ in range(WARM_UP):
        step()
    times = []
    for _ in range(rounds):
        clock.wait()
        start = clock.mark()
        for _ in range(in_a_row):
            step()
        times.append(clock.seconds(start, clock.mark()) / in_a_row)
    return times
