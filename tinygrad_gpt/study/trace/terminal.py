"""A trace in the terminal: the model as a tree, and each op or vjp as a card; both fit a width."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from tinygrad_gpt.study.explain.formulas import rule
from tinygrad_gpt.study.trace.call_sites import Line, scope_levels
from tinygrad_gpt.study.trace.records import FORWARD, Event, OpRecord, Recording, Term, Value
from tinygrad_gpt.study.trace.stats import Stats

_WIDTH = 80  # columns
_HEADINGS = (
    ("", "", "std of", "rms of", "us", "us", "bytes", ""),
    ("op", "shape", "value", "gradient", "forward", "backward", "kept", "line"),
)
_SHORT_HEADINGS = (_HEADINGS[0], ("op", "shape", "value", "grad", "fwd", "bwd", "kept", "line"))
_LEFT = (0, 1, 7)  # columns of words; the others are numbers, aligned on the right
Row = tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """How much room a tree takes."""

    folders: bool  # file names with their folders, and full headings
    exact: bool  # bytes, not thousands or millions of bytes
    indent: int
    gap: int  # spaces between columns


_LAYOUTS = (Layout(True, True, 2, 2), Layout(False, True, 2, 1), Layout(False, False, 2, 1), Layout(False, False, 1, 1))


def tree(trace: Recording, width: int = _WIDTH) -> str:
    """Boxes by indentation, in the order of the forward pass: one line per op, with its gradient.

    It uses the first layout that fits the width; if none does, it cuts names.
    """
    for layout in _LAYOUTS:
        rows = list(_entries(trace, layout))
        widths = _widths_of(rows)
        too_long = _total(widths, layout.gap) - width
        if too_long <= 0:
            break
    else:
        widths[0] -= min(too_long, widths[0] - len("0 op"))
    lines = [_layout_row(row, widths, layout.gap, width) for row in rows]
    return "\n".join([*lines, "", textwrap.fill(summary(trace), width)])


def _entries(trace: Recording, layout: Layout) -> Iterator[Row]:
    """The rows of the tree: headings, a box's name alone, or an op's columns."""
    yield from _HEADINGS if layout.folders else _SHORT_HEADINGS
    open_scope: list[str] = []
    for op in trace.ops:
        if op.within is not None:
            continue
        scope = scope_levels(op.scope)
        shared = _common_length(scope, open_scope)
        yield from ((" " * layout.indent * depth + name,) for depth, name in enumerate(scope) if depth >= shared)
        open_scope = scope
        yield _row(op, " " * layout.indent * len(scope), layout)


def _common_length(a: list[str], b: list[str]) -> int:
    """How many parts two scopes share from the left."""
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n


def _row(op: OpRecord, indent: str, layout: Layout) -> Row:
    gradient = op.output.gradient_stats
    return (
        f"{indent}{op.index} {op.name}",
        _shape_text(op.output.stats),
        "" if op.output.stats.whole or not op.output.stats.shape else f"{op.output.stats.std:.2g}",
        "" if gradient is None else f"{gradient.rms:.2g}",
        _microseconds(op.seconds),
        _microseconds(op.vjp_seconds),
        f"{op.kept_bytes:,}" if layout.exact else _rounded(op.kept_bytes),
        _place(op.lines[0], layout.folders) if op.lines else "",
    )


def _place(line: Line, folders: bool) -> str:
    return str(line) if folders else str(line).rpartition("/")[2]


def _rounded(n: int) -> str:
    """A number of bytes in six characters or fewer."""
    return f"{n:,}" if n < 1e5 else f"{n / 1e3:,.0f}k" if n < 1e7 else f"{n / 1e6:,.0f}M"


def _widths_of(rows: list[Row]) -> list[int]:
    return [max(len(row[i]) for row in rows if len(row) > 1) for i in range(len(_HEADINGS[0]))]


def _total(widths: list[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _layout_row(row: Row, widths: list[int], gap: int, width: int) -> str:
    """A line of the tree; text that does not fit ends in …"""
    if len(row) == 1:
        return _truncate(row[0], width)
    cells = [_truncate(row[0], widths[0]), *row[1:]]
    padded = [cells[i].ljust(n) if i in _LEFT else cells[i].rjust(n) for i, n in enumerate(widths)]
    return _truncate((" " * gap).join(padded).rstrip(), width)


def _truncate(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def summary(trace: Recording) -> str:
    """The step in one sentence."""
    forward, backward = 1000 * trace.forward_seconds, 1000 * trace.backward_seconds
    text = f"{len(trace.ops)} ops in {forward:.2f} ms, {trace.n_vjps} vjps in {backward:.2f} ms"
    loss = trace.loss
    if loss is not None and loss.array.size == 1:
        text = f"loss {float(loss.array):.6g}; {text}"
    return f"{text}; {trace.kept_bytes:,} bytes kept for backward"


def cards(trace: Recording, width: int = _WIDTH) -> Iterator[str]:
    """Every op and every vjp in order of time, each as a few lines of text; steps and ops count from 0."""
    for number, event in enumerate(trace.events):
        yield "\n".join([_fold(_heading(trace, event, number), width), *_body(event, width)])


def _fold(text: str, width: int) -> str:
    """Wrap a text without cutting words; its further lines are indented more."""
    inside = " " * (len(text) - len(text.lstrip()) + 5)
    return textwrap.fill(text, width, subsequent_indent=inside, break_long_words=False, break_on_hyphens=False)


def _heading(trace: Recording, event: Event, number: int) -> str:
    arrow = "forward ↓" if event.way == FORWARD else "backward ↑"
    again = "" if event.op.within is None else f", again within op {event.op.within}"
    where = event.op.scope or "the model itself"
    return f"[{number}/{len(trace.events) - 1}] {arrow}  {event.op.index} {event.op.name}  in {where}{again}"


def _body(event: Event, width: int) -> Iterator[str]:
    op = event.op
    yield from _forward_lines(op, width) if event.way == FORWARD else _backward_lines(op, width)


def _forward_lines(op: OpRecord, width: int) -> Iterator[str]:
    for line in op.lines[:1]:
        yield _call_lines(line, width)
    arrays = [("in", value.name, value.stats) for value in op.inputs]
    yield from _table([*arrays, ("out", op.output.name, op.output.stats)], width)
    for name, setting in op.settings.items():
        yield _fold(f"  with {name} = {setting}", width)
    if op.kept:
        names = ", ".join(dict.fromkeys(kept.name for kept in op.kept))
        yield _fold(f"  kept {op.kept_bytes:,} bytes: {names}", width)
    yield f"  took {_microseconds(op.seconds)} us" + (f" in {op.kernel}" if op.kernel else "")


def _backward_lines(op: OpRecord, width: int) -> Iterator[str]:
    arrived = op.output.gradient_stats
    if arrived is not None:
        yield from _table([("dy", f"of {op.output.name}", arrived)], width, gradient=True)
    for slot, (value, wanted) in enumerate(zip(op.inputs, op.wanted, strict=True)):
        terms = [term for term in value.terms if term.op == op.index and term.slot == slot]
        if wanted and terms:
            yield from _table([("to", value.name, terms[-1].stats)], width, gradient=True)
            if len(value.terms) > 1:
                yield _fold(f"       {_term_of_sum(value, terms[-1])}", width)
    if sentence := rule(op.function):
        yield _fold(f"  {sentence}", width)
    yield f"  took {_microseconds(op.vjp_seconds)} us"


def _call_lines(line: Line, width: int) -> str:
    """The calling line and its code; the code is on a second line if one would be too long."""
    where = f"  {line} in {line.caller}"
    if len(f"{where}  {line.text}") <= width:
        return f"{where}  {line.text}"
    return _fold(where, width) + "\n" + _fold(f"       {line.text}", width)


def _table(rows: list[tuple[str, str, Stats]], width: int, gradient: bool = False) -> list[str]:
    """One line per array; if they do not fit, each array's numbers are on a second line."""
    names, shapes = max(len(name) for _, name, _ in rows), max(len(_shape_text(stats)) for *_, stats in rows)
    lines = [
        f"  {kind:<4} {name:<{names}}  {_shape_text(stats):<{shapes}}  {_numbers_text(stats, gradient)}"
        for kind, name, stats in rows
    ]
    if max(map(len, lines)) > width:
        lines = [_array_lines(kind, name, stats, width, gradient) for kind, name, stats in rows]
    return lines


