"""The terms whose sum is an entry of an array, and the array and position of each factor.

    call = Computation(ops.linear, {"x": x, "weight": weight, "bias": bias}, {}, y, dy)
    entry_sum(call, "dweight", (3, 5))      # dW[3, 5] = Σ_n x[n, 3] dy[n, 5], the largest terms first

A name says which array: an input's ("x"), "y", the gradient of an input ("dx"), or an array inside the op that the op's
file names ("dS" of attention).  The names, and the sums, are those of the derivation in the op's file.

Everything here is computed in float64 from the arrays as they are, and by formulas for single entries: none of it goes
through the op's vjp, so that the two can be compared.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    inside: dict[str, Array] = field(default_factory=dict, compare=False, repr=False)  # arrays inside the op, once made

    def array(self, name: str) -> Array:
        """An input, y or dy, in float64 (integers and masks as they are)."""
        found = self.dy if name == "dy" else self.y if name == "y" else self.inputs.get(name)
        if found is None:
            raise ValueError(f"{self.op.__name__} has no array {name!r} here")
        return found.astype(np.float64) if found.dtype.kind == "f" or found.dtype.name == "bfloat16" else found

    def made(self, name: str, make: Callable[[], Array]) -> Array:
        """An array inside the op, made once."""
        if name not in self.inside:
            self.inside[name] = make()
        return self.inside[name]


@dataclass(frozen=True)
class Factor:
    """One factor of a term: a number, what it is called, and in which array it stands."""

    label: str  # "x[2, 3]", or the formula of a number that stands in no array: "1/√D"
    value: float
    array: str | None = None  # the array's name in its call
    index: Index | None = None


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
        return sum(len(block.products) for block in self.blocks)

    @cached_property
    def total(self) -> float:
        """The exact sum of all terms, rounded once."""
        return math.fsum(value for block in self.blocks for value in block.products.tolist())

    @cached_property
    def size(self) -> float:
        """The sum of the terms' absolute values: what rounding is relative to."""
        return math.fsum(abs(value) for block in self.blocks for value in block.products.tolist())

    def terms(self, limit: int | None = None) -> Iterator[Term]:
        """The terms, the largest (in absolute value) first.  Equal terms keep their order."""
        where = [(b, n) for b, block in enumerate(self.blocks) for n in range(len(block.products))]
        values = np.concatenate([block.products for block in self.blocks]) if self.blocks else np.zeros(0)
        for i in np.argsort(-np.abs(values), kind="stable")[:limit]:
            b, n = where[i]
            yield self.blocks[b].term(n)


def _factor(column: Column, n: int) -> Factor:
    values = np.asarray(column.values, np.float64)
    value = float(values if values.ndim == 0 else values[n])
    if column.at is None:
        return Factor(column.name, value)
    index = tuple(int(i) for i in column.at[n])
    entry = f"{column.name}[{', '.join(map(str, index))}]" if index else column.name
    return Factor(column.form.format(entry), value, column.name, index)


Rule = Callable[[Computation, Index], tuple[str, Sequence[Block]]]  # -> the formula, as in the op's file, and the terms
