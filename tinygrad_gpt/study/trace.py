"""A training step watched: every op on the way forward, every vjp on the way back, and what they did.

    with trace() as t:
        loss = model.loss(ids, targets)
        loss.backward()
    print(t.tree())
    t["h.0.mlp.c_fc.weight"].terms          # what its gradient is the sum of

The engine knows nothing of it: `op_hook` puts a watcher around each op, which looks at what goes in and out and at
who called.  Outside the block nothing is watched and nothing costs anything; within it all numbers stay the same to the
last bit.

Everything that was computed is held until the trace goes, so this is for small models and short code.  A step is one
way forward and back: gradients of a second backward in the same block are further terms of the same sums.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Any, Literal

from tinygrad_gpt import tape
from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.debug.observe import Call, Gradients, Observer, argument_names, calling_frames, observe
from tinygrad_gpt.debug.stopwatch import Stopwatch, Timing
from tinygrad_gpt.kernels import Op as Function
from tinygrad_gpt.study.kept import Saved, arrays_of, buffer_of
from tinygrad_gpt.study.numbers import Stats, stats_of
from tinygrad_gpt.study.places import Line, Places, line_of, variable_of
from tinygrad_gpt.tape import Tensor

FORWARD: Literal["forward"] = "forward"
_BACKWARD: Literal["backward"] = "backward"
_MAX_SETTING_LENGTH = 60  # characters of a setting


@dataclass(eq=False)
class Term:
    """What one vjp sent to one of the arrays that its op was made from."""

    op: int  # whose vjp
    slot: int  # which of the op's arrays, counted from 0
    array: Array
    stats: Stats
    sum: Stats  # of all terms so far, this one included


@dataclass(eq=False)
class Value:
    """An array that went into an op or came out of one, and its gradient."""

    index: int
    name: str
    kind: Literal["output", "leaf", "constant"]  # a leaf waits for a gradient, a constant does not
    array: Array
    stats: Stats
    op: int | None = None  # that made it
    terms: list[Term] = field(default_factory=list)
    gradient: Array | None = None  # the sum of the terms; of the loss what backward began with
    gradient_stats: Stats | None = None

    def receive(self, op: int, slot: int, array: Array) -> None:
        """One more term, added as the tape adds it."""
        self.gradient = array if self.gradient is None else self.gradient + array
        self.gradient_stats = stats_of(self.gradient)
        self.terms.append(Term(op, slot, array, stats_of(array), self.gradient_stats))


@dataclass(eq=False)
class Op:
    """An op that ran: where, on what, and how its vjp did."""

    index: int
    name: str
    function: Function  # the op in its file
    run: Function  # what computed it: a kernel, or the op itself
    scope: str
    lines: tuple[Line, ...]  # who called, the innermost first
    inputs: tuple[Value, ...]
    wanted: tuple[bool, ...]  # which of them wait for a gradient
    settings: dict[str, str]
    within: int | None  # the op that ran it a second time on the way back (see tape.recomputed)
    output: Value = None  # type: ignore[assignment]
    kept: tuple[Saved, ...] = ()
    seconds: float = 0.0
    vjp_seconds: float | None = None  # None: no gradient came by

    @property
    def kernel(self) -> str | None:
        """The module of the kernel that computed it, if one did."""
        return None if self.run is self.function else str(self.run.__module__)

    @property
    def kept_bytes(self) -> int:
        """Bytes in memory for the way back, whoever else holds them."""
        return sum({id(buffer_of(kept.array)): kept.nbytes for kept in self.kept}.values())


@dataclass(frozen=True)
class Event:
    """An op or its vjp, at its place in the order of time."""

    way: Literal["forward", "backward"]
    op: Op


class Trace(AbstractContextManager["Trace"]):
    """What was recorded: `ops` as they ran, `events` in order of time, `values` with their gradients."""

    def __init__(self, parameters: Mapping[str, Tensor] | None = None) -> None:
        self.ops: list[Op] = []
        self.events: list[Event] = []
        self.values: list[Value] = []
        self.places = Places(parameters)
        self.by_array: dict[int, Value] = {}  # by id: `values` keeps the arrays, so no id is used twice
        self.by_tensor: dict[int, tuple[Tensor, Value]] = {}
        self.by_buffer: dict[int, Value] = {}
        self.running: list[int] = []  # the numbers of the ops that have begun
        self.stopwatch = Stopwatch()
        self.watcher: FrameType | None = None
        self.block: AbstractContextManager[None] | None = None

    def __enter__(self) -> "Trace":
        if self.block is not None:
            raise RuntimeError("a trace is one block: make another one with trace()")
        self.watcher, self.block = sys._getframe(1), observe(lambda: RecordedOp(self))
        self.block.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self.block is not None
        self.watcher = None  # a frame holds its variables
        self.block.__exit__(kind, error, traceback)

    def __getitem__(self, name: str) -> Value:
        """The value of a name: a parameter's, or that of an op's output as the tree has it."""
        for value in self.values:
            if value.name == name:
                return value
        raise KeyError(f"no value is called {name!r}: names are in [value.name for value in t.values]")

    @property
    def loss(self) -> Value | None:
        """Where backward began; None before."""
        back = [event.op for event in self.events if event.way == _BACKWARD and event.op.within is None]
        return back[0].output if back else None

    @property
    def kept_bytes(self) -> int:
        """Bytes that all vjps together keep in memory, each array counted once."""
        return sum({id(buffer_of(kept.array)): kept.nbytes for op in self.ops for kept in op.kept}.values())

    def tree(self, width: int = 80) -> str:
        """The model as a tree with a line for each op, in so many columns."""
        from tinygrad_gpt.study.tree import tree

        return tree(self, width)

    def begin(self, call: Call) -> Op:
        """The record of an op that is about to run."""
        frames = list(calling_frames(call.caller, self.watcher))
        self.places.learn_models(frames)
        inputs: list[Any] = list(call.arrays)
        if call.caller.f_code is tape.apply.__code__:
            inputs = list(call.caller.f_locals["inputs"])  # the tensors of these arrays know who needs a gradient
        values, wanted = [], []
        names = argument_names(call.op, len(inputs))
        for x, array, argument in zip(inputs, call.arrays, names, strict=True):
            asks = isinstance(x, Tensor) and x.requires_grad and tape._recording.get()
            values.append(self.value_of(x, array, asks, frames, argument))
            wanted.append(asks)
        op = Op(
            index=len(self.ops),
            name=call.op.__name__,
            function=call.op,
            run=call.function,
            scope=self.places.scope(frames, list(call.arrays), self.watcher),
            lines=tuple(line_of(frame) for frame in frames),
            inputs=tuple(values),
            wanted=tuple(wanted),
            settings={name: _setting_text(value) for name, value in call.settings.items() if value is not None},
            within=self.running[-1] if self.running else None,
        )
        self.ops.append(op)
        self.events.append(Event(FORWARD, op))
        return op

    def end(self, op: Op, out: Array, vjp: Vjp) -> None:
        """Enter what came out, and what the vjp keeps if anybody waits for it."""
        name = f"{op.scope}.{op.name}".lstrip(".")
        name += f" {op.index}" if any(value.name == name for value in self.values) else ""
        op.output = self.new_value(name, "output", out, op.index)
        if any(op.wanted):
            op.kept = tuple(Saved(name, array, self.owner(array)) for name, array in arrays_of(vjp))

    def forget(self, op: Op) -> None:
        """Take back an op that failed, and those that ran within it."""
        del self.ops[op.index :]
        self.events = [event for event in self.events if event.op.index < op.index]
        for value in self.values:
            if value.op is not None and value.op >= op.index:
                value.op, value.kind = None, "constant"

    def back(self, op: Op, dy: Array, answers: tuple[Array | None, ...]) -> None:
        """Enter what a vjp was handed and what it answered."""
        self.events.append(Event(_BACKWARD, op))
        if not op.output.terms:  # backward begins here
            op.output.gradient, op.output.gradient_stats = dy, stats_of(dy)
        for slot, (value, wanted, answer) in enumerate(zip(op.inputs, op.wanted, answers, strict=False)):
            if wanted and answer is not None:
                value.receive(op.index, slot, answer)

    def value_of(self, x: Any, array: Array, asks: bool, frames: list[FrameType], argument: str) -> Value:
        """The record of an array that goes into an op: what made it, or a new one."""
        if asks and x.node is None:  # a leaf is a tensor: two may share one array, and have a gradient each
            if id(x) not in self.by_tensor:
                self.by_tensor[id(x)] = x, self.new_value(self.leaf_name(x, frames), "leaf", array)
            return self.by_tensor[id(x)][1]
        if asks and isinstance(made := getattr(x.node.vjp, "observer", None), RecordedOp) and made.trace is self:
            return made.record.output
        if id(array) not in self.by_array:
            self.new_value(self.places.name_of(array) or variable_of(x, frames) or argument, "constant", array)
        return self.by_array[id(array)]

    def leaf_name(self, x: Tensor, frames: list[FrameType]) -> str:
        """A name for a leaf: its model's, else a variable's, else a number."""
        name = self.places.name_of(x.data) or variable_of(x, frames)
        if name is None and id(x.data) in self.by_array:  # a block that is computed again begins at leaves of its own
            name = self.by_array[id(x.data)].name
        return name or f"leaf {1 + sum(value.kind == 'leaf' for value in self.values)}"

    def new_value(
        self, name: str, kind: Literal["output", "leaf", "constant"], array: Array, op: int | None = None
    ) -> Value:
        """Enter an array."""
        value = Value(len(self.values), name, kind, array, stats_of(array), op)
        self.values.append(value)
        if op is not None or id(array) not in self.by_array:
            self.by_array[id(array)] = value
        if hasattr(array, "nbytes"):
            self.by_buffer.setdefault(id(buffer_of(array)), value)
        return value

    def owner(self, array: Array) -> int | None:
        """The value whose memory this is."""
        value = self.by_buffer.get(id(buffer_of(array)))
        return None if value is None else value.index

    @contextmanager
    def timed(self, op: Op) -> Iterator[Timing]:
        """Time what runs in this block, without the ops that run within it."""
        self.running.append(op.index)
        try:
            with self.stopwatch.measure() as timing:
                yield timing
        finally:
            self.running.pop()


@dataclass(eq=False)
class RecordedOp(Observer):
    """Enters one op, and its vjp, into a trace."""

    trace: Trace
    record: Op = None  # type: ignore[assignment]

    def forward(self, call: Call) -> tuple[Array, Vjp]:
        """Run the op."""
        op = self.record = self.trace.begin(call)
        try:
            with self.trace.timed(op) as timing:
                out, vjp = call.run()
        except BaseException:
            self.trace.forget(op)
            raise
        op.seconds = timing.seconds
        self.trace.end(op, out, vjp)
        return out, vjp

    def backward(self, vjp: Vjp, dy: Array) -> Gradients:
        """Run the vjp."""
        with self.trace.timed(self.record) as timing:
            gradients = tuple(vjp(dy))
        self.record.vjp_seconds = (self.record.vjp_seconds or 0.0) + timing.seconds
        self.trace.back(self.record, dy, gradients)
        return gradients


def _setting_text(value: Any) -> str:
    """A setting as it is written, if that is short."""
    text = repr(value)
    return text if len(text) <= _MAX_SETTING_LENGTH else f"{text[: _MAX_SETTING_LENGTH - 1]}…"


def trace(parameters: Mapping[str, Tensor] | None = None) -> Trace:
    """A block in which every op and every vjp is recorded; see above.

    What is recorded is what runs: kernels, with arrays of their own for the way back.  `tinygrad-gpt trace` shows the
    ops as their files have them instead, and so does

        with tg.reference_only(), trace() as t:

    parameters are names for tensors of your own.  A GPT's names are found where its methods are called.  A tensor or
    array without a name has that of the variable that holds it; without a variable, that of the op's argument.
    """
    return Trace(parameters)
