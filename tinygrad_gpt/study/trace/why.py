"""Why is this number what it is?  The sums behind one entry of a traced step, with the entries that they are made from.

    t.why("h.0.mlp.c_fc.weight", (3, 5))

There are two sums: the one by which the op computed the value, and the one that gives the value's gradient.  A gradient
is first a sum over the ops that used the value, with one term from each vjp.  Each of these terms is a sum of products,
by the rule in the op's file.  Every factor is shown with its name and position, so you can ask for that entry next:
from a weight's gradient to the loss and back.  "d NAME" is the gradient of NAME, dLoss/dNAME.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tinygrad_gpt.backend import Array, to_host
from tinygrad_gpt.debug.observe import argument_names
from tinygrad_gpt.study.entries import Computation, EntrySum, Factor, entry_sum, names_of
from tinygrad_gpt.study.entries.entry import Index
from tinygrad_gpt.study.entries.rules import RULES
from tinygrad_gpt.study.trace.call_sites import short_path
from tinygrad_gpt.study.trace.records import OpRecord, Recording, Value

_INSIDE = ":"  # between the name of an op's output and that of an array inside the op


@dataclass(frozen=True)
class Part:
    """The number that an op or its vjp computed for the entry, and its sum, which is None if the op has no rules."""

    op: OpRecord
    number: float
    sum: EntrySum | None


@dataclass(frozen=True)
class Why:
    """One entry: its number, its gradient, and the sums that give them."""

    name: str
    index: Index
    shape: tuple[int, ...]
    value: np.generic | None  # None for an array inside an op: the trace does not have it
    gradient: np.generic | None
    made: Part | None  # None for a value that no op made
    received: tuple[Part, ...]  # one from each vjp that sent a gradient
    tokens: Sequence[Sequence[str]] | None = None

    def text(self, limit: int = 8) -> str:
        """The sums as text, each with its largest terms."""
        return "\n".join(_lines(self, limit))

    def __str__(self) -> str:
        return self.text()


def why(recording: Recording, name: str, index: Sequence[int], tokens: Sequence[Sequence[str]] | None = None) -> Why:
    """The sums behind entry `index` of the value `name`, or of an array inside an op: "h.0.attn.causal_attention:dS".

    `tokens` (B, T) are the texts of the batch's tokens; entries of arrays (B, T, ...) are then shown with theirs.

    Raises KeyError for an unknown name, ValueError for a position outside the array.
    """
    at = tuple(int(i) for i in index)
    value_name, _, inside = name.partition(_INSIDE)
    value = recording[value_name]
    if inside:
        op = None if value.op is None else recording.ops[value.op]
        inner = () if op is None or op.function not in RULES else names_of(_computation(op))
        if op is None or inside not in inner:
            raise ValueError(f"{value_name} has inside it {', '.join(inner) or 'no arrays'}; got {inside!r}")
        return Why(name, at, (), None, None, Part(op, math.nan, entry_sum(_computation(op), inside, at)), (), tokens)
    shape = tuple(value.array.shape)
    if len(at) != len(shape) or any(not 0 <= i < n for i, n in zip(at, shape, strict=True)):
        raise ValueError(f"{name} has shape {shape}, so there is no entry {list(at)}")
    made = None
    if value.op is not None:
        op = recording.ops[value.op]
        made = Part(op, float(_entry(value.array, at)), _sum_of(op, "y", at))
    received = []
    for term in value.terms:
        op = recording.ops[term.op]
        argument = argument_names(op.function, len(op.inputs))[term.slot]
        received.append(Part(op, float(_entry(term.array, at)), _sum_of(op, f"d{argument}", at)))
    gradient = None if value.gradient is None else _entry(value.gradient, at)
    return Why(name, at, shape, _entry(value.array, at), gradient, made, tuple(received), tokens)


def _entry(array: Array, at: Index) -> np.generic:
    found: np.generic = np.asarray(to_host(array))[at]
    return found


def _sum_of(op: OpRecord, name: str, at: Index) -> EntrySum | None:
    return entry_sum(_computation(op), name, at) if op.function in RULES else None


def _computation(op: OpRecord) -> Computation:
    """The op's call as `entries` takes it."""
    names = argument_names(op.function, len(op.inputs))
    inputs = {name: to_host(value.array) for name, value in zip(names, op.inputs, strict=True)}
    dy = op.output.gradient
    return Computation(
        op.function, inputs, op.given, np.asarray(to_host(op.output.array)), None if dy is None else to_host(dy)
    )


