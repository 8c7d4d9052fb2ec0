"""A training step watched: every op forward, every vjp backward, and their numbers.

    with trace() as t:
        loss = model.loss(ids, targets)
        loss.backward()
    print(t.tree())
    t["h.0.mlp.c_fc.weight"].terms          # the terms that add up to its gradient

The engine does not know about it: an observer around each op looks at its inputs, its result and its callers.  Outside
the block nothing is watched and nothing costs time.  Inside it no number changes, not even the last bit.

A trace keeps every array until it is deleted, so it is for small models and short code.  It expects one forward and one
backward: the gradients of a second backward in the same block are added to the same sums.
"""

import html
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Literal

from tinygrad_gpt import tape
from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.debug.observe import Call, Gradients, Observer, argument_names, calling_frames, observe, observers_of
from tinygrad_gpt.debug.stopwatch import Stopwatch, Timing
from tinygrad_gpt.study.trace.call_sites import ParameterNames, is_own, line_of
from tinygrad_gpt.study.trace.records import BACKWARD, FORWARD, Event, OpRecord, Recording, Value
from tinygrad_gpt.study.trace.saved import Saved, arrays_of, buffer_of
from tinygrad_gpt.study.trace.stats import stats_of
from tinygrad_gpt.study.trace.terminal import tree
from tinygrad_gpt.study.trace.variables import first_name, named_objects, variable_of
from tinygrad_gpt.study.trace.why import Why, why
from tinygrad_gpt.tape import Tensor

_MAX_SETTING_LENGTH = 60  # characters of a setting


