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
    without_sums: tuple[tuple[OpRecord, float], ...] = ()  # ops without rules, and what their vjps sent

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
    received, without_sums = [], []
    for term in gradient_terms(recording, value):
        op, number = recording.ops[term.op], float(_entry(term.array, at))
        if op.function in RULES:
            received.append(_part(op, number, f"d{list(op.arguments)[term.slot]}", at))
        else:
            without_sums.append((op, number))
    gradient = None if value.gradient is None else _entry(value.gradient, at)
    entry = _entry(value.array, at)
    return Why(name, at, value, entry, gradient, made, tuple(received), tokens, tuple(without_sums))


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
        without = "was not made by an op" if value.op is None else "was made by an op without rules"
        raise ValueError(f"{value.name} {without}, so there is no array {inside!r} inside it")
    if inside not in (names := names_of(computation_of(op))):
        raise ValueError(f"{value.name} has no array {inside!r}; it has {', '.join(names)}")
    return Why(f"{value.name}{_INSIDE}{inside}", at, None, None, None, _part(op, None, inside, at), (), tokens)


def _part(op: OpRecord, number: float | None, name: str, at: Index) -> Part:
    call = computation_of(op)
    return Part(op, number, entry_sum(call, name, at), names_of(call))


def gradient_terms(recording: Recording, value: Value) -> Iterator[Term]:
    """The terms of a gradient.  Those of a recomputed block are the terms of its copy of the value."""
    for term in value.terms:
        copies = [] if recording.ops[term.op].function in RULES else _recomputed_copies(recording, value, term.op)
        if not copies:
            yield term
        for copy in copies:
            yield from gradient_terms(recording, copy)


def _recomputed_copies(recording: Recording, value: Value, op: int) -> list[Value]:
    """The values that stand for this one in the block that an op ran again in backward."""
    return [
        copy
        for copy in recording.values
        if copy is not value
        and copy.array is value.array
        and {recording.ops[part.op].within for part in copy.terms} == {op}
    ]


def _entry(array: Array, at: Index) -> np.generic:
    found: np.generic = np.asarray(to_host(array))[at]
    return found


def computation_of(op: OpRecord) -> Computation:
    """The op's call as `entries` takes it."""
    inputs = {name: to_host(value.array) for name, value in op.arguments.items()}
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
        sent = [*((part.op, part.number) for part in found.received), *found.without_sums]
        if not sent:
            yield "  backward started here"
        if len(sent) > 1:
            yield f"  = {' + '.join(f'{result:.6g} ({op.name} {op.index})' for op, result in sent)}"
        for part in found.received:
            yield from _part_lines(found, part, limit)
        for op, result in found.without_sums:
            yield f"  by {_op_and_line(op)}:  computed: {result:+.6e}; this op has no rules, so there is no sum"


def _part_lines(found: Why, part: Part, limit: int) -> Iterator[str]:
    n = len(part.sum)
    terms = "1 term" if n == 1 else f"{n:,} terms" + (f", the {limit} largest" if n > limit else "")
    yield f"  by {_op_and_line(part.op)}:  {part.sum.formula}   ({terms})"
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
        difference, scale = abs(part.sum.total - part.number), part.sum.sum_of_magnitudes
        apart = difference / scale if scale else math.inf  # all terms are 0, and another number was computed
        yield f"{total}; computed: {part.number:+.6e}, {apart:.1e} apart"


def _op_and_line(op: OpRecord) -> str:
    return f"{op.name} {op.index}{f', {op.lines[0]}' if op.lines else ''}"


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
    inputs = op.arguments
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
