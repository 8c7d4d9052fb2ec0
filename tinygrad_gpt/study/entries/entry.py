"""The terms whose sum is an entry of an array, and the array and position of each factor.

    call = Computation(ops.linear, {"x": x, "weight": weight, "bias": bias}, {}, y, dy)
    entry_sum(call, "dweight", (3, 5))      # dweight[3,5] = Σ x[n,3] dy[n,5], the largest terms first

A name says which array: an input's ("x"), "y", the gradient of an input ("dx"), or an array inside the op ("dS" of
attention).  The sums are those of the derivation in the op's file.

Everything here is computed in float64 from the arrays as they are, and by formulas for single entries: none of it goes
through the op's vjp, so that the two can be compared.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.kernels import Op

Index = tuple[int, ...]


@dataclass(frozen=True)
class Computation:
    """One call of an op on NumPy's arrays, and the gradient that came back to it.

    `inputs` are the op's array arguments by their names, in order; None for one that is left out.  `dy` is dLoss/dy, or
    None where no gradient arrived.
    """

    op: Op
    inputs: Mapping[str, Array | None]
    settings: Mapping[str, Any]
    y: Array
    dy: Array | None = None
    cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)  # what is made once

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an input, of y or of dy."""
        return tuple(self._given(name).shape)

    def array(self, name: str) -> Array:
        """An input, y or dy, in float64; integers and masks as they are."""

        def cast() -> Array:
            found = self._given(name)
            return found.astype(np.float64) if found.dtype.kind == "f" or found.dtype.name == "bfloat16" else found

        return self.once(f"array {name}", cast)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` returns, made once."""
        if name not in self.cache:
            self.cache[name] = make()
        return self.cache[name]

    def _given(self, name: str) -> Array:
        found = self.dy if name == "dy" else self.y if name == "y" else self.inputs.get(name)
        if found is None:
            raise ValueError(f"{self.op.__name__} has no array {name!r} here")
        return found


@dataclass(frozen=True)
class Factor:
    """One factor of a term: a number, what it is called, and in which array it stands."""

    name: str  # of the array in its computation; or the formula of a number that is in no array: "1/√D"
    value: float
    index: Index | None = None  # None for a number that is in no array
    form: str = "{}"  # how the value is made from the entry: "1/{}"

    def label(self, name: str | None = None) -> str:
        """The factor in words, "1/x[2, 3]"; with another name for its array."""
        return self.form.format(entry_text(name or self.name, self.index or ()))


@dataclass(frozen=True)
class Term:
    """A product of factors.  If terms come by several ways, `way` names the way of this term: "through the mean"."""

    value: float
    factors: tuple[Factor, ...]
    way: str = ""


@dataclass(frozen=True)
class Column:
    """One factor of many terms.

    `at` (n, ndim) are positions in the array `name`, and `values` (n) the entries there, or what `form` makes of them:
    "1/{}".  Without positions `name` is a formula, and `values` may be one number for all.
    """

    name: str
    values: Array | float
    at: Array | None = None
    form: str = "{}"


@dataclass(frozen=True)
class Block:
    """Many terms of one form."""

    columns: tuple[Column, ...]
    way: str = ""

    @cached_property
    def products(self) -> Array:
        """The terms' values, (n) of float64."""
        product = np.ones(())
        with np.errstate(all="ignore"):  # a diverged step has infinities, and 0 times one is nan
            for column in self.columns:
                product = product * np.asarray(column.values, np.float64)
        return np.atleast_1d(product)

    def term(self, n: int) -> Term:
        """The n-th term."""
        return Term(float(self.products[n]), tuple(_factor(column, n) for column in self.columns), self.way)


@dataclass(frozen=True)
class EntrySum:
    """An entry and the terms whose sum it is."""

    name: str
    index: Index
    formula: str
    blocks: tuple[Block, ...]

    def __len__(self) -> int:
        return len(self._products)

    @cached_property
    def total(self) -> float:
        """The exact sum of all terms, rounded once."""
        return _sum(self._products)

    @cached_property
    def sum_of_magnitudes(self) -> float:
        """The sum of the terms' absolute values: what rounding is relative to."""
        return _sum(np.abs(self._products))

    @cached_property
    def _products(self) -> Array:
        return np.concatenate([block.products for block in self.blocks]) if self.blocks else np.zeros(0)

    def terms(self, limit: int | None = None) -> list[Term]:
        """The terms, the largest (in absolute value) first; equal terms keep their order."""
        ends = np.cumsum([len(block.products) for block in self.blocks])
        largest = np.argsort(-np.abs(self._products), kind="stable")[:limit]
        found = []
        for i in largest:
            b = int(np.searchsorted(ends, i, side="right"))
            found.append(self.blocks[b].term(int(i - ends[b] + len(self.blocks[b].products))))
        return found


def _sum(values: Array) -> float:
    """The exact sum, rounded once; with infinities or nan, what floating-point addition gives."""
    if np.isfinite(values).all():
        with suppress(OverflowError):
            return math.fsum(values.tolist())
    with np.errstate(all="ignore"):
        return float(values.sum())


def _factor(column: Column, n: int) -> Factor:
    values = np.asarray(column.values, np.float64)
    value = float(values if values.ndim == 0 else values[n])
    index = None if column.at is None else tuple(int(i) for i in column.at[n])
    return Factor(column.name, value, index, column.form)


def entry_text(name: str, index: Index) -> str:
    """x[2, 3]; the name alone for a scalar."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def is_inside(index: Index, shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape has an entry at this position, counted from 0."""
    return len(index) == len(shape) and all(0 <= i < n for i, n in zip(index, shape, strict=True))
