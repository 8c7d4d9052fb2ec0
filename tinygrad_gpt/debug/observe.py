"""Watch every op and every vjp while a model runs: one helper for timing, recording and searching.

    class Printed(Observer):
        def forward(self, call):
            print(call.name)
            return call.run()

    with observe(Printed):
        loss = model.loss(ids, targets)

An observer is made for each call of an op, so it can remember what it saw until the vjp runs.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

import numpy as np

from tinygrad_gpt import kernels, tape, tensor_methods
from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.kernels import Op, op_hook, op_name

Gradients = tuple[Array | None, ...]
# Files between the line that calls an op and the op.
_ENGINE = {tape.__file__, tensor_methods.__file__, kernels.__file__, __file__}


@dataclass(frozen=True, eq=False)
class Call:
    """One call of an op."""

    op: Op
    function: Op  # what computes it: a kernel, or the op itself
    arrays: tuple[Array, ...]
    settings: dict[str, Any]
    caller: FrameType  # of the engine's function that calls the op
    observers: tuple["Observer", ...] = ()  # those inside this one, the outermost first

    @property
    def name(self) -> str:
        """The op's name."""
        return op_name(self.op)

    def run(self) -> tuple[Array, Vjp]:
        """Compute the op.  The result is the very array that the op's Tensor will have."""
        if self.observers:
            observer, *inner = self.observers
            out, vjp = observer.forward(replace(self, observers=tuple(inner)))
            return out, ObservedVjp(vjp, observer, self.name)
        out, vjp = self.function(*self.arrays, **self.settings)
        return np.asarray(out) if isinstance(out, np.generic) else out, vjp


class Observer:
    """What happens around one call of an op and around its vjp.  Override either method; these change nothing."""

    def forward(self, call: Call) -> tuple[Array, Vjp]:
        """Run the op and return its result and its vjp."""
        return call.run()

    def backward(self, vjp: Vjp, dy: Array) -> Gradients:
        """Run the vjp and return its gradients, None for an input that has none."""
        return tuple(vjp(dy))


class ObservedVjp:
    """A vjp that runs through its observer."""

    def __init__(self, vjp: Vjp, observer: Observer, name: str) -> None:
        self.vjp, self.observer = vjp, observer
        self.__qualname__ = getattr(vjp, "__qualname__", name)  # the tape's error texts name it

    def __call__(self, dy: Array) -> Gradients:
        """dy -> the gradients of the op's inputs."""
        return self.observer.backward(self.vjp, dy)


@dataclass(frozen=True)
class _ObservedOp:
    """An op that runs through observers, made anew for each call, the outermost first."""

    op: Op
    function: Op
    make_observers: tuple[Callable[[], Observer], ...]

    def __call__(self, *arrays: Array, **settings: Any) -> tuple[Array, Vjp]:
        observers = tuple(make() for make in self.make_observers)
        return Call(self.op, self.function, arrays, settings, sys._getframe(1), observers).run()


def observe(observer: Callable[[], Observer]) -> AbstractContextManager[None]:
    """Within this block (and thread), every op runs through an observer of its own; so does its vjp, even later.

    In a block inside another one, the inner observer runs inside the outer one.
    """

    def hook(op: Op, function: Op) -> Op:
        if isinstance(function, _ObservedOp):  # by the observers of an inner block
            return _ObservedOp(op, function.function, (observer, *function.make_observers))
        return _ObservedOp(op, function, (observer,))

    return op_hook(hook)


def observers_of(vjp: Vjp) -> Iterator[Observer]:
    """The observers that a vjp runs through, the outermost first."""
    while isinstance(vjp, ObservedVjp):
        yield vjp.observer
        vjp = vjp.vjp


def argument_names(op: Op, n: int) -> list[str]:
    """The names of an op's first n arrays in its own file; "array 3" for one of many."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [name for name, p in inspect.signature(op).parameters.items() if p.kind in kinds]
    return [names[i] if i < len(names) else f"array {i}" for i in range(n)]


def calling_frames(frame: FrameType | None, end: FrameType | None = None) -> Iterator[FrameType]:
    """The functions that led to an op, the innermost first, up to `end`; without the engine's and Python's own."""
    while frame is not None:
        file = frame.f_code.co_filename
        observes = isinstance(frame.f_locals.get("self"), Observer)  # it runs an op that runs others
        if file not in _ENGINE and not file.startswith("<frozen ") and not observes:
            yield frame
        frame = None if frame is end else frame.f_back
