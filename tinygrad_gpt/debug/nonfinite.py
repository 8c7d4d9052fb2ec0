"""Which op made the first number that is not finite: a step once more, every result and every gradient looked at.

    try:
        for report in train(model, optimizer, batches, steps=1000, seed=7):
            step = report.step
    except FloatingPointError:
        ids, targets = batches.batch(step + 1)
        print(find_nonfinite(model, ids, targets, dropout=Dropout(7, step + 1)))

An op is to blame for a nan or an infinity in its result that none of its inputs has (a mask filled with -inf brings
its own).  A vjp is to blame for one in a gradient that is asked for, if the gradient it was given has none.
"""

import inspect
import json
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_gpt import kernels, tape, tensor_methods
from tinygrad_gpt.backend import Array, Vjp, array_module, to_accumulation_dtype
from tinygrad_gpt.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from tinygrad_gpt.files import atomic_write
from tinygrad_gpt.kernels import Op, op_hook
from tinygrad_gpt.kernels.cuda import current_precision, precision
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.tape import Tensor
from tinygrad_gpt.training.step import accumulate_gradients

MODEL, STEP, REPORT = CRASH_FILES = ("model.safetensors", "step.json", "report.txt")
_BFLOAT16 = "bfloat16"
_NO_CALLER = {
    __file__,
    tape.__file__,
    tensor_methods.__file__,
    kernels.__file__,
}  # between the line that asks for an op and the op


@dataclass(frozen=True)
class NonFinite:
    """Where the first number that is not finite came from.  str() is one line, `report` several."""

    what: str  # "linear, on the way forward, made 3 nan in float32 (2, 8, 8)"
    op: str | None = None  # None if no op is to blame: a parameter was not finite before, a sum of gradients overflowed
    way: str | None = None  # "forward" or "backward"
    inputs: tuple[str, ...] = ()  # shapes and ranges
    parameters: tuple[str, ...] = ()  # those among the inputs, or the one to blame
    called_from: str | None = None

    def __str__(self) -> str:
        return f"{self.what} from {'; '.join(self.inputs)}" if self.inputs else self.what

    def report(self) -> str:
        """All that is known, a line for each thing."""
        lines = [self.what, *(f"  {line}" for line in self.inputs)]
        return "\n".join([*lines, f"called from {self.called_from}"] if self.called_from else lines)


class FoundError(Exception):
    """Ends the step as soon as the answer is known."""

    def __init__(self, finding: NonFinite) -> None:
        super().__init__(str(finding))
        self.finding = finding


def find_nonfinite(
    model: GPT, ids: Array, targets: Array, *, dropout: Dropout | None = None, accumulation: int = 1
) -> NonFinite | None:
    """Compute the loss and its gradient of a batch as a training step does; None if all of it is finite.

    ids, targets (B, T) of int.  dropout is Dropout(seed, step) of the step in question.  The model and its gradients
    stay as they are.
    """
    parameters = model.parameters()
    for name, p in parameters.items():
        if nonfinite_kinds(p.data):
            return NonFinite(f"parameter {describe_array(name, p.data)}, before the step", parameters=(name,))
    watch = Watch({name: p.data for name, p in parameters.items()})
    try:
        with np.errstate(all="ignore"), op_hook(watch.watched):
            grads = _gradients(model, ids, targets, dropout, accumulation)
    except FoundError as found:
        return found.finding
    for name, p in parameters.items():
        if p in grads and nonfinite_kinds(grads[p]):
            what = f"the terms of the gradient of {name} are finite, their sum is not: {describe_array(name, grads[p])}"
            return NonFinite(what, parameters=(name,))
    return None


