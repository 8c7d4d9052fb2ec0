"""An op worked out in numbers: forward line by line, the way back line by line, and its gradients by other means."""

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
COMPLEX_STEP_BOUND = 1e-12  # the numbers are of the order of 1, so this is a few thousand roundings
DIFFERENCES_BOUND = 1e-7  # h²f'''/6 at h = 1e-5, with room for an f''' of some thousands


@dataclass(frozen=True, eq=False)
class Comparison:
    """One gradient: as the vjp answers it, and by two other means."""

    name: str
    vjp: Array
    complex_step: Array | None
    """None if the op does not take complex numbers"""
    differences: Array

    def off(self) -> Array:
        """Which entries (bool) are farther from what the other means give than rounding explains."""
        wrong = ~(abs(self.vjp - self.differences) < DIFFERENCES_BOUND)
        if self.complex_step is not None:
            wrong |= ~(abs(self.vjp - self.complex_step) < COMPLEX_STEP_BOUND)
        return wrong

    @property
    def agrees(self) -> bool:
        """Whether all means give the same gradient."""
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
    """what the vjp holds on to, by name"""
    dy: Array
    backward: tuple[ExecutedLine, ...]
    gradients: dict[str, Array | None]
    comparisons: tuple[Comparison, ...]

    @property
    def agrees(self) -> bool:
        """Whether every gradient is what the other means give."""
        return all(comparison.agrees for comparison in self.comparisons)


def work_through(op: Op, example: Example, seed: int | None = None) -> Worked:
    """Run an op and its vjp on an example; the op may be anybody's, also one that is wrong."""
    inputs = example.arrays(seed)
    (y, vjp), forward = watch(op, *inputs.values(), **example.settings)
    dy = example.incoming(np.shape(y), seed)
    answer, backward = watch(vjp, dy)
    out = next(iter(inspect.signature(vjp).parameters)).removeprefix("d")
    gradients = dict(zip((f"d{name}" for name in inputs), answer, strict=True))
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


def _without_repeated_results(steps: tuple[ExecutedLine, ...], results: dict[str, Array]) -> tuple[ExecutedLine, ...]:
    """The steps, the last of which made the results, but for those that an earlier one has made by the same name."""
    shown = {name: value for step in steps for name, value in step.made.items()}
    new = {name: value for name, value in results.items() if not prints_alike(shown.get(name), value)}
    return (*steps[:-1], replace(steps[-1], made=new)) if steps else ()


def _saved_values(vjp: Vjp) -> dict[str, Any]:
    """What a vjp's closure holds on to: arrays, shapes, settings; that of an inner vjp under its own name."""
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
    """Every gradient beside what the other means give."""
    arrays = tuple(inputs.values())

    def forward(*moved: Array) -> Array:
        return op(*moved, **example.settings)[0]

    def comparison(i: int, name: str) -> Comparison:
        grad = gradients[f"d{name}"]
        other = by_complex_step(forward, arrays, i, dy) if example.complex else None
        answered = np.full(arrays[i].shape, np.nan) if grad is None else grad  # None is a gradient that is missing
        return Comparison(f"d{name}", answered, other, by_differences(forward, arrays, i, dy))

    floats = [i for i, x in enumerate(arrays) if x.dtype.kind == "f"]
    names = list(inputs)
    return [comparison(i, names[i]) for i in floats if names[i] not in example.constants]
