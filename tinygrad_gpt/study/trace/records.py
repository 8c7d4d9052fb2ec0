"""What a trace holds: ops, the arrays between them, and the terms of every gradient."""

from dataclasses import dataclass, field
from typing import Any, Literal

from tinygrad_gpt.backend import Array
from tinygrad_gpt.debug.observe import argument_names
from tinygrad_gpt.kernels import Op
from tinygrad_gpt.study.trace.call_sites import Line
from tinygrad_gpt.study.trace.saved import Saved, buffer_of
from tinygrad_gpt.study.trace.stats import Stats, stats_of

FORWARD: Literal["forward"] = "forward"
BACKWARD: Literal["backward"] = "backward"


@dataclass(eq=False)
class Term:
    """The gradient that one vjp sent to one of its op's inputs."""

    op: int  # whose vjp
    slot: int  # which of the op's arrays, counted from 0
    array: Array
    stats: Stats
    sum: Stats  # of all terms so far, including this one


@dataclass(eq=False)
class Value:
    """An array that went into an op or came out of one, and its gradient."""

    index: int
    name: str
    kind: Literal["output", "leaf", "constant"]  # a leaf needs a gradient, a constant does not
    array: Array
    stats: Stats
    op: int | None = None  # that made it
    terms: list[Term] = field(default_factory=list)
    gradient: Array | None = None  # the sum of the terms; for the loss, the gradient that backward started with
    gradient_stats: Stats | None = None
    variable: str | None = None  # that held an op's output, the first one that was seen

    def receive(self, op: int, slot: int, array: Array) -> None:
        """Add one more term, as the tape adds it."""
        self.gradient = array if self.gradient is None else self.gradient + array
        self.gradient_stats = stats_of(self.gradient)
        self.terms.append(Term(op, slot, array, stats_of(array), self.gradient_stats))


@dataclass(eq=False)
class OpRecord:
    """An op that ran: where, on which arrays, and how long it and its vjp took."""

    index: int
    name: str
    function: Op  # the op in its file
    run: Op  # what computed it: a kernel, or the op itself
    scope: str
    lines: tuple[Line, ...]  # the calling lines, the innermost first
    inputs: tuple[Value, ...]
    wanted: tuple[bool, ...]  # which of them need a gradient
    settings: dict[str, str]  # as text, without those that are None
    given: dict[str, Any]  # all of them, as they were given
    within: int | None  # the op that ran it, either time (see tape.recompute_in_backward)
    output: Value = None  # type: ignore[assignment]
    kept: tuple[Saved, ...] = ()
    seconds: float = 0.0
    vjp_seconds: float | None = None  # None: the vjp did not run

    @property
    def arguments(self) -> dict[str, Value]:
        """The inputs by the names of the op's arguments."""
        return dict(zip(argument_names(self.function, len(self.inputs)), self.inputs, strict=True))

    @property
    def kernel(self) -> str | None:
        """The module of the kernel that computed it, if one did."""
        return None if self.run is self.function else str(self.run.__module__)

    @property
    def kept_bytes(self) -> int:
        """Bytes in memory that its vjp needs, even if others need them too."""
        return sum({id(buffer_of(kept.array)): kept.nbytes for kept in self.kept}.values())


@dataclass(frozen=True)
class Event:
    """An op or its vjp ran; events are in order of time."""

    way: Literal["forward", "backward"]
    op: OpRecord


@dataclass(eq=False)
class Recording:
    """Ops in the order in which they began, events in order of time, and values with their gradients."""

    ops: list[OpRecord] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    variables: dict[str, Value] = field(default_factory=dict)  # the last output that each variable was seen to hold

    def __getitem__(self, name: str) -> Value:
        """The value of this name: a parameter's, or that of an op's output, as the tree shows it; else a variable's.

        Of a variable that held several outputs, the last one.
        """
        for value in self.values:
            if value.name == name:
                return value
        if name in self.variables:
            return self.variables[name]
        raise KeyError(
            f"no value is called {name!r}: names are in [value.name for value in t.values], and in t.variables"
        )

    @property
    def loss(self) -> Value | None:
        """The value that backward started from; None before."""
        back = [event.op for event in self.events if event.way == BACKWARD and event.op.within is None]
        return back[0].output if back else None

    @property
    def kept_bytes(self) -> int:
        """Bytes that all vjps together keep in memory, each array counted once."""
        return sum({id(buffer_of(kept.array)): kept.nbytes for op in self.ops for kept in op.kept}.values())

    @property
    def forward_seconds(self) -> float:
        """The time of all ops."""
        return sum(op.seconds for op in self.ops)

    @property
    def backward_seconds(self) -> float:
        """The time of all vjps."""
        return sum(op.vjp_seconds or 0.0 for op in self.ops)

    @property
    def n_vjps(self) -> int:
        """How many vjps ran."""
        return len(self.events) - len(self.ops)
