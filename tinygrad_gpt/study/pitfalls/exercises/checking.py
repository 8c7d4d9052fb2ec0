"""Is this vjp right?  The first wrong entry, beside the central difference, and a hint; then the laws."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import settings

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array
from tinygrad_gpt.laws.profiles import settings_for
from tinygrad_gpt.laws.source import literal
from tinygrad_gpt.study.derivatives import by_differences
from tinygrad_gpt.study.pitfalls.exercises.exercise import Arrays, Exercise
from tinygrad_gpt.study.pitfalls.exercises.learner import Complaint, call, load
from tinygrad_gpt.study.pitfalls.lesson import paragraph, wrap

RTOL, ATOL = 1e-5, 1e-7  # differences are accurate to 1e-9 here; a mistake is larger
_LAWS_EXAMPLES = 12


@dataclass(frozen=True)
class Verdict:
    """Whether a solution is right, and the text for the learner."""

    right: bool
    text: str


def check(exercise: Exercise, path: Path) -> Verdict:
    """Check a solution.  Raises OSError if the file cannot be read, Complaint if it has no function to check."""
    function = load(path, exercise.name)
    for arrays in exercise.cases:
        try:
            text = _first_fault(exercise, path, function, arrays)
        except Complaint as complaint:
            if complaint.unfinished:
                raise
            text = str(complaint)
        if text:
            return Verdict(False, f"{text}\n\n{_case(exercise, arrays)}")
    return _by_laws(exercise, path, function)


def _case(exercise: Exercise, arrays: Arrays) -> str:
    """The inputs of the failing case, as code to paste."""
    lines = [f"  {name} = {literal(array.round(3))}" for name, array in zip(exercise.inputs, arrays, strict=True)]
    y = exercise.op(*arrays)[0]
    return "\n".join(["Found with (rounded)", *lines, f"  d{_result(exercise)} = {literal(upstream(y).round(3))}"])


def _result(exercise: Exercise) -> str:
    """The name of the forward pass's result."""
    return {"softmax": "p", "cross_entropy": "loss"}.get(exercise.name, "y")


def upstream(y: Array) -> Array:
    """An incoming gradient: its entries differ, and none is 0 or 1."""
    n = np.size(y)
    return np.asarray(((np.arange(n) * 7) % 11 - 4.5) / 4).reshape(np.shape(y))


def _first_fault(exercise: Exercise, path: Path, function: Callable[..., Any], arrays: Arrays) -> str:
    """What is wrong with the solution on this case; "" if nothing."""
    wanted = exercise.op(*arrays)[0]
    dy = upstream(wanted)
    mine, given = [array.copy() for array in arrays], dy.copy()
    returned = call(path, lambda: function(*mine))
    if not (isinstance(returned, tuple) and len(returned) == 2 and callable(returned[1])):
        return f"{exercise.name} must return ({_result(exercise)}, vjp)"
    y, vjp = returned
    if fault := _difference(_result(exercise), y, wanted):
        return f"The forward pass has changed: {fault}"
    gradients = call(path, lambda: vjp(given))
    if not isinstance(gradients, tuple | list) or len(gradients) != len(arrays):
        n, names = len(arrays), ", ".join(f"d{name}" for name in exercise.inputs)
        got = f"{len(gradients)} of them" if isinstance(gradients, tuple | list) else type(gradients).__name__
        return f"vjp must return a tuple of {n}: ({names}{',' * (n == 1)}), one gradient per array; got {got}"
    if not np.array_equal(given, dy):
        return f"vjp changed d{_result(exercise)} in place: others still need it, so work on a new array"
    if not all(map(np.array_equal, mine, arrays)):
        return "an input array was changed in place: others still need it, so work on a new one"
    for i, gradient in enumerate(gradients):
        if fault := _fault_of(exercise, arrays, i, gradient, dy):
            return fault
    return ""


def _fault_of(exercise: Exercise, arrays: Arrays, i: int, got: Any, dy: Array) -> str:
    """What is wrong with the gradient of input i; "" if nothing."""
    name, x = f"d{exercise.inputs[i]}", arrays[i]
    if x.dtype.kind != "f":
        return "" if got is None else f"{name} must be None: whole numbers have no gradient"
    if got is None:
        return f"{name} must be an array; got None"
    wanted = by_differences(lambda *inputs: exercise.op(*inputs)[0], arrays, i, dy)
    fault = _difference(name, got, wanted)
    if not fault:
        return ""
    return f"{fault}\n\n" + paragraph(f"Hint: {_hint(exercise, arrays, i, np.asarray(got), wanted, dy)}")