class Trace(Recording, AbstractContextManager["Trace"]):
    """A block that records `ops`, `events` and `values`; see `trace`."""

    def __init__(self, parameters: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.names = ParameterNames(parameters)
        self.by_array: dict[int, Value] = {}  # by id: `values` keeps the arrays alive, so no id is used twice
        self.by_tensor: dict[int, tuple[Tensor, Value]] = {}
        self.by_buffer: dict[int, Value] = {}
        self.running: list[int] = []  # indices of the ops that have begun and not ended
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
        assert self.watcher is not None
        self.learn_variables(self.watcher.f_locals)
        self.watcher = None  # a frame keeps its variables alive
        self.block.__exit__(kind, error, traceback)

    def tree(self, width: int = 80) -> str:
        """The model as a tree with one line per op, in this many columns."""
        return tree(self, width)

    def _repr_html_(self) -> str:
        """A notebook shows the tree."""
        return f"<pre>{html.escape(self.tree())}</pre>"

    def why(self, name: str, index: Sequence[int], tokens: Sequence[Sequence[str]] | None = None) -> Why:
        """The sums that give an entry of a value and its gradient; see `why`."""
        return why(self, name, index, tokens)

    def begin(self, call: Call) -> OpRecord:
        """The record of an op that is about to run."""
        frames = list(calling_frames(call.caller, self.watcher))
        own = list(filter(is_own, frames))
        self.names.learn_models(frames)
        inputs: list[Any] = list(call.arrays)
        if call.caller.f_code is tape.apply.__code__:
            inputs = list(call.caller.f_locals["inputs"])  # the tensors of these arrays know who needs a gradient
        values, wanted = [], []
        names = argument_names(call.op, len(inputs))
        for x, array, argument in zip(inputs, call.arrays, names, strict=True):
            needed = isinstance(x, Tensor) and x.requires_grad and tape.is_recording()
            values.append(self.value_of(x, array, needed, frames, argument))
            if values[-1].kind == "output":
                self.learn_variable(variable_of(x, own), values[-1])
            wanted.append(needed)
        op = OpRecord(
            index=len(self.ops),
            name=call.name,
            function=call.op,
            run=call.function,
            scope=self.names.scope(frames, list(call.arrays), self.watcher),
            lines=tuple(line_of(frame) for frame in frames),
            inputs=tuple(values),
            wanted=tuple(wanted),
            settings={name: _setting_text(value) for name, value in call.settings.items() if value is not None},
            given=dict(call.settings),
            within=self.running[-1] if self.running else None,
        )
        self.ops.append(op)
        self.events.append(Event(FORWARD, op))
        return op

    def end(self, op: OpRecord, out: Array, vjp: Vjp) -> None:
        """Record the result, and what the vjp saves if a gradient is needed."""
        name = f"{op.scope}.{op.name}".lstrip(".")
        name += f" {op.index}" if any(value.name == name for value in self.values) else ""
        op.output = self.new_value(name, "output", out, op.index)
        if any(op.wanted):
            op.kept = tuple(Saved(name, array, self.owner(array)) for name, array in arrays_of(vjp))

    def forget(self, op: OpRecord) -> None:
        """Remove an op that failed, and those that ran within it."""
        del self.ops[op.index :]
        self.events = [event for event in self.events if event.op.index < op.index]
        for value in self.values:
            if value.op is not None and value.op >= op.index:
                value.op, value.kind = None, "constant"
        self.variables = {name: value for name, value in self.variables.items() if value.kind == "output"}

    def end_vjp(self, op: OpRecord, dy: Array, gradients: Gradients) -> None:
        """Record the gradient that a vjp received, and those that it returned."""
        self.events.append(Event(BACKWARD, op))
        if not op.output.terms:  # backward starts here
            op.output.gradient, op.output.gradient_stats = dy, stats_of(dy)
            if self.watcher is not None:
                own = list(filter(is_own, calling_frames(sys._getframe(1), self.watcher)))
                self.learn_variable(first_name(lambda held: self.output_in(held) is op.output, own), op.output)
        for slot, (value, wanted, gradient) in enumerate(zip(op.inputs, op.wanted, gradients, strict=False)):
            if wanted and gradient is not None:
                value.receive(op.index, slot, gradient)

    def value_of(self, x: Any, array: Array, needed: bool, frames: list[FrameType], argument: str) -> Value:
        """The record of an array that goes into an op: that of the op that made it, or a new one."""
        if needed and x.node is None:  # two leaves may share one array, and each has a gradient
            if id(x) not in self.by_tensor:
                self.by_tensor[id(x)] = x, self.new_value(self.leaf_name(x, frames), "leaf", array)
            return self.by_tensor[id(x)][1]
        if needed:
            for made in observers_of(x.node.vjp):
                if isinstance(made, RecordedOp) and made.trace is self:
                    return made.record.output
        if id(array) not in self.by_array:
            self.new_value(self.names.name_of(array) or variable_of(x, frames) or argument, "constant", array)
        return self.by_array[id(array)]

    def output_in(self, held: Any) -> Value | None:
        """The op's output that an object is the tensor of."""
        value = self.by_array.get(id(held.data)) if isinstance(held, Tensor) else None
        return value if value is not None and value.kind == "output" else None

    def learn_variable(self, name: str | None, output: Value) -> None:
        """Record that a variable holds an op's output."""
        if name is not None:
            self.variables[name] = output
            output.variable = output.variable or name

    def learn_variables(self, variables: Mapping[str, Any]) -> None:
        """Record which of a function's or a module's variables hold outputs."""
        for name, held in named_objects(variables):
            output = self.output_in(held)
            if output is not None and variables.get(name, held) is held:  # a key may have a variable's name
                self.learn_variable(name, output)

    def leaf_name(self, x: Tensor, frames: list[FrameType]) -> str:
        """A name for a leaf: its model's, else a variable's, else a number."""
        if name := self.names.name_of(x.data):
            return name
        if name := variable_of(x, frames):
            # A function's argument may be another leaf in each call.
            taken = any(value.name == name and value.array is not x.data for value in self.values)
            return f"{name} {len(self.values)}" if taken else name
        if id(x.data) in self.by_array:  # a recomputed block has new leaves
            return self.by_array[id(x.data)].name
        return f"leaf {1 + sum(value.kind == 'leaf' for value in self.values)}"

    def new_value(
        self, name: str, kind: Literal["output", "leaf", "constant"], array: Array, op: int | None = None
    ) -> Value:
        """Record an array."""
        if kind == "constant" and any(value.name == name for value in self.values):
            name = f"{name} {len(self.values)}"  # each dropout mask has a name of its own
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
    def timed(self, op: OpRecord) -> Iterator[Timing]:
        """Time what runs in this block, without the ops that run within it."""
        self.running.append(op.index)
        try:
            with self.stopwatch.measure() as timing:
                yield timing
        finally:
            self.running.pop()


@dataclass(eq=False)
class RecordedOp(Observer):
    """Records one op and its vjp in a trace."""

    trace: Trace
    record: OpRecord = None  # type: ignore[assignment]

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
        self.trace.end_vjp(self.record, dy, gradients)
        return gradients


def _setting_text(value: Any) -> str:
    """repr(value), cut if it is long."""
    text = repr(value)
    return text if len(text) <= _MAX_SETTING_LENGTH else f"{text[: _MAX_SETTING_LENGTH - 1]}…"


def trace(parameters: Mapping[str, Tensor] | None = None) -> Trace:
    """A block in which every op and every vjp is recorded.

    It records what runs, and that includes kernels, which save other arrays than their ops.  To see the ops of
    `tinygrad_gpt/ops` instead, as `tinygrad-gpt trace` does:

        with tg.reference_only(), trace() as t:

    parameters are names for your own tensors.  A GPT's names are found where its methods are called.  A tensor or
    array without a name takes the name of the variable that refers to it, or else of the op's argument.  An op's
    output is also found by the variable that held it when it went into another op, when backward began at it, or when
    the block ended.
    """
    return Trace(parameters)
