"""Moved entries: the op runs on the numbers of the entries, so y shows which entry each of its entries copies."""

import math

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.entries.entry import Block, Column, Computation, Index, Rule, Rules
from tinygrad_gpt.study.entries.positions import column, single_position


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
    """Every entry of y is a copy of one entry, or a constant."""
    starts = _starts(call)

    def y(index: Index) -> tuple[str, list[Block]]:
        origin = int(_origins(call)[index])
        if origin < 0:
            return "a constant", [Block((Column("value", float(call.array("y")[index])),))]
        name = [name for name in starts if starts[name] <= origin][-1]
        at = np.unravel_index(origin - starts[name], call.shape(name))
        return f"a copy from {name}", [Block((column(call, name, single_position(tuple(int(i) for i in at))),))]

    def gradient(name: str) -> Rule:
        def dx(index: Index) -> tuple[str, list[Block]]:
            shape = call.shape(name)
            number = starts[name] + (int(np.ravel_multi_index(index, shape)) if shape else 0)
            return "Σ dy over its copies", [Block((column(call, "dy", np.argwhere(_origins(call) == number)),))]

        return dx

    return {"y": y, **{f"d{name}": gradient(name) for name in starts}}


def embedding(call: Computation) -> Rules:
    """y[n] = table[ids[n]]."""
    table, ids = call.inputs

    def y(index: Index) -> tuple[str, list[Block]]:
        row = int(call.array(ids)[index[:-1]]) % len(call.array(table))
        return "table[ids]", [Block((column(call, table, single_position((row, index[-1]))),))]

    def dtable(index: Index) -> tuple[str, list[Block]]:
        numbers = call.array(ids) % len(call.array(table))
        rows = np.argwhere(numbers == index[0])
        at = np.insert(rows, rows.shape[1], index[1], axis=1)
        return "Σ dy over the rows with this id", [Block((column(call, "dy", at),))]

    return {"y": y, f"d{table}": dtable}
