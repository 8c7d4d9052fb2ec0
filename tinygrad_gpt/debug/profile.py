"""Where a training step spends its time: seconds by op, forward and backward."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.debug.observe import Call, Gradients, Observer, observe
from tinygrad_gpt.debug.stopwatch import Stopwatch

FORWARD, BACKWARD, ELSE = "forward", "backward", "else"


@dataclass
class Profile:
    """Seconds and calls by (op, "forward" or "backward"), and by (any other part of a step, "else").

        profile = Profile()
        with profile.of_ops():
            loss = model.loss(ids, targets)
            loss.backward()
        print(profile.table())

    On a GPU it waits for every op, so a step takes longer than without a profile.
    """

    seconds: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    calls: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    def of_ops(self) -> AbstractContextManager[None]:
        """Within this block every op is timed.  Its vjp is timed too, even when it runs after the block."""
        return observe(lambda: _TimedOp(self))

    @contextmanager
    def part(self, name: str, way: str = ELSE) -> Iterator[None]:
        """Time this block, without what is timed inside it (a block that is computed again has ops in it)."""
        with self.stopwatch.measure() as timing:
            yield
        self.seconds[name, way] += timing.seconds
        self.calls[name, way] += 1

    def table(self, steps: int = 1, total: float | None = None) -> str:
        """A line for each op, the slowest first: calls, milliseconds forward and backward, share of the time, per step.

        total is the time (s) of all steps; the rest of it, outside all ops and named parts, is listed as "other".
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
        """The seconds of one op or part, all ways together."""
        return sum(self.seconds.get((name, way), 0.0) for way in (FORWARD, BACKWARD, ELSE))


@dataclass
class _TimedOp(Observer):
    profile: Profile
    name: str = ""

    def forward(self, call: Call) -> tuple[Array, Vjp]:
        self.name = call.name
        with self.profile.part(self.name, FORWARD):
            return call.run()

    def backward(self, vjp: Vjp, dy: Array) -> Gradients:
        with self.profile.part(self.name, BACKWARD):
            return tuple(vjp(dy))


def _table_row(name: str, calls: str, forward: float, backward: float, both: float, total: float) -> str:
    ways = " ".join(f"{1000 * seconds:9.2f}" if seconds else f"{'':9}" for seconds in (forward, backward))
    return f"{name:<22} {calls:>6} {ways} {1000 * both:9.2f} {both / total if total else 0.0:7.1%}"
