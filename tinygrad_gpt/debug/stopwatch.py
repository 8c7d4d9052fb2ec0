"""Times of nested blocks, each without the time of the blocks inside it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tinygrad_gpt.backend import synchronize


@dataclass
class Timing:
    """How long a block took, without the blocks timed inside it."""

    seconds: float = 0.0


class Stopwatch:
    """Measures blocks, which may be nested: an op that runs other ops has their time subtracted from its own."""

    def __init__(self) -> None:
        self._inside: list[float] = []  # seconds of the blocks inside each block that has begun

    @contextmanager
    def measure(self) -> Iterator[Timing]:
        """Time this block.  On a GPU it waits until the work is done."""
        timing = Timing()
        self._inside.append(0.0)
        started = time.perf_counter()
        try:
            yield timing
            synchronize()
        finally:
            elapsed = time.perf_counter() - started
            timing.seconds = elapsed - self._inside.pop()
            if self._inside:
                self._inside[-1] += elapsed
