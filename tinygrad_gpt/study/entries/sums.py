"""The sum of an entry, by the rules of its op."""

import numpy as np

from tinygrad_gpt.study.entries.call_sums import CallSums
from tinygrad_gpt.study.entries.entry import Computation, EntrySum, Index
from tinygrad_gpt.study.entries.notation import align_sums
from tinygrad_gpt.study.entries.rules import RULES


@np.errstate(all="ignore")
def sums_of(call: Computation) -> CallSums:
    """The sums of all arrays of a call, made once."""
    found: CallSums = call.once("sums", lambda: CallSums(call, RULES[call.op](call)))
    return found


def sums_text(call: Computation) -> str:
    """The sums of all arrays of a call in index notation, for a reader."""
    return align_sums(sums_of(call).rules.text)


def names_of(call: Computation) -> tuple[str, ...]:
    """The arrays of a call whose entries can be written as sums: y, gradients, and arrays inside the op."""
    return sums_of(call).names


@np.errstate(all="ignore")  # a diverged step is what one asks about
def entry_sum(call: Computation, name: str, index: Index) -> EntrySum:
    """The terms whose sum is entry `index` of the array `name`.

    Raises ValueError for a name that the op does not have, for a gradient if dy is None, and for a position outside the
    array.
    """
    return sums_of(call).entry(name, tuple(index))
