"""Moved entries: the op runs on the numbers of the entries, so y shows which entry each of its entries copies."""

import math
from collections.abc import Mapping

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.entries.entry import Block, Column, Computation, Index, Rule
from tinygrad_gpt.study.entries.positions import column, one

Rules = Mapping[str, Rule]


def _origins(call: Computation) -> Array:
    """The number of the entry that each entry of y copies, counted through all inputs; -1 for a constant."""

    def make() -> Array:
        numbered, start = [], 0
        for name, array in call.inputs.items():
            assert array is not None
            if array.dtype == bool:
                numbered.append(array)
                continue
            n = math.prod(array.shape)
            numbered.append(np.arange(start, start + n, dtype=np.int64).reshape(array.shape))
            start += n
            del name
        settings = {**call.settings, "value": -1} if "value" in call.settings else call.settings
        return np.asarray(call.op(*numbered, **settings)[0])

    return call.made("origins", make)


def copies(call: Computation) -> Rules:
    """Every entry of y is a copy of one entry, or a constant."""
    starts, start = {}, 0
    for name, array in call.inputs.items():
        assert array is not None
        if array.dtype != bool:
            starts[name] = start
            start += math.prod(array.shape)

    def y(call: Computation, index: Index) -> tuple[str, list[Block]]:
        origin = int(_origins(call)[index])
        if origin < 0:
            return "a constant", [Block((Column("value", float(call.array("y")[index])),))]
        name = [name for name in starts if starts[name] <= origin][-1]
        at = np.unravel_index(origin - starts[name], call.array(name).shape)
        return f"a copy from {name}", [Block((column(call, name, one(tuple(int(i) for i in at))),))]

    def gradient(name: str) -> Rule:
        def dx(call: Computation, index: Index) -> tuple[str, list[Block]]:
            shape = call.array(name).shape
            number = starts[name] + (int(np.ravel_multi_index(index, shape)) if shape else 0)
            return "Σ dy over its copies", [Block((column(call, "dy", np.argwhere(_origins(call) == number)),))]

        return dx

    return {"y": y, **{f"d{name}": gradient(name) for name in starts}}


def embedding(call: Computation) -> Rules:
    """y[n] = table[ids[n]]."""
    table, ids = call.inputs

    def y(call: Computation, index: Index) -> tuple[str, list[Block]]:
        row = int(call.array(ids)[index[:-1]]) % len(call.array(table))
        return "table[ids]", [Block((column(call, table, one((row, index[-1]))),))]

    def dtable(call: Computation, index: Index) -> tuple[str, list[Block]]:
        numbers = call.array(ids) % len(call.array(table))
        rows = np.argwhere(numbers == index[0])
        at = np.concatenate([rows, np.full((len(rows), 1), index[1])], axis=1)
        return "Σ dy over the rows with this id", [Block((column(call, "dy", at),))]

    return {"y": y, f"d{table}": dtable}
