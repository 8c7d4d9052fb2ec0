"""Sums over axes: forward a term for each entry that is reduced, backward one term."""

import math

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.ops.reductions import normalize_axes, reduced_size
from tinygrad_gpt.study.entries.entry import Block, Column, Computation, Index, Rules
from tinygrad_gpt.study.entries.positions import column, inner, single_position


def _axes(call: Computation) -> tuple[int, ...]:
    """The axes that are reduced, counted from 0."""
    (x,) = call.inputs
    return normalize_axes(call.settings.get("axis"), len(call.shape(x)))


def _size(call: Computation) -> int:
    """The number of entries of x that are reduced to one entry of y."""
    (x,) = call.inputs
    return reduced_size(call.shape(x), call.settings.get("axis"))


def _result_of(call: Computation, index: Index) -> Array:
    """The position in y of the entry that x[index] is reduced to."""
    axes = _axes(call)
    if call.settings.get("keepdims"):
        return single_position(tuple(0 if i in axes else n for i, n in enumerate(index)))
    return single_position(tuple(n for i, n in enumerate(index) if i not in axes))


def _reduced_to(call: Computation, index: Index) -> Array:
    """The positions in x of the entries that are reduced to y[index]."""
    (x,) = call.inputs
    shape, axes, kept = call.shape(x), _axes(call), list(index)
    if call.settings.get("keepdims"):
        kept = [n for i, n in enumerate(index) if i not in axes]
    ranges = [range(n) if i in axes else [kept.pop(0)] for i, n in enumerate(shape)]
    if not shape:
        return single_position(())
    return np.stack([axis.reshape(-1) for axis in np.meshgrid(*ranges, indexing="ij")], axis=-1)


def _weighted(call: Computation, weight: list[Column], formula: str, back: str) -> Rules:
    """y = Σ w x with one weight for all."""
    (x,) = call.inputs

    def y(index: Index) -> tuple[str, list[Block]]:
        return formula, [Block((*weight, column(call, x, _reduced_to(call, index))))]

    def dx(index: Index) -> tuple[str, list[Block]]:
        return back, [Block((*weight, column(call, "dy", _result_of(call, index))))]

    return {"y": y, f"d{x}": dx}


def sum(call: Computation) -> Rules:
    """y = Σ x."""
    return _weighted(call, [], "Σ x", "dy")


def mean(call: Computation) -> Rules:
    """y = Σ x / n."""
    n = _size(call)
    return _weighted(call, [Column(f"1/{n}", float(np.divide(1.0, n)))], "Σ x / n", "dy / n")


def max(call: Computation) -> Rules:
    """y = max x; at a tie the gradient is shared equally."""
    (x,) = call.inputs

    def y(index: Index) -> tuple[str, list[Block]]:
        at = _reduced_to(call, index)
        values = call.array(x)[tuple(at.T)]
        first = int(values.argmax())
        return "max x", [Block((column(call, x, at[first : first + 1]),))]

    def dx(index: Index) -> tuple[str, list[Block]]:
        result = _result_of(call, index)
        among = call.array(x)[tuple(_reduced_to(call, tuple(result[0])).T)]
        attains = among == among.max()
        if not attains.any():
            return "dy where x is the largest", [
                Block((column(call, "dy", result), Column("nan is no entry", math.nan)))
            ]
        share = (call.array(x)[index] == among.max()) / attains.sum()
        label = "1" if share == 1 else "0, not the largest" if share == 0 else f"1/{attains.sum()}, a tie"
        return "dy where x is the largest", [Block((column(call, "dy", result), Column(label, float(share))))]

    return {"y": y, f"d{x}": dx}


def var(call: Computation) -> Rules:
    """y = Σ (x - mean x)² / (n - ddof)."""
    (x,) = call.inputs
    divisor = _size(call) - call.settings.get("ddof", 0)
    centred = call.array(x) - call.array(x).mean(axis=_axes(call), keepdims=True)
    weight = Column(f"1/{divisor}", float(np.divide(1.0, divisor)))

    def y(index: Index) -> tuple[str, list[Block]]:
        squares = inner(x, centred**2, _reduced_to(call, index), "({} - mean)²")
        return "Σ (x - mean)² / (n - ddof)", [Block((weight, squares))]

    def dx(index: Index) -> tuple[str, list[Block]]:
        deviation = inner(x, centred, single_position(index), "({} - mean)")
        factors = (column(call, "dy", _result_of(call, index)), Column("2", 2.0), deviation, weight)
        return "dy · 2 (x - mean) / (n - ddof)", [Block(factors)]

    return {"y": y, f"d{x}": dx}
