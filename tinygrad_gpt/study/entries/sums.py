"""The sum of an entry, by the rules of its op."""

from tinygrad_gpt.study.entries.entry import Computation, EntrySum, Index
from tinygrad_gpt.study.entries.rules import RULES


def names_of(call: Computation) -> tuple[str, ...]:
    """The arrays of a call whose entries can be written as sums: y, gradients, and arrays inside the op."""
    return tuple(RULES[call.op](call))


def entry_sum(call: Computation, name: str, index: Index) -> EntrySum:
    """The terms whose sum is entry `index` of the array `name`.

    Raises ValueError for a name that the op does not have, for a gradient if dy is None, and for a position outside the
    array.
    """
    rules = RULES[call.op](call)
    if name not in rules:
        raise ValueError(f"name must be one of {', '.join(rules)}; got {name!r}")
    if name.startswith("d") and call.dy is None:
        raise ValueError(f"no gradient came back to this {call.op.__name__}")
    shape = _shape_of(call, name)
    if shape is not None and not _is_inside(index, shape):
        raise ValueError(f"{name} has shape {shape}, so there is no entry {index}")
    formula, blocks = rules[name](call, tuple(index))
    return EntrySum(name, tuple(index), formula, tuple(blocks))


def _is_inside(index: Index, shape: tuple[int, ...]) -> bool:
    return len(index) == len(shape) and all(0 <= i < n for i, n in zip(index, shape, strict=True))


def _shape_of(call: Computation, name: str) -> tuple[int, ...] | None:
    """The shape of an input, of its gradient, or of y; None for an array inside the op."""
    found = call.y if name in ("y", "dy") else call.inputs.get(name.removeprefix("d"))
    return None if found is None else tuple(found.shape)
