"""Why is this number what it is?  The sums behind one entry of a traced step, with the entries that they are made from.

    t.why("h.0.mlp.c_fc.weight", (3, 5))

There are two sums: the one by which the op computed the value, and the one that gives the value's gradient.  A gradient
is first a sum over the ops that used the value, with one term from each vjp.  Each of these terms is a sum of products,
by the rule in the op's file.  Every factor is shown with its name and position, so you can ask for that entry next:
from a weight's gradient to the loss and back.  "d NAME" is the gradient of NAME, dLoss/dNAME.
"""

import html
import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tinygrad_gpt.backend import Array, to_host
from tinygrad_gpt.debug.observe import argument_names
from tinygrad_gpt.study.entries import Computation, EntrySum, Factor, entry_sum, names_of
from tinygrad_gpt.study.entries.entry import Index, entry_text, is_inside
from tinygrad_gpt.study.entries.rules import RULES
from tinygrad_gpt.study.trace.records import OpRecord, Recording, Term, Value

_INSIDE = ":"  # between the name of an op's output and that of an array inside the op


@dataclass(frozen=True)
class Part:
    """One op's sum for the entry, and the number that the op or its vjp computed."""

    op: OpRecord
    number: float | None  # None for an array inside the op: the trace does not have it
    sum: EntrySum
    names: tuple[str, ...]  # the op's arrays that have sums


@dataclass(frozen=True)
class Why:
    """One entry: its number and its gradient, and the sums that give them."""

    name: str
    index: Index
    of: Value | None  # None for an array inside an op, whose numbers the trace does not have
    value: np.generic | None
    gradient: np.generic | None
    made: Part | None  # None for a value that no op made
    received: tuple[Part, ...]  # one from each vjp that sent a gradient
    tokens: Sequence[Sequence[str]] | None = None

    def text(self, limit: int = 8) -> str:
        """The sums as text, each with its largest terms."""
        return "\n".join(_lines(self, limit))

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        """A notebook shows the text."""
        return f"<pre>{html.escape(self.text())}</pre>"


def why(recording: Recording, name: str, index: Sequence[int], tokens: Sequence[Sequence[str]] | None = None) -> Why:
    """The sums behind entry `index` of the value `name`, or of an array inside an op: "h.0.attn.causal_attention:dS".

    `tokens` (B, T) are the texts of the batch's tokens; entries of arrays (B, T, ...) are then shown with theirs.

    Raises KeyError for an unknown name, ValueError for a position outside the array, TypeError for one that is
    not made of whole numbers.
    """
    at = tuple(operator.index(i) for i in index)
    value, inside = _value_named(recording, name)
    if inside:
        return _why_inside(recording, value, inside, at, tokens)
    shape = value.stats.shape
    if not is_inside(at, shape):
        raise ValueError(f"{name} has shape {shape}, so there is no entry {list(at)}")
    made = None
    if value.op is not None and (op := recording.ops[value.op]).function in RULES:
        made = _part(op, float(_entry(value.array, at)), "y", at)
    received = []
    for term in terms_with_sums(recording, value):
        op = recording.ops[term.op]
        argument = argument_names(op.function, len(op.inputs))[term.slot]
        received.append(_part(op, float(_entry(term.array, at)), f"d{argument}", at))
    gradient = None if value.gradient is None else _entry(value.gradient, at)
    return Why(name, at, value, _entry(value.array, at), gradient, made, tuple(received), tokens)


def _value_named(recording: Recording, name: str) -> tuple[Value, str]:
    """The value, and the name of the array inside its op, "" for none.  A value's own name may have a colon."""
    try:
        return recording[name], ""
    except KeyError:
        value_name, colon, inside = name.rpartition(_INSIDE)
        if not colon:
            raise
        return recording[value_name], inside


def _why_inside(
    recording: Recording, value: Value, inside: str, at: Index, tokens: Sequence[Sequence[str]] | None
) -> Why:
    if value.op is None or (op := recording.ops[value.op]).function not in RULES:
        raise ValueError(f"{value.name} was not made by an op, so there is no array {inside!r} inside it")
    if inside not in (names := names_of(computation_of(op))):
        raise ValueError(f"{value.name} has no array {inside!r}; it has {', '.join(names)}")
    return Why(f"{value.name}{_INSIDE}{inside}", at, None, None, None, _part(op, None, inside, at), (), tokens)


