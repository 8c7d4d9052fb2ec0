"""What this GPU can do at best, measured: bytes per second of a large copy, operations per second of large products."""

from dataclasses import dataclass

from benchmarks.cuda.arrays import cupy, numbers, stored
from benchmarks.cuda.clock import CupyClock, seconds_of
from benchmarks.cuda.floors import Floor, gemm
from tinygrad_gpt.kernels import cuda

COPIED = 2**28  # float32 numbers: a gigabyte read, a gigabyte written
SIDE = 8192  # of the square matrices


@dataclass(frozen=True)
class Roof:
    """Bytes per second, and operations per second in each precision."""

    bandwidth: float
    rates: dict[str, float]

    def share(self, floor: Floor, precision: str, seconds: float) -> float:
        """How near this time comes to the floor: 1 is there."""
        return floor.seconds(self.bandwidth, self.rates[precision]) / seconds

    def __str__(self) -> str:
        rates = ", ".join(f"{rate / 1e12:,.0f} in {precision}" for precision, rate in self.rates.items())
        return f"Measured here: a copy {self.bandwidth / 1e12:.2f} TB/s; products of {SIDE}², TFLOP/s: {rates}."


def measured(clock: CupyClock, rounds: int) -> Roof:
    """The GPU's."""
    rates = {precision: rate(clock, precision, rounds) for precision in cuda.PRECISIONS}
    return Roof(bandwidth(clock, rounds), rates)


def bandwidth(clock: CupyClock, rounds: int) -> float:
    """Bytes per second of a copy, what is read and what is written."""
    xp = cupy()
    source, target = xp.zeros(COPIED, "float32"), xp.zeros(COPIED, "float32")
    nbytes: int = source.nbytes + target.nbytes
    return nbytes / seconds_of(clock, lambda: xp.copyto(target, source), rounds)


def rate(clock: CupyClock, precision: str, rounds: int) -> float:
    """Operations per second of a large product."""
    a, b = (stored(numbers(SIDE, SIDE), precision) for _ in range(2))
    with cuda.precision(precision):
        seconds = seconds_of(clock, lambda: cuda.gemm(a, b), rounds)
    return gemm(SIDE, SIDE, SIDE, e=4).flops / seconds
