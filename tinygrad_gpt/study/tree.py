"""A trace in the terminal: the model as a tree, and each op or vjp as a card of its own."""

from collections.abc import Iterator

from tinygrad_gpt.study.formulas import RULES
from tinygrad_gpt.study.numbers import Stats
from tinygrad_gpt.study.places import levels
from tinygrad_gpt.study.trace import FORWARD, Event, Op, Term, Trace, Value

INDENT = "  "
SHAPE = 14  # width
COLUMNS = "{:<34} {:<14} {:>9} {:>9} {:>8} {:>8} {:>8}  {}"
HEADINGS = (
    COLUMNS.format("", "", "std of", "std of", "us", "us", "bytes", "")
    + "\n"
    + COLUMNS.format("op", "shape", "value", "gradient", "forward", "backward", "kept", "line")
)


def tree(trace: Trace) -> str:
    """Boxes by indentation, in the order of the forward pass: a line for each op, with its gradient beside it."""
    lines: list[str] = [HEADINGS]
    open_scope: list[str] = []
    for op in trace.ops:
        if op.within is not None:
            continue
        scope = levels(op.scope)
        shared = common_length(scope, open_scope)
        lines += [INDENT * depth + name for depth, name in enumerate(scope) if depth >= shared]
        open_scope = scope
        lines.append(row(op, len(scope)))
    return "\n".join([*lines, "", summary(trace)])


def common_length(a: list[str], b: list[str]) -> int:
    """How many parts two scopes share from the left."""
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n


def row(op: Op, depth: int) -> str:
    """One line of the tree."""
    name = f"{INDENT * depth}{op.index} {op.name}"
    gradient = op.output.gradient_stats
    return COLUMNS.format(
        name,
        shape(op.output.stats),
        f"{op.output.stats.std:.2g}",
        "" if gradient is None else f"{gradient.std:.2g}",
        microseconds(op.seconds),
        microseconds(op.vjp_seconds),
        f"{op.kept_bytes:,}",
        op.lines[0] if op.lines else "",
    )


def summary(trace: Trace) -> str:
    """The step in a line or two."""
    forward = sum(op.seconds for op in trace.ops)
    backward = sum(op.vjp_seconds or 0.0 for op in trace.ops)
    vjps = len(trace.events) - len(trace.ops)
    text = f"{len(trace.ops)} ops in {1000 * forward:.2f} ms, {vjps} vjps in {1000 * backward:.2f} ms"
    loss = trace.loss
    if loss is not None and loss.array.size == 1:
        text = f"loss {float(loss.array):.6g}; {text}"
    return f"{text}; {trace.kept_bytes:,} bytes kept for the way back"


def cards(trace: Trace) -> Iterator[str]:
    """Every op and every vjp in order of time, each as a text of some lines."""
    for number, event in enumerate(trace.events, start=1):
        yield "\n".join([heading(trace, event, number), *body(trace, event)])


def heading(trace: Trace, event: Event, number: int) -> str:
    """Which of how many, which way, what and where."""
    arrow = "forward ↓" if event.way == FORWARD else "backward ↑"
    again = "" if event.op.within is None else f", again within op {event.op.within}"
    where = event.op.scope or "the model itself"
    return f"[{number}/{len(trace.events)}] {arrow}  {event.op.index} {event.op.name}  in {where}{again}"


def body(trace: Trace, event: Event) -> Iterator[str]:
    """What happened, line by line."""
    op = event.op
    if event.way == FORWARD:
        for line in op.lines[:1]:
            yield f"  {line}  {line.text}"
        for value in op.inputs:
            yield f"  in   {value.name:<28} {numbers(value.stats)}"
        yield f"  out  {op.output.name:<28} {numbers(op.output.stats)}"
        for name, setting in op.settings.items():
            yield f"  with {name} = {setting}"
        if op.kept:
            yield f"  kept {op.kept_bytes:,} bytes: {', '.join(dict.fromkeys(kept.name for kept in op.kept))}"
        yield f"  took {microseconds(op.seconds)} us" + (f" in {op.kernel}" if op.kernel else "")
        return
    if op.output.gradient_stats is not None:
        yield f"  dy   {'':<28} {numbers(op.output.gradient_stats)}"
    for slot, (value, wanted) in enumerate(zip(op.inputs, op.wanted, strict=True)):
        terms = [term for term in value.terms if term.op == op.index and term.slot == slot]
        if wanted and terms:
            yield f"  to   {value.name:<28} {numbers(terms[-1].stats)}"
            if len(value.terms) > 1:
                yield f"       {of_sum(value, terms[-1])}"
    if op.name in RULES:
        yield f"  {RULES[op.name]}"
    yield f"  took {microseconds(op.vjp_seconds)} us"


def of_sum(value: Value, term: Term) -> str:
    """Which part of a value's gradient a term is."""
    senders = ", ".join(f"{term.op} {term.stats.norm:.4g}" for term in value.terms)
    number = value.terms.index(term) + 1
    return f"term {number} of {len(value.terms)} (op and norm: {senders}), norm of the sum so far {term.sum.norm:.4g}"


def shape(stats: Stats) -> str:
    """(2, 16, 32) as 2x16x32."""
    return "x".join(map(str, stats.shape)) or "scalar"


def numbers(stats: Stats) -> str:
    """An array in a line."""
    bad = f"  {stats.n_bad} NOT FINITE" if stats.n_bad else ""
    if not stats.shape:
        return f"{'scalar':<{SHAPE}} {stats.mean:.6g}{bad}"
    within = f"from {stats.min:.3g} to {stats.max:.3g}"
    return f"{shape(stats):<{SHAPE}} mean {stats.mean:.3g}, std {stats.std:.3g}, {within}{bad}"


def microseconds(seconds: float | None) -> str:
    """Seconds as microseconds."""
    return "" if seconds is None else f"{1e6 * seconds:.0f}"