def _part(op: OpRecord, number: float | None, name: str, at: Index) -> Part:
    call = computation_of(op)
    return Part(op, number, entry_sum(call, name, at), names_of(call))


def terms_with_sums(recording: Recording, value: Value) -> Iterator[Term]:
    """The terms of a gradient.  Those of a recomputed block are the terms of its copy of the value."""
    for term in value.terms:
        if recording.ops[term.op].function in RULES:
            yield term
            continue
        for copy in recording.values:
            within = {recording.ops[part.op].within for part in copy.terms}
            if copy is not value and copy.name == value.name and within == {term.op}:
                yield from terms_with_sums(recording, copy)


def _entry(array: Array, at: Index) -> np.generic:
    found: np.generic = np.asarray(to_host(array))[at]
    return found


def computation_of(op: OpRecord) -> Computation:
    """The op's call as `entries` takes it."""
    names = argument_names(op.function, len(op.inputs))
    inputs = {name: to_host(value.array) for name, value in zip(names, op.inputs, strict=True)}
    dy = None if op.output.gradient is None else to_host(op.output.gradient)
    return Computation(op.function, inputs, op.given, np.asarray(to_host(op.output.array)), dy)


def _lines(found: Why, limit: int) -> Iterator[str]:
    entry = entry_text(found.name, found.index)
    token = "" if found.of is None else _token(found, found.of, found.index)
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
    line = f", {op.lines[0]}" if op.lines else ""
    n = len(part.sum)
    terms = "1 term" if n == 1 else f"{n:,} terms" + (f", the {limit} largest" if n > limit else "")
    yield f"  by {op.name} {op.index}{line}:  {part.sum.formula}   ({terms})"
    terms_shown = part.sum.terms(limit)
    for term in terms_shown:
        factors = " · ".join(_factor_text(found, part, factor) for factor in term.factors)
        yield f"    {term.value:+.6e} = {factors}{'   ' + term.way if term.way else ''}"
    if n > limit:
        rest = part.sum.total - sum(term.value for term in terms_shown)
        yield f"    {rest:+.6e}   the other {n - limit:,} terms"
    total = f"    {part.sum.total:+.6e}   the sum in float64"
    if part.number is None:
        yield total
    elif part.number == part.sum.total:
        yield f"{total}; computed: {part.number:+.6e}, equal"
    elif not math.isfinite(part.number):
        yield f"{total}; computed: {part.number:+.6e}"
    else:
        apart = abs(part.sum.total - part.number) / part.sum.sum_of_magnitudes
        yield f"{total}; computed: {part.number:+.6e}, {apart:.1e} apart"


def _factor_text(found: Why, part: Part, factor: Factor) -> str:
    """The factor's entry by its name in the trace, and its number."""
    number = f" {factor.value:.6g}"
    if factor.index is None:
        return factor.label() if _is_number(factor.label()) else factor.label() + number
    value, name = _value_of(part, factor.name)
    return factor.label(name) + number + ("" if value is None else _token(found, value, factor.index))


def _value_of(part: Part, array: str) -> tuple[Value | None, str]:
    """The value that an array of the op's rules is, None for one inside the op; and the name to ask for it."""
    op = part.op
    inputs = dict(zip(argument_names(op.function, len(op.inputs)), op.inputs, strict=True))
    if array in inputs:
        return inputs[array], inputs[array].name
    if array == "y":
        return op.output, op.output.name
    if array == "dy":
        return op.output, f"d {op.output.name}"
    return None, f"{op.output.name}{_INSIDE}{array}" if array in part.names else array


def _is_number(label: str) -> bool:
    """Whether a label says its number already: -1, 1/48."""
    return label.replace("-", "").replace("/", "").isdigit()


def _token(found: Why, value: Value, index: Index) -> str:
    """The token that a row of a (B, T, ...) array is at; parameters have none, whatever their shape."""
    tokens, shape = found.tokens, value.stats.shape
    if tokens is None or value.kind == "leaf" or shape[:2] != (len(tokens), len(tokens[0])):
        return ""
    return f" {tokens[index[0]][index[1]]!r}"


def _exact(number: np.generic) -> str:
    """The shortest decimal that reads back as this very number, and its dtype."""
    return f"{number} ({number.dtype})"