def _gradients(
    model: GPT, ids: Array, targets: Array, dropout: Dropout | None, accumulation: int
) -> dict[Tensor, Array]:
    """dLoss/dparameter of a batch, computed as a training step does.  The parameters' own .grad stay as they are."""
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
class Watch:
    """Looks at what every op and every vjp answers.  `parameters` are arrays by name."""

    parameters: Mapping[str, Array]
    needed: dict[int, Callable[[], Any]] = field(default_factory=dict)  # arrays that a gradient is asked for, by id

    def __post_init__(self) -> None:
        for array in self.parameters.values():
            self.remember(array)

    def watched(self, op: Op, run: Op) -> Op:
        """run, looked at under the name of op."""

        def watched_run(*arrays: Array, **settings: Any) -> tuple[Array, Vjp]:
            call = Call.of(op, arrays, [self.parameter(array) for array in arrays])
            wanted = [self.is_needed(array) for array in arrays]
            bad_before = nonfinite_kinds(*arrays) | nonfinite_kinds(*settings.values())
            out, vjp = run(*arrays, **settings)
            out = np.asarray(out) if isinstance(out, np.generic) else out  # as Tensor does: this very array comes back
            call.check_result(out, bad_before)
            if any(wanted):
                self.remember(out)

            def watched_vjp(dy: Array) -> tuple[Array | None, ...]:
                given = call.checked_cotangent(dy)
                grads: tuple[Array | None, ...] = vjp(dy)
                call.check_gradients(grads, wanted, given)
                return grads

            return out, watched_vjp

        return watched_run

    def remember(self, array: Array) -> None:
        """This array is on the way from a parameter to the loss."""
        self.needed[id(array)] = weakref.ref(array)

    def is_needed(self, array: Array) -> bool:
        """Whether this array is on the way from a parameter to the loss."""
        return id(array) in self.needed and self.needed[id(array)]() is array

    def parameter(self, array: Array) -> str | None:
        """The name of the parameter that this array is, or is a view of."""
        base = getattr(array, "base", None)
        return next((name for name, p in self.parameters.items() if array is p or base is p), None)


@dataclass(frozen=True)
class Call:
    """One call of an op: what it was given, in words, for no array is kept."""

    op: str
    labels: tuple[str, ...]  # what the inputs are called: "weight = h.0.mlp.c_fc.weight"
    inputs: tuple[str, ...]  # the same with shapes and ranges, but for what is no array
    parameters: tuple[str, ...]
    called_from: str | None

    @classmethod
    def of(cls, op: Op, arrays: Sequence[Array], parameters: Sequence[str | None]) -> "Call":
        """The call of op with these arrays, of which some are parameters of these names."""
        names = zip(_input_names(op, len(arrays)), parameters, strict=True)
        labels = [f"{name} = {p}" if p else name for name, p in names]
        pairs = zip(labels, arrays, strict=True)
        inputs = [describe_array(label, array) for label, array in pairs if hasattr(array, "dtype")]
        return cls(op.__name__, tuple(labels), tuple(inputs), tuple(p for p in parameters if p), _caller())

    def check_result(self, out: Array, bad_before: set[str]) -> None:
        """Raise FoundError if the op has made a nan or an infinity."""
        if new := nonfinite_kinds(out) - bad_before:
            raise self.found(
                f"{self.op}, on the way forward, made {_count_nonfinite(out, new)}", "forward", self.inputs
            )

    def checked_cotangent(self, dy: Array) -> str:
        """The gradient that the vjp is given, in words.  Raises FoundError if it is not finite."""
        given = describe_array(f"d{self.op}", dy)
        if nonfinite_kinds(dy):
            what = f"the gradients that reach {self.op}'s result are finite, their sum is not: {given}"
            raise self.found(what, "backward", self.inputs)
        return given

    def check_gradients(self, grads: Sequence[Array | None], wanted: Sequence[bool], given: str) -> None:
        """Raise FoundError if the vjp has made a nan or an infinity in a gradient that is wanted."""
        for grad, label, is_wanted in zip(grads, self.labels, wanted, strict=True):
            if is_wanted and grad is not None and (new := nonfinite_kinds(grad)):
                what = f"{self.op}, on the way back, made {_count_nonfinite(grad, new)} in the gradient of {label}"
                raise self.found(what, "backward", (given, *self.inputs))

    def found(self, what: str, way: str, inputs: tuple[str, ...]) -> FoundError:
        """The end of the search."""
        return FoundError(NonFinite(what, self.op, way, inputs, self.parameters, self.called_from))


