"""Gradients checked one by one: change a number, run the step again, and see how the loss changes.

The slope of the line through L(x + h) and L(x - h) is the derivative up to an error of order h² and the rounding of L
over h.  Both are small in float64, so the step should run again on a float64 copy of the traced model.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np

from tinygrad_gpt.backend import Array, Vjp, array_module, to_host
from tinygrad_gpt.debug.observe import Call, Observer, observe
from tinygrad_gpt.kernels import Op as Function
from tinygrad_gpt.kernels import op_hook, op_name
from tinygrad_gpt.study.trace.records import Recording, Value
from tinygrad_gpt.tape import Tensor, no_grad

_STEP = 1e-6
_PER_ARRAY = 3
Index = tuple[int, ...]


@dataclass(frozen=True)
class Check:
    """The derivative of the loss with respect to one number: from the vjps (analytic), and by differences (numeric)."""

    value: int  # index of the array in the trace's values
    index: Index
    at: float  # the number itself
    analytic: float
    numeric: float
    scale: float  # the largest magnitude in the array's gradient

    @property
    def difference(self) -> float:
        """The difference of the two, relative to the largest gradient in the array."""
        return abs(self.analytic - self.numeric) / (self.scale or 1.0)


def spot_checks(
    trace: Recording,
    loss: Callable[[], Tensor],
    parameters: Mapping[str, Tensor],
    *,
    per_array: int = _PER_ARRAY,
    chosen: Mapping[str, list[Index]] | None = None,
    step: float = _STEP,
) -> list[Check]:
    """Check entries of every parameter and every op's output: the one with the largest gradient, and random others.

    loss() runs the traced step's forward pass again, on these parameters.  chosen are more entries to check, by the
    names of values or variables.  Raises ValueError if loss() runs other ops than the trace has; KeyError for a chosen
    name that it does not have.
    """
    checks = []
    with no_grad():
        _check_same_ops(trace, loss)
        for value in trace.values:
            if value.gradient is None or not value.gradient.size or _is_recomputed(trace, value):
                continue
            entries = dict.fromkeys([*entries_of(value, per_array), *_chosen_of(trace, value, chosen or {})])
            for index in entries:
                slope = _slope_at(trace, value, index, loss, parameters, step)
                if slope is not None:
                    checks.append(_check_of(value, index, slope))
    return checks


def _chosen_of(trace: Recording, value: Value, chosen: Mapping[str, list[Index]]) -> Iterator[Index]:
    for name, indices in chosen.items():
        if trace[name] is value:
            yield from indices


def _is_recomputed(trace: Recording, value: Value) -> bool:
    """Whether it belongs to a block that ran again in backward; the forward pass does not make this value."""
    if value.op is not None:
        return trace.ops[value.op].within is not None
    return trace[value.name] is not value


def _check_of(value: Value, index: Index, numeric: float) -> Check:
    gradient = to_host(value.gradient)
    scale = float(np.abs(gradient).max())
    at, analytic = float(to_host(value.array)[index]), float(gradient[index])
    return Check(value.index, index, at, analytic, numeric, scale)


def entries_of(value: Value, n: int) -> Iterator[Index]:
    """Up to n entries of an array: first the one with the largest gradient, then random ones, the same in every run."""
    gradient = to_host(value.gradient)
    largest = int(np.abs(gradient).argmax())
    others = np.random.default_rng(value.index).permutation(gradient.size).tolist()
    for flat in list(dict.fromkeys([largest, *others]))[:n]:
        yield tuple(int(i) for i in np.unravel_index(flat, gradient.shape))


def _slope_at(
    trace: Recording,
    value: Value,
    index: Index,
    loss: Callable[[], Tensor],
    parameters: Mapping[str, Tensor],
    step: float,
) -> float | None:
    """(L(x + h) - L(x - h)) / 2h; None for a leaf that is not a parameter."""
    if value.op is not None:
        changes = [_nudged_output(trace, value.op, index, h) for h in (step, -step)]
    elif value.name in parameters:
        changes = [_nudged_entry(parameters[value.name].data, index, h) for h in (step, -step)]
    else:
        return None
    results = []
    for change in changes:
        with change:
            results.append(float(loss().data))
    return (results[0] - results[1]) / (2 * step)


@contextmanager
def _nudged_entry(array: Array, index: Index, h: float) -> Iterator[None]:
    """Within this block one number of an array is larger by h."""
    before = array[index].copy()
    array[index] += h
    try:
        yield
    finally:
        array[index] = before


def _nudged_output(trace: Recording, op: int, index: Index, h: float) -> AbstractContextManager[None]:
    """Within this block one number of the result of this op of the trace is larger by h."""
    numbers = itertools.count()
    return observe(lambda: _NudgedOp(index, h) if next(numbers) == op else Observer())


@dataclass(frozen=True)
class _NudgedOp(Observer):
    index: Index
    h: float

    def forward(self, call: Call) -> tuple[Array, Vjp]:
        out, vjp = call.run()
        out = array_module(out).array(out)
        out[self.index] += self.h
        return out, vjp


def _check_same_ops(trace: Recording, loss: Callable[[], Tensor]) -> None:
    """Raise ValueError unless loss() runs the first ops of the trace."""
    names: list[str] = []

    def around(function: Function, run: Function) -> Function:
        names.append(op_name(function))
        return run

    with op_hook(around):
        loss()
    before = [op.name for op in trace.ops][: len(names)]
    if names != before:
        raise ValueError(f"loss must run the traced step again: {', '.join(before)}; got {', '.join(names)}")
