"""A trace as one HTML file that needs nothing else: no network, no library, no server.

The file holds the numbers as JSON, and the style and the program from `page/`, which draw them.  Heat maps are a byte
an entry and have at most some thousand entries, so the file stays small whatever the model.
"""

import base64
import html
import inspect
import json
import math
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from tinygrad_gpt.backend import Array
from tinygrad_gpt.kernels import Op as Function
from tinygrad_gpt.study.formulas import derivation, formulas, rule
from tinygrad_gpt.study.numbers import Stats, heat_map
from tinygrad_gpt.study.places import scope_levels, short_path
from tinygrad_gpt.study.spot_check import Check
from tinygrad_gpt.study.trace import FORWARD, Op, Trace, Value

_PROGRAM = ("pictures.js", "model.js", "detail.js", "moving.js")  # one scope, in this order
_DIGITS = 6  # significant ones that the page is given
_SMALL = (32, 64)  # rows and columns of the heat maps of what a vjp keeps


def page(
    trace: Trace,
    *,
    title: str = "A training step, op by op",
    facts: Mapping[str, str] | None = None,
    checks: Iterable[Check] = (),
    note: str = "",
) -> str:
    """The whole file.  facts stand at the top; checks are what `spot_checks` has found; note says how it did."""
    content = {"title": title, "facts": {**_summary(trace), **(facts or {})}, "note": note, **_page_data(trace, checks)}
    data = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    parts = {
        "TITLE": html.escape(title),
        "/* STYLE */": page_part("page.css"),
        "/* PROGRAM */": "\n".join(map(page_part, _PROGRAM)),
        "DATA": data.replace("<", "\\u003c"),  # so that nothing in it can end the script
    }
    marks = re.compile("|".join(map(re.escape, parts)))
    return marks.sub(
        lambda mark: parts[mark[0]], page_part("page.html")
    )  # once through: what is put in may hold a mark


def page_part(name: str) -> str:
    """A file of the page."""
    return files("tinygrad_gpt.study").joinpath("page", name).read_text("utf-8")


def _summary(trace: Trace) -> dict[str, str]:
    """The step in a few numbers."""
    forward = sum(op.seconds for op in trace.ops)
    backward = sum(op.vjp_seconds or 0.0 for op in trace.ops)
    facts = {}
    if trace.loss is not None and trace.loss.array.size == 1:
        facts["loss"] = f"{float(trace.loss.array):.6g}"
    facts["forward"] = f"{len(trace.ops)} ops, {1000 * forward:.2f} ms"
    facts["backward"] = f"{len(trace.events) - len(trace.ops)} vjps, {1000 * backward:.2f} ms"
    facts["kept for backward"] = f"{trace.kept_bytes:,} bytes"
    return facts


def _page_data(trace: Trace, checks: Iterable[Check] = ()) -> dict[str, Any]:
    """Everything in the trace that the page shows."""
    by_value = defaultdict(list)
    for check in checks:
        by_value[check.value].append(check)
    functions = {op.name: op.function for op in trace.ops}
    kernels = {op.kernel: op.run for op in trace.ops if op.kernel}
    return {
        "ops": [_of_op(op) for op in trace.ops],
        "values": [
            {**_of_value(value), "checks": list(map(_of_check, by_value[value.index]))} for value in trace.values
        ],
        "events": [[event.way == FORWARD, event.op.index] for event in trace.events],
        "about": {name: _op_documentation(function) for name, function in functions.items()},
        "kernels": {str(name): _source(run) for name, run in kernels.items()},
    }


def _op_documentation(function: Function) -> dict[str, Any]:
    """What there is to read about an op: the rule of its vjp, its derivation and its code."""
    return {
        "rule": rule(function),
        "formulas": formulas(function),
        "derivation": derivation(function),
        "code": _source(function),
    }


def _source(function: Function) -> dict[str, Any]:
    """A function's code and where it stands; nothing for one that was made on the fly."""
    try:
        lines, first = inspect.getsourcelines(function)
        file = short_path(inspect.getsourcefile(function) or "")
    except (OSError, TypeError):
        return {"file": "", "line": 0, "text": ""}
    return {"file": file, "line": first, "text": textwrap.dedent("".join(lines))}


def _of_op(op: Op) -> dict[str, Any]:
    """An op."""
    return {
        "name": op.name,
        "scope": op.scope,
        "levels": scope_levels(op.scope),
        "lines": [[str(line), line.function, line.text] for line in op.lines],
        "inputs": [value.index for value in op.inputs],
        "wanted": list(op.wanted),
        "settings": op.settings,
        "within": op.within,
        "output": op.output.index,
        "kernel": op.kernel,
        "seconds": _round_to_digits(op.seconds),
        "vjpSeconds": None if op.vjp_seconds is None else _round_to_digits(op.vjp_seconds),
        "keptBytes": op.kept_bytes,
        "kept": [
            {
                "name": kept.name,
                "shape": list(kept.array.shape),
                "bytes": kept.nbytes,
                "owner": kept.owner,
                **({"map": _of_array(kept.array, *_SMALL)} if kept.owner is None and kept.array.size > 1 else {}),
            }
            for kept in op.kept
        ],
    }


def _of_value(value: Value) -> dict[str, Any]:
    """An array, its gradient and the terms of that."""
    return {
        "name": value.name,
        "kind": value.kind,
        "op": value.op,
        "stats": _of_stats(value.stats),
        "map": _of_array(value.array),
        "gradient": None if value.gradient_stats is None else _of_stats(value.gradient_stats),
        "gradientMap": None if value.gradient is None else _of_array(value.gradient),
        "terms": [
            {"op": term.op, "slot": term.slot, "stats": _of_stats(term.stats), "sum": _round_to_digits(term.sum.norm)}
            for term in value.terms
        ],
    }


def _of_check(check: Check) -> list[Any]:
    """A spot check."""
    numbers = (check.at, check.analytic, check.numeric, check.difference)
    return [list(check.index), *(_round_to_digits(number, 9) for number in numbers)]


def _of_stats(stats: Stats) -> list[Any]:
    """Shape, dtype, mean, deviation, least, largest, norm, how many are not finite."""
    numbers = (stats.mean, stats.std, stats.min, stats.max, stats.norm)
    return [list(stats.shape), stats.dtype, *map(_round_to_digits, numbers), stats.n_bad]


def _of_array(array: Array, *size: int) -> list[Any] | None:
    """A heat map: rows, columns, what 127 stands for, the bytes in base64, and the array's own rows and columns."""
    drawn = heat_map(array, *size)
    if not drawn.grid.size:
        return None
    grid = base64.b64encode(drawn.grid.tobytes()).decode("ascii")
    return [*drawn.grid.shape, _round_to_digits(drawn.scale), grid, *drawn.shape]


def _round_to_digits(number: float, digits: int = _DIGITS) -> float | None:
    """A number with few digits; None for what JSON has no word for."""
    return float(f"{number:.{digits}g}") if math.isfinite(number) else None
