"""Which op made the first number that is not finite: run a step again, and look at every result and gradient.

    try:
        for report in train(model, optimizer, batches, steps=1000, seed=7):
            step = report.step
    except FloatingPointError:
        ids, targets = batches.batch(step + 1)
        print(find_nonfinite(model, ids, targets, dropout=Dropout(7, step + 1)))

An op is to blame for a nan or an infinity in its result if no input and no setting has it (the -inf of masked_fill is a
setting).  A vjp is to blame if the gradient that it received has none, and a gradient that it returned and that is
needed has one.
"""

import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array, Vjp, array_module, to_accumulation_dtype
from tinygrad_gpt.debug.observe import Call, Gradients, Observer, argument_names, calling_frames, observe
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.tape import Tensor
from tinygrad_gpt.training.step import accumulate_gradients

_BFLOAT16 = "bfloat16"


@dataclass(frozen=True)
class NonFinite:
    """Where the first number that is not finite came from.  str() is one line, `report` several."""

    what: str  # "linear, on the way forward, made 3 nan in float32 (2, 8, 8)"
    op: str | None = None  # None: a parameter was not finite before the step, or a sum of gradients overflowed
    way: str | None = None  # "forward" or "backward"
    inputs: tuple[str, ...] = ()  # shapes and ranges
    parameters: tuple[str, ...] = ()  # those among the inputs, or the one to blame
    called_from: str | None = None

    def __str__(self) -> str:
        return f"{self.what} from {'; '.join(self.inputs)}" if self.inputs else self.what

    def report(self) -> str:
        """All details, one per line."""
        lines = [self.what, *(f"  {line}" for line in self.inputs)]
        return "\n".join([*lines, f"called from {self.called_from}"] if self.called_from else lines)


class _FoundError(Exception):
    """Ends the step as soon as the cause is known."""

    def __init__(self, finding: NonFinite) -> None:
        super().__init__(str(finding))
        self.finding = finding


def find_nonfinite(
    model: GPT, ids: Array, targets: Array, *, dropout: Dropout | None = None, accumulation: int = 1
) -> NonFinite | None:
    """Compute the loss and its gradient of a batch as a training step does; None if all of it is finite.

    ids, targets (B, T) of int.  dropout is Dropout(seed, step) of the step in question.  The model and its gradients
    do not change.
    """
    parameters = model.parameters()
    for name, p in parameters.items():
        if nonfinite_kinds(p.data):
            return NonFinite(f"parameter {describe_array(name, p.data)}, before the step", parameters=(name,))
    search = _Search({name: p.data for name, p in parameters.items()})
    try:
        with np.errstate(all="ignore"), observe(lambda: _SearchedOp(search)):
            grads = _gradients(model, ids, targets, dropout, accumulation)
    except _FoundError as found:
        return found.finding
    for name, p in parameters.items():
        if p in grads and nonfinite_kinds(grads[p]):
            what = f"the terms of the gradient of {name} are finite, their sum is not: {describe_array(name, grads[p])}"
            return NonFinite(what, parameters=(name,))
    return None


def _gradients(
    model: GPT, ids: Array, targets: Array, dropout: Dropout | None, accumulation: int
) -> dict[Tensor, Array]:
    """dLoss/dparameter of a batch, computed as a training step does.  Each parameter's own .grad does not change."""
    parameters = model.parameters().values()
    before = [p.grad for p in parameters]
    try:
        for p in parameters:
            p.grad = None
        accumulate_gradients(model, ids, targets, accumulation, dropout=dropout)
        return {p: p.grad for p in parameters if p.grad is not None}
    finally:
        for p, grad in zip(parameters, before, strict=True):
            p.grad = grad


@dataclass
class _Search:
    """Which arrays are parameters, and which need a gradient: those between a parameter and the loss."""

    parameters: Mapping[str, Array]
    needed: dict[int, Callable[[], Any]] = field(default_factory=dict)  # weak references to arrays, by id

    def __post_init__(self) -> None:
        for array in self.parameters.values():
            self.mark_needed(array)

    def mark_needed(self, array: Array) -> None:
        self.needed[id(array)] = weakref.ref(array)

    def is_needed(self, array: Array) -> bool:
        return id(array) in self.needed and self.needed[id(array)]() is array

    def parameter_name(self, array: Array) -> str | None:
        """The name of the parameter that this array is, or is a view of."""
        base = getattr(array, "base", None)
        return next((name for name, p in self.parameters.items() if array is p or base is p), None)


