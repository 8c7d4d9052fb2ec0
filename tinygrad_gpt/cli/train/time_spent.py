"""What a run spends its time on, and whether there is time to do something again."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TimeSpent:
    """Counts seconds by name, and since the beginning."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock, self.began = clock, clock()
        self.seconds: dict[str, float] = defaultdict(float)
        self.longest: dict[str, float] = defaultdict(float)  # in one block
        self.ended: dict[str, float] = {}  # when the last block ended

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Count the time of this block."""
        before = self.clock()
        try:
            yield
        finally:
            now = self.clock()
            self.seconds[name] += now - before
            self.longest[name] = max(self.longest[name], now - before)
            self.ended[name] = now

    def total(self) -> float:
        """Seconds since the beginning."""
        return self.clock() - self.began

    def allows(self, name: str, share: float) -> bool:
        """Whether another block, as slow as the slowest, keeps this name within its share.  The first one may."""
        again = self.longest[name]
        return name not in self.ended or self.seconds[name] + again <= share * (self.total() + again)

    def since(self, name: str) -> float:
        """Seconds since the last block of this name, or since the beginning."""
        return self.clock() - self.ended.get(name, self.began)

    def shares(self) -> dict[str, float]:
        """Each name's share of the whole time, from 0 to 1, the largest first."""
        total = self.total() or 1.0
        return {name: self.seconds[name] / total for name in sorted(self.seconds, key=lambda name: -self.seconds[name])}