def _lines(found: Why, limit: int) -> Iterator[str]:
    entry = _entry_text(found.name, found.index)
    token = _token(found, found.shape, found.index)
    if found.made is not None:
        number = "" if found.value is None else f" = {_exact(found.value)}"
        yield f"{entry}{number}{token}"
        yield from _part_lines(found, found.made, limit)
    elif found.value is not None:
        yield f"{entry} = {_exact(found.value)}{token}"
    if found.gradient is not None:
        yield ""
        yield f"d {entry} = {_exact(found.gradient)}{token}"
        if not found.received:
            yield "  backward started here"
        if len(found.received) > 1:
            parts = " + ".join(f"{part.number:.6g} ({part.op.name} {part.op.index})" for part in found.received)
            yield f"  = {parts}"
        for part in found.received:
            yield from _part_lines(found, part, limit)


def _part_lines(found: Why, part: Part, limit: int) -> Iterator[str]:
    op = part.op
    line = f", {short_path(op.lines[0].file)}:{op.lines[0].number}" if op.lines else ""
    if part.sum is None:
        yield f"  {part.number:.9g} by {op.name} {op.index}{line}"
        return
    n = len(part.sum)
    terms = "1 term" if n == 1 else f"{n:,} terms" + (f", the {limit} largest" if n > limit else "")
    yield f"  by {op.name} {op.index}{line}:  {part.sum.formula}   ({terms})"
    for term in part.sum.terms(limit):
        factors = " · ".join(_factor_text(found, op, factor) for factor in term.factors)
        yield f"    {term.value:+.6e} = {factors}{'   ' + term.way if term.way else ''}"
    shown = math.fsum(term.value for term in part.sum.terms(limit))
    if n > limit:
        yield f"    {part.sum.total - shown:+.6e}   the other {n - limit:,} terms"
    if not math.isnan(part.number):
        apart = abs(part.sum.total - part.number)
        relative = apart / part.sum.size if part.sum.size else 0.0
        yield f"    {part.sum.total:+.6e}   the sum in float64; computed: {part.number:+.6e}, {relative:.1e} apart"


def _factor_text(found: Why, op: OpRecord, factor: Factor) -> str:
    """The factor's entry by its name in the trace, and its number."""
    number = np.format_float_positional(factor.value, precision=6, fractional=False, trim="-")
    if factor.array is None or factor.index is None:
        return factor.label if _is_number(factor.label) else f"{factor.label} {number}"
    inputs = dict(zip(argument_names(op.function, len(op.inputs)), op.inputs, strict=True))
    if factor.array in inputs:
        value: Value = inputs[factor.array]
        name, shape = value.name, tuple(value.array.shape)
    elif factor.array in ("y", "dy"):
        name, shape = op.output.name, tuple(op.output.array.shape)
    else:
        name, shape = f"{op.output.name}{_INSIDE}{factor.array}", ()
    entry = _entry_text(f"d {name}" if factor.array == "dy" else name, factor.index)
    local = _entry_text(factor.array, factor.index)
    return f"{factor.label.replace(local, entry)} {number}{_token(found, shape, factor.index)}"


def _is_number(label: str) -> bool:
    """Whether a label says its number already: -1, 1/48."""
    return label.replace("-", "").replace("/", "").isdigit()


def _entry_text(name: str, index: Index) -> str:
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def _token(found: Why, shape: tuple[int, ...], index: Index) -> str:
    """The token that a row of a (B, T, ...) array is at."""
    tokens = found.tokens
    if tokens is None or len(shape) < 2 or shape[:2] != (len(tokens), len(tokens[0])):
        return ""
    return f" {tokens[index[0]][index[1]]!r}"


def _exact(number: np.generic) -> str:
    """The shortest decimal that reads back as this very number, and its dtype."""
    return f"{number} ({number.dtype})"