class _SearchedOp(Observer):
    """One op of the step.  It describes the inputs in words and holds no array, so the step needs no more memory."""

    def __init__(self, search: _Search) -> None:
        self.search = search

    def forward(self, call: Call) -> tuple[Array, Vjp]:
        self.describe(call)
        self.needs_gradient = [self.search.is_needed(array) for array in call.arrays]
        bad_before = nonfinite_kinds(*call.arrays) | nonfinite_kinds(*call.settings.values())
        out, vjp = call.run()
        if new := nonfinite_kinds(out) - bad_before:
            what = f"{self.op}, on the way forward, made {_count_nonfinite(out, new)}"
            raise self.found(what, "forward", self.inputs)
        if any(self.needs_gradient):
            self.search.mark_needed(out)
        return out, vjp

    def backward(self, vjp: Vjp, dy: Array) -> Gradients:
        received = describe_array(f"d{self.op}", dy)
        if nonfinite_kinds(dy):
            what = f"the gradients that reach {self.op}'s result are finite, their sum is not: {received}"
            raise self.found(what, "backward", self.inputs)
        grads = tuple(vjp(dy))
        for grad, label, needed in zip(grads, self.labels, self.needs_gradient, strict=True):
            if needed and grad is not None and (new := nonfinite_kinds(grad)):
                what = f"{self.op}, on the way back, made {_count_nonfinite(grad, new)} in the gradient of {label}"
                raise self.found(what, "backward", (received, *self.inputs))
        return grads

    def describe(self, call: Call) -> None:
        parameters = [self.search.parameter_name(array) for array in call.arrays]
        names = zip(argument_names(call.op, len(call.arrays)), parameters, strict=True)
        self.op = call.name
        self.labels = [f"{name} = {p}" if p else name for name, p in names]  # "weight = h.0.mlp.c_fc.weight"
        pairs = zip(self.labels, call.arrays, strict=True)
        self.inputs = tuple(describe_array(label, array) for label, array in pairs if hasattr(array, "dtype"))
        self.parameters = tuple(p for p in parameters if p)
        self.called_from = _location(next(calling_frames(call.caller), None))

    def found(self, what: str, way: str, inputs: tuple[str, ...]) -> _FoundError:
        return _FoundError(NonFinite(what, self.op, way, inputs, self.parameters, self.called_from))


def _location(frame: FrameType | None) -> str | None:
    if frame is None:
        return None
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}"


def nonfinite_kinds(*values: Any) -> set[str]:
    """Which of "nan" and "inf" occur in floating-point arrays or numbers."""
    found: set[str] = set()
    for value in values:
        if not (isinstance(value, float) or _has_floating_dtype(value)):
            continue
        xp, value = array_module(value), to_accumulation_dtype(value) if _has_floating_dtype(value) else value
        if not bool(xp.isfinite(value).all()):
            found |= {name for name, has in (("nan", xp.isnan), ("inf", xp.isinf)) if bool(has(value).any())}
    return found


def _has_floating_dtype(value: Any) -> bool:
    """NumPy does not count bfloat16 as floating point; this does."""
    dtype = getattr(value, "dtype", None)
    return dtype is not None and (dtype.kind == "f" or dtype.name == _BFLOAT16)


def _count_nonfinite(array: Array, kinds: Iterable[str]) -> str:
    """For example "3 nan in float32 (2, 8, 8)"."""
    xp, wide = array_module(array), to_accumulation_dtype(array)
    tests = {"nan": xp.isnan, "inf": xp.isinf}
    counts = " and ".join(f"{int(tests[kind](wide).sum()):,} {kind}" for kind in sorted(kinds))
    return f"{counts} in {array.dtype} {tuple(array.shape)}"


def describe_array(name: str, array: Array) -> str:
    """Name, dtype, shape, range, and how many entries are not finite."""
    xp, wide = array_module(array), to_accumulation_dtype(array)
    text = f"{name} {array.dtype} {tuple(array.shape)}"
    if not array.size or wide.dtype.kind not in "fiu":
        return text
    finite = wide[xp.isfinite(wide)] if wide.dtype.kind == "f" else wide
    if finite.size:
        text += f" from {float(finite.min()):.4g} to {float(finite.max()):.4g}"
    return f"{text}, {_count_nonfinite(array, kinds).split(' in ')[0]}" if (kinds := nonfinite_kinds(array)) else text