def _difference(name: str, got: Any, wanted: Array) -> str:
    """How an array differs from the expected one: type, shape, or the first wrong entry and how many are wrong."""
    got = np.asarray(got)
    if got.dtype.kind not in "fiu":
        return f"{name} must be an array of numbers; got {got.dtype}"
    if got.shape != np.shape(wanted):
        return f"{name} must have shape {np.shape(wanted)}; got {got.shape}"
    wrong = ~np.isclose(got, wanted, rtol=RTOL, atol=ATOL)
    if not wrong.any():
        return ""
    place = tuple(int(n) for n in np.argwhere(wrong)[0])
    at = f"{name}[{', '.join(map(str, place))}]" if place else name
    counted = f"{wrong.sum()} of {wrong.size} entries are wrong" if wrong.size > 1 else "it is wrong"
    return f"{at} is {got[place]:.6g}, should be {wanted[place]:.6g} by central differences.\n({counted}.)"


def _hint(exercise: Exercise, arrays: Arrays, i: int, got: Array, wanted: Array, dy: Array) -> str:
    """A hint, which names the mistake if it is a known one."""
    if got.shape != wanted.shape:
        return _about_shape(exercise.inputs[i], got, wanted, dy)
    for mistake in exercise.mistakes:
        if mistake.input == exercise.inputs[i]:
            usual = mistake.gradient(dy, *arrays)
            if np.shape(usual) == got.shape and np.allclose(got, usual, RTOL, ATOL):
                return mistake.hint
    return about_numbers(got, wanted)


def _about_shape(name: str, got: Array, wanted: Array, dy: Array) -> str:
    """A hint for a gradient whose shape is not that of its array."""
    if got.shape == dy.shape:
        return f"{name} was repeated to that shape: sum over the repeated axes."
    if got.shape == wanted.shape[::-1]:
        return "it is transposed."
    if got.ndim > wanted.ndim:
        return f"there is an axis left that {name} does not have: sum over it."
    return f"a gradient has the shape of its array: one number for each entry of {name}."


def about_numbers(got: Array, wanted: Array) -> str:
    """A hint for wrong numbers that no known mistake gives."""
    if not np.isfinite(got).all():
        return "it is not finite: is there a division by 0, or a logarithm of 0?"
    if not got.any():
        return "it is 0 everywhere."
    if np.allclose(got, -wanted, RTOL, ATOL):
        return "the sign is wrong."
    if got.shape == got.shape[::-1] and np.allclose(got.T, wanted, RTOL, ATOL):
        return "it is transposed."
    ratio = got[wanted != 0] / wanted[wanted != 0]
    if ratio.size > 1 and np.allclose(ratio, ratio[0], 1e-4):
        return f"it is {ratio[0]:.4g} times what it should be, everywhere."
    rest = got - wanted
    if rest.ndim and rest.shape[-1] > 1 and np.allclose(rest, rest.mean(-1, keepdims=True), RTOL, ATOL):
        return "it is wrong by one number per row: a term that couples the row, a mean or a sum, is missing or wrong."
    right = np.isclose(got, wanted, rtol=RTOL, atol=ATOL)
    if right.mean() >= 0.5:
        return "most entries are right: what is special about the others?"
    return "take the smallest case, and work out one entry on paper."


def _without_exit(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with SystemExit turned into an ordinary error."""

    def run(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except SystemExit as stopped:
            raise RuntimeError(f"SystemExit: {stopped}") from stopped

    return run


def _by_laws(exercise: Exercise, path: Path, function: Callable[..., Any]) -> Verdict:
    """Check the solution on cases that Hypothesis draws, also for dtypes, layouts and aliasing."""

    def op(*arrays: Array) -> tuple[Array, Any]:
        y, vjp = _without_exit(function)(*arrays)
        return y, lambda dy: tuple(_without_exit(vjp)(dy))

    sut = laws.OpUnderTest(
        name=exercise.name,
        op=op,
        domain=exercise.domain() if exercise.domain else None,
        aliasing=frozenset({"dx"}),
        original=exercise.op,
        **exercise.claims,
    )
    quick = settings(settings_for("ci"), max_examples=_LAWS_EXAMPLES)
    report = laws.check_op(sut, profile=quick, on_fail="report")
    if not report.ok:
        found = report.bad[0]
        text = str(found.broken).split("\n  policy")[0] if found.broken else found.line
        text = "\n".join(wrap(line) for line in text.splitlines())
        return Verdict(False, f"The numbers are right here, but not in every case.\n\n{text}")
    passed = [f"  {r.law.id}  {r.law.title}" for r in report.results if r.status == "held"]
    return Verdict(True, "\n".join([f"{path.name}: {exercise.name} is right, by these laws:", "", *passed]))
