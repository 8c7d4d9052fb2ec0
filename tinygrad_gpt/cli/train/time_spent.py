"""What the time of a run goes to, and whether something may be done once more."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TimeSpent:
    """Seconds by name, of this process, beside those since it began."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock, self.began = clock, clock()
        self.seconds: dict[str, float] = defaultdict(float)
        self.longest: dict[str, float] = defaultdict(float)  # that it took at once
        self.ended: dict[str, float] = {}  # the last time

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Count what runs in this block."""
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
        """Whether this, done now and as slowly as ever, stays within its share of the time; the first time, yes."""
        again = self.longest[name]
        return name not in self.ended or self.seconds[name] + again <= share * (self.total() + again)

    def since(self, name: str) -> float:
        """Seconds since this was done, or since the beginning."""
        return self.clock() - self.ended.get(name, self.began)

    def shares(self) -> dict[str, float]:
        """By name the part of the whole time, from 0 to 1, the largest first."""
        total = self.total() or 1.0
        return {name: self.seconds[name] / total for name in sorted(self.seconds, key=lambda name: -self.seconds[name])}
