"""An op worked out in numbers: forward and backward line by line, and its gradients by two other methods."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.study.derivatives import by_complex_step, by_differences
from tinygrad_gpt.study.explain.examples import Example
from tinygrad_gpt.study.explain.executed_lines import ExecutedLine, prints_alike, watch

Op = Callable[..., tuple[Array, Vjp]]
COMPLEX_STEP_BOUND = 1e-12  # the numbers are about 1, so this is a few thousand roundings
DIFFERENCES_BOUND = 1e-7  # h²f'''/6 at h = 1e-5, for an f''' up to a few thousand


@dataclass(frozen=True, eq=False)
class Comparison:
    """One gradient: from the vjp, and by two other methods."""

    name: str
    vjp: Array
    complex_step: Array | None
    """None if the op does not accept complex numbers"""
    differences: Array

    def off(self) -> Array:
        """Which entries (bool) differ from the other two by more than rounding explains."""
        wrong = ~(abs(self.vjp - self.differences) < DIFFERENCES_BOUND)
        if self.complex_step is not None:
            wrong |= ~(abs(self.vjp - self.complex_step) < COMPLEX_STEP_BOUND)
        return wrong

    @property
    def agrees(self) -> bool:
        """Whether all methods give the same gradient."""
        return not self.off().any()


@dataclass(frozen=True, eq=False)
class Worked:
    """One example, worked out."""

    op: str
    title: str
    inputs: dict[str, Array]
    settings: dict[str, Any]
    out: str
    """the result's name: y, p, loss"""
    y: Array
    forward: tuple[ExecutedLine, ...]
    saved: dict[str, Any]
    """what the vjp saves, by name"""
    dy: Array
    backward: tuple[ExecutedLine, ...]
    gradients: dict[str, Array | None]
    comparisons: tuple[Comparison, ...]

    @property
    def agrees(self) -> bool:
        """Whether every gradient agrees with the other methods."""
        return all(comparison.agrees for comparison in self.comparisons)


def work_through(op: Op, example: Example, seed: int | None = None) -> Worked:
    """Run an op and its vjp on an example.  The op may also be a wrong one."""
    inputs = example.arrays(seed)
    (y, vjp), forward = watch(op, *inputs.values(), **example.settings)
    dy = example.incoming(np.shape(y), seed)
    grads, backward = watch(vjp, dy)
    out = next(iter(inspect.signature(vjp).parameters)).removeprefix("d")
    gradients = dict(zip((f"d{name}" for name in inputs), grads, strict=True))
    return Worked(
        op=op.__name__,
        title=example.title,
        inputs=inputs,
        settings=example.settings,
        out=out,
        y=y,
        forward=_without_repeated_results(forward, {out: y}),
        saved=_saved_values(vjp),
        dy=dy,
        backward=_without_repeated_results(
            backward, {name: grad for name, grad in gradients.items() if grad is not None}
        ),
        gradients=gradients,
        comparisons=tuple(_compare_gradients(op, example, inputs, dy, gradients)),
    )


def _without_repeated_results(lines: tuple[ExecutedLine, ...], results: dict[str, Array]) -> tuple[ExecutedLine, ...]:
    """The lines, but the last one shows only results that no earlier line has shown under the same name."""
    shown = {name: value for line in lines for name, value in line.made.items()}
    new = {name: value for name, value in results.items() if not prints_alike(shown.get(name), value)}
    return (*lines[:-1], replace(lines[-1], made=new)) if lines else ()


def _saved_values(vjp: Vjp) -> dict[str, Any]:
    """The variables in a vjp's closure: arrays, shapes, settings; those of an inner vjp under their own names."""
    found: dict[str, Any] = {}
    for name, value in inspect.getclosurevars(vjp).nonlocals.items():
        if callable(value) and hasattr(value, "__closure__"):
            found |= {f"{inner} in {name}": kept for inner, kept in _saved_values(value).items()}
        elif not isinstance(value, ModuleType):
            found[name] = value
    return found


def _compare_gradients(
    op: Op, example: Example, inputs: dict[str, Array], dy: Array, gradients: dict[str, Array | None]
) -> list[Comparison]:
    """Every gradient beside the results of the other methods."""
    arrays = tuple(inputs.values())

    def forward(*moved: Array) -> Array:
        return op(*moved, **example.settings)[0]

    def comparison(i: int, name: str) -> Comparison:
        grad = gradients[f"d{name}"]
        other = by_complex_step(forward, arrays, i, dy) if example.complex else None
        returned = np.full(arrays[i].shape, np.nan) if grad is None else grad  # None: the gradient is missing
        return Comparison(f"d{name}", returned, other, by_differences(forward, arrays, i, dy))

    floats = [i for i, x in enumerate(arrays) if x.dtype.kind == "f"]
    names = list(inputs)
    return [comparison(i, names[i]) for i in floats if names[i] not in example.constants]
