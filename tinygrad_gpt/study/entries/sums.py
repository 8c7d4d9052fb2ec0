"""The sum of an entry, by the rules of its op."""

import numpy as np

from tinygrad_gpt.study.entries.entry import Computation, EntrySum, Index, InnerRule, is_inside
from tinygrad_gpt.study.entries.rules import RULES


@np.errstate(all="ignore")
def names_of(call: Computation) -> tuple[str, ...]:
    """The arrays of a call whose entries can be written as sums: y, gradients, and arrays inside the op."""
    return tuple(RULES[call.op](call))


@np.errstate(all="ignore")  # a diverged step is what one asks about
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
    rule = rules[name]
    shape = rule.shape if isinstance(rule, InnerRule) else call.shape("y" if name == "y" else name.removeprefix("d"))
    if not is_inside(index, shape):
        raise ValueError(f"{name} has shape {shape}, so there is no entry {index}")
    formula, blocks = rule(tuple(index))
    return EntrySum(name, tuple(index), formula, tuple(blocks))
