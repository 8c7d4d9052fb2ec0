"""Moved entries: the op runs on the numbers of the entries, so y shows which entry each of its entries copies."""

import math
from collections.abc import Callable

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.entries.call_sums import Rules
from tinygrad_gpt.study.entries.entry import Computation
from tinygrad_gpt.study.entries.rules.letters import axis_letters


def _starts(call: Computation) -> dict[str, int]:
    """The inputs that y copies, each with the number of its first entry, counted through all of them."""
    starts, start = {}, 0
    for name in call.inputs:
        if name != "mask":
            starts[name] = start
            start += math.prod(call.shape(name))
    return starts


def _origins(call: Computation) -> Array:
    """The number of the entry that each entry of y copies, counted through all inputs; -1 for a constant."""

    def make() -> Array:
        starts = _starts(call)
        numbered = [
            np.arange(math.prod(call.shape(name))).reshape(call.shape(name)) + starts[name]
            if name in starts
            else call.array(name)
            for name in call.inputs
        ]
        settings = {**call.settings, "value": -1} if "value" in call.settings else call.settings
        return np.asarray(call.op(*numbered, **settings)[0])

    found: Array = call.once("origins", make)
    return found


def copies(call: Computation) -> Rules:
    """Every entry of y is a copy of one entry, or a constant.

    `from[n]` is the number of the input that y[n] was copied from, and `from0[n]`, `from1[n]`, ... the position there.
    """
    lines: list[str] = []
    inside = {"from": lambda: _input_numbers(call)}
    for number, name in enumerate(_starts(call)):
        letters = [f"{letter}_{number}" for letter in axis_letters(len(call.shape(name)))]
        for axis, _ in enumerate(letters):
            inside[f"from{axis}"] = _position(call, axis)
        at = ",".join(f"from{axis}[n]" for axis, _ in enumerate(letters))
        same = "".join(f", from{axis}[n] = {letter}" for axis, letter in enumerate(letters))
        lines.append(f"{'+' if lines else 'y[n] ='} {name}[{at}] where from[n] = {number}")
        lines.append(f"d{name}[{','.join(letters)}] = Σ dy[n] where from[n] = {number}{same}")
    numbers = {}
    if "value" in call.settings:
        lines.insert(1, "+ {value} where from[n] = -1")
        numbers["value"] = float(call.settings["value"])
    lines.sort(key=lambda line: line.startswith("d"))  # the sum of y first
    return Rules("\n".join(lines), {"n": call.y.ndim}, inside=inside, numbers=numbers)


def _input_numbers(call: Computation) -> Array:
    """For each entry of y the number of the input that it copies; -1 for a constant."""
    return np.searchsorted(list(_starts(call).values()), _origins(call), side="right") - 1


def _position(call: Computation, axis: int) -> Callable[[], Array]:
    """For each entry of y, the position along one axis of the entry that it copies; 0 where that has no such axis."""

    def make() -> Array:
        found = np.zeros(call.y.shape, int)
        for number, (name, start) in enumerate(_starts(call).items()):
            shape = call.shape(name)
            if axis < len(shape):
                here = _input_numbers(call) == number
                found[here] = np.unravel_index(_origins(call)[here] - start, shape)[axis]
        return found

    return make


def embedding(call: Computation) -> Rules:
    """y[n] = table[ids[n]]."""
    table, ids = call.inputs
    text = f"""
        y[n,c] = {table}[{ids}[n],c]
        d{table}[v,c] = Σ dy[n,c] where {ids}[n] = v
    """
    return Rules(
        text,
        {"n": call.y.ndim - 1},
        inside={ids: lambda: call.array(ids) % max(call.shape(table)[0], 1)},  # -1 is the last row
    )