def _array_lines(kind: str, name: str, stats: Stats, width: int, gradient: bool) -> str:
    array, numbers = f"  {kind:<4} {name}  {_shape_text(stats)}", _numbers_text(stats, gradient)
    if len(f"{array}  {numbers}") <= width:
        return f"{array}  {numbers}"
    return _fold(array, width) + "\n" + _fold(f"       {numbers}", width)


def _term_of_sum(value: Value, term: Term) -> str:
    """Which term of a value's gradient this is, and the norms of all."""
    senders = ", ".join(f"{term.op} {term.stats.norm:.4g}" for term in value.terms)
    number = value.terms.index(term) + 1
    return f"term {number} of {len(value.terms)} (op and norm: {senders}), norm of the sum so far {term.sum.norm:.4g}"


def _shape_text(stats: Stats) -> str:
    """(2, 16, 32) as 2x16x32."""
    return "x".join(map(str, stats.shape)) or "scalar"


def _numbers_text(stats: Stats, gradient: bool = False) -> str:
    """An array's numbers on one line; for ids only the dtype, since their mean has no meaning.

    A gradient has its root mean square: the deviation is 0 if all its entries are equal.
    """
    if stats.whole:
        return stats.dtype
    bad = f"  {stats.n_bad} NOT FINITE" if stats.n_bad else ""
    if not stats.shape:
        return f"{stats.mean:.6g}{bad}"
    spread = f"rms {stats.rms:.3g}" if gradient else f"std {stats.std:.3g}"
    return f"mean {stats.mean:.3g}, {spread}, from {stats.min:.3g} to {stats.max:.3g}{bad}"


def _microseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1e6 * seconds:.0f}"
