"""Sums over axes: forward a term for each entry that is reduced, backward one term."""

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.ops.reductions import normalize_axes, reduced_size
from tinygrad_gpt.study.entries.call_sums import Rules
from tinygrad_gpt.study.entries.entry import Computation
from tinygrad_gpt.study.entries.rules.letters import axis_letters


class _Reduction:
    """The axes that are reduced, and the indices of an entry in x and of the entry of y that it goes into."""

    def __init__(self, call: Computation) -> None:
        self.call = call
        (self.x,) = call.inputs
        shape = call.shape(self.x)
        self.axes = normalize_axes(call.settings.get("axis"), len(shape))
        self.size = reduced_size(shape, call.settings.get("axis"))
        letters = axis_letters(len(shape))
        self.at = ",".join(letters)
        kept = [letter if axis not in self.axes else "0" for axis, letter in enumerate(letters)]
        if not call.settings.get("keepdims"):
            kept = [letter for axis, letter in enumerate(letters) if axis not in self.axes]
        self.at_y = ",".join(kept)
        self.sigma = "Σ " if self.axes else ""


def sum(call: Computation) -> Rules:
    """y = Σ x."""
    r = _Reduction(call)
    return Rules(f"""
        y[{r.at_y}] = {r.sigma}{r.x}[{r.at}]
        d{r.x}[{r.at}] = dy[{r.at_y}]
    """)


def mean(call: Computation) -> Rules:
    """y = Σ x / n."""
    r = _Reduction(call)
    share = f"1/{r.size}"
    text = f"""
        y[{r.at_y}] = {r.sigma}{r.x}[{r.at}] {{{share}}}
        d{r.x}[{r.at}] = dy[{r.at_y}] {{{share}}}
    """
    return Rules(text, numbers={share: float(np.divide(1.0, r.size))})


def max(call: Computation) -> Rules:
    """y = max x; at a tie the gradient is shared equally."""
    r = _Reduction(call)
    text = f"""
        y[{r.at_y}] = {r.sigma}{r.x}[{r.at}] where first[{r.at}] = 1
        d{r.x}[{r.at}] = dy[{r.at_y}] share[{r.at}]
    """

    def share() -> Array:
        x = call.array(r.x)
        highest = x == x.max(axis=r.axes, keepdims=True)
        return np.divide(highest, highest.sum(axis=r.axes, keepdims=True))  # nan where nan is the largest

    def first() -> Array:
        x = call.array(r.x)
        rows = np.moveaxis(x, r.axes, range(-len(r.axes), 0))
        flat = rows.reshape(*rows.shape[: x.ndim - len(r.axes)], r.size)
        found = np.zeros(flat.shape, int)
        np.put_along_axis(found, flat.argmax(axis=-1, keepdims=True), 1, axis=-1)
        return np.moveaxis(found.reshape(rows.shape), range(-len(r.axes), 0), r.axes)

    return Rules(text, inside={"first": first, "share": share})


def var(call: Computation) -> Rules:
    """y = Σ (x - mean)² / (n - ddof)."""
    r = _Reduction(call)
    divisor = r.size - call.settings.get("ddof", 0)
    share, twice = f"1/{divisor}", f"2/{divisor}"
    text = f"""
        y[{r.at_y}] = {r.sigma}({r.x}[{r.at}]-mean)² {{{share}}}
        d{r.x}[{r.at}] = dy[{r.at_y}] ({r.x}[{r.at}]-mean) {{{twice}}}
    """

    def centred() -> Array:
        x = call.array(r.x)
        found: Array = x - x.mean(axis=r.axes, keepdims=True)
        return found

    numbers = {share: float(np.divide(1.0, divisor)), twice: float(np.divide(2.0, divisor))}
    inside = {f"({r.x}-mean)": centred, f"({r.x}-mean)²": lambda: centred() ** 2}
    return Rules(text, inside=inside, numbers=numbers)