def _input_names(op: Op, n: int) -> list[str]:
    """What an op calls the first n arrays that it is given."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [name for name, p in inspect.signature(op).parameters.items() if p.kind in kinds]
    return [names[i] if i < len(names) else f"input {i}" for i in range(n)]


def nonfinite_kinds(*values: Any) -> set[str]:
    """Which of "nan" and "inf" occur in arrays or numbers of floating point."""
    found: set[str] = set()
    for value in values:
        if not (isinstance(value, float) or _has_floating_dtype(value)):
            continue
        xp, value = array_module(value), to_accumulation_dtype(value) if _has_floating_dtype(value) else value
        if not bool(xp.isfinite(value).all()):
            found |= {name for name, has in (("nan", xp.isnan), ("inf", xp.isinf)) if bool(has(value).any())}
    return found


def _has_floating_dtype(value: Any) -> bool:
    """Whether this is an array of floating point; NumPy does not count bfloat16 among these."""
    dtype = getattr(value, "dtype", None)
    return dtype is not None and (dtype.kind == "f" or dtype.name == _BFLOAT16)


def _count_nonfinite(array: Array, kinds: Iterable[str]) -> str:
    """How many nan and inf an array has: "3 nan in float32 (2, 8, 8)"."""
    xp, wide = array_module(array), to_accumulation_dtype(array)
    tests = {"nan": xp.isnan, "inf": xp.isinf}
    counts = " and ".join(f"{int(tests[kind](wide).sum()):,} {kind}" for kind in sorted(kinds))
    return f"{counts} in {array.dtype} {tuple(array.shape)}"


def describe_array(name: str, array: Array) -> str:
    """Name, dtype, shape, range, and what in it is not finite."""
    xp, wide = array_module(array), to_accumulation_dtype(array)
    text = f"{name} {array.dtype} {tuple(array.shape)}"
    if not array.size or wide.dtype.kind not in "fiu":
        return text
    finite = wide[xp.isfinite(wide)] if wide.dtype.kind == "f" else wide
    if finite.size:
        text += f" from {float(finite.min()):.4g} to {float(finite.max()):.4g}"
    return f"{text}, {_count_nonfinite(array, kinds).split(' in ')[0]}" if (kinds := nonfinite_kinds(array)) else text


def _caller() -> str | None:
    """The line that asked for an op: the innermost that is not the tape's."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename in _NO_CALLER:
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}"


def save_crash(
    folder: str | Path, model: GPT, ids: Array, targets: Array, *, step: int, seed: int, accumulation: int, report: str
) -> None:
    """Write what a step depends on, so that `replay` can look at it anywhere: weights, batch, seed; and a report."""
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    save_checkpoint(folder / MODEL, model, step=step - 1)
    batch = {"ids": np.asarray(ids).tolist(), "targets": np.asarray(targets).tolist()}
    settings = {"step": step, "seed": seed, "accumulation": accumulation, "precision": current_precision()}
    with atomic_write(folder / STEP) as file:
        file.write(json.dumps(settings | batch).encode())
    with atomic_write(folder / REPORT) as file:
        file.write(f"{report.rstrip()}\n".encode("utf-8", "backslashreplace"))


def replay(folder: str | Path, *, device: str = "cpu") -> NonFinite | None:
    """Look once more at the step that `save_crash` has written; None if all of it is finite here.

    Raises CheckpointError or OSError if the folder does not hold one, ValueError if it was changed.
    """
    folder = Path(folder)
    model = load_checkpoint(folder / MODEL, device=device).model
    saved = json.loads((folder / STEP).read_text("utf-8"))
    ids, targets = (np.array(saved[name], np.int64) for name in ("ids", "targets"))
    dropout = Dropout(saved["seed"], saved["step"])
    with precision(saved.get("precision", "float32")):
        return find_nonfinite(model, ids, targets, dropout=dropout, accumulation=saved["accumulation"])
