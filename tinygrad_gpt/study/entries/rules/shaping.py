"""Ops that copy entries: run on the numbers of the entries, an op shows which entry each entry of y is a copy of."""

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

    `from0[n]`, `from1[n]`, ... is the position that y[n] was copied from.  If y copies several arrays or a constant,
    `from[n]` is the number of the array, or -1 for the constant.
    """
    inputs = list(_starts(call))
    has_constant = "value" in call.settings
    forward, backward = [], []
    for number, name in enumerate(inputs):
        letters = [letter + "'" * number for letter in axis_letters(len(call.shape(name)))]
        positions = [f"from{axis}[n]" for axis, _ in enumerate(letters)]
        chosen = [f"from[n] = {number}"] if len(inputs) > 1 or has_constant else []
        same = [f"{position} = {letter}" for position, letter in zip(positions, letters, strict=True)]
        forward.append(f"{name}[{','.join(positions)}]{_where(chosen)}")
        backward.append(f"d{name}[{','.join(letters)}] = Σ dy[n]{_where(chosen + same)}")
    if has_constant:
        forward.append("{value} where from[n] = -1")
    text = "\n".join(["y[n] = " + "\n+ ".join(forward), *backward])
    inside = {"from": lambda: _input_numbers(call)} if len(forward) > 1 else {}
    for axis in range(max(len(call.shape(name)) for name in inputs)):
        inside[f"from{axis}"] = _position(call, axis)
    numbers = {"value": float(call.settings["value"])} if has_constant else {}
    return Rules(text, {"n": call.y.ndim}, inside=inside, numbers=numbers)


def _where(conditions: list[str]) -> str:
    return f" where {', '.join(conditions)}" if conditions else ""


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
