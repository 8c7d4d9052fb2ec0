"""Where a training step spends its time: seconds by op, on the way forward and on the way back."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tinygrad_gpt.backend import Array, Vjp, synchronize
from tinygrad_gpt.kernels import Op, op_hook

FORWARD, BACKWARD, ELSE = "forward", "backward", "else"


@dataclass
class Profile:
    """Seconds and calls by (op, "forward" or "backward"), and by (part of a step that is no op, "else").

        profile = Profile()
        with profile.of_ops():
            loss = model.loss(ids, targets)
            loss.backward()
        print(profile.table())

    On a GPU every op is waited for, so a step takes longer than it would.
    """

    seconds: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    calls: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    within: list[float] = field(default_factory=list)  # of each part that has begun, the seconds of parts in it

    def of_ops(self) -> AbstractContextManager[None]:
        """Within this block every op is timed; what it leaves for the way back is too, wherever that is walked."""
        return op_hook(self.timed)

    def timed(self, op: Op, run: Op) -> Op:
        """run, timed under the name of op."""

        def timed_run(*arrays: Array, **settings: Any) -> tuple[Array, Vjp]:
            with self.part(op.__name__, FORWARD):
                out, vjp = run(*arrays, **settings)

            def timed_vjp(dy: Array) -> tuple[Array | None, ...]:
                with self.part(op.__name__, BACKWARD):
                    grads: tuple[Array | None, ...] = vjp(dy)
                return grads

            return out, timed_vjp

        return timed_run

    @contextmanager
    def part(self, name: str, way: str = ELSE) -> Iterator[None]:
        """Time what runs in this block, less what is timed within it (a block that is computed again has ops in it)."""
        self.within.append(0.0)
        started = time.perf_counter()
        yield
        synchronize()
        elapsed = time.perf_counter() - started
        self.seconds[name, way] += elapsed - self.within.pop()
        self.calls[name, way] += 1
        if self.within:
            self.within[-1] += elapsed

    def table(self, steps: int = 1, total: float | None = None) -> str:
        """A line for each op, the slowest first: calls, milliseconds forward and backward, share of the time, per step.

        total is the time (s) of all steps; what of it is no op and no named part stands as "other".
        """
        measured = sum(self.seconds.values())
        total = measured if total is None else total
        names = sorted({name for name, _ in self.seconds}, key=lambda name: -self.of(name))
        lines = [f"{'ms per step':<22} {'calls':>6} {'forward':>9} {'backward':>9} {'all':>9} {'share':>7}"]
        for name in names:
            calls = max(self.calls.get((name, way), 0) for way in (FORWARD, BACKWARD, ELSE)) / steps
            forward, backward = (self.seconds.get((name, way), 0.0) / steps for way in (FORWARD, BACKWARD))
            lines.append(_table_row(name, f"{calls:.0f}", forward, backward, self.of(name) / steps, total / steps))
        lines.append(_table_row("other", "", 0.0, 0.0, (total - measured) / steps, total / steps))
        forward, backward = (
            sum(seconds for (_, way), seconds in self.seconds.items() if way == wanted) / steps
            for wanted in (FORWARD, BACKWARD)
        )
        return "\n".join([*lines, _table_row("total", "", forward, backward, total / steps, total / steps)])

    def of(self, name: str) -> float:
        """All seconds under a name."""
        return sum(self.seconds.get((name, way), 0.0) for way in (FORWARD, BACKWARD, ELSE))


def _table_row(name: str, calls: str, forward: float, backward: float, both: float, total: float) -> str:
    """One line of the table, of seconds."""
    ways = " ".join(f"{1000 * seconds:9.2f}" if seconds else f"{'':9}" for seconds in (forward, backward))
    return f"{name:<22} {calls:>6} {ways} {1000 * both:9.2f} {both / total if total else 0.0:7.1%}"
