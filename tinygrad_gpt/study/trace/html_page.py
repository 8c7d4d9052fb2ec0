"""A trace as one HTML file that needs nothing else: no network, no library, no server.

The file contains the trace as JSON, and the style and the program of `page/`, which draw it.  A heat map has one byte
per cell and at most a few thousand cells, and of the exact numbers only so many are in the file (unless `full`), so it
stays small for any model.
"""

import base64
import html
import inspect
import json
import math
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from tinygrad_gpt.backend import Array
from tinygrad_gpt.kernels import Op, without_partial
from tinygrad_gpt.study.explain.formulas import derivation, formulas, rule
from tinygrad_gpt.study.trace.call_sites import scope_levels, short_path
from tinygrad_gpt.study.trace.exact import exact_numbers
from tinygrad_gpt.study.trace.records import OpRecord, Recording, Value
from tinygrad_gpt.study.trace.serialize import as_dict
from tinygrad_gpt.study.trace.spot_checks import Check
from tinygrad_gpt.study.trace.stats import heat_map

# The parts of the program have one scope; they run in this order.
_PROGRAM = (
    *("pictures.js", "model.js", "sums.js", "tokens.js", "grid.js", "places.js"),
    *("sum_view.js", "entry.js", "inside.js", "detail.js", "moving.js"),
)
_FILE_BYTES = 2_800_000  # that the arrays' numbers may fill up, besides the program and the sums
_LEAST_BYTES = 200_000  # of arrays, in the file of a model so deep that its heat maps alone fill it up
_BYTES_IN_BASE64 = 4 / 3
_DIGITS = 6  # significant digits of the numbers in the page
_CHECK_DIGITS = 9
_SMALL = (32, 64)  # rows and columns of the heat maps of what a vjp saves


@dataclass(frozen=True)
class BatchText:
    """The tokens of a step: ids and targets (B, T), and texts by token id."""

    ids: Array
    targets: Array
    vocabulary: Mapping[int, str]


def page(
    trace: Recording,
    *,
    title: str = "A training step, op by op",
    facts: Mapping[str, str] | None = None,
    checks: Iterable[Check] = (),
    note: str = "",
    text: BatchText | None = None,
    full: bool = False,
) -> str:
    """The whole file.  It shows the facts at the top; checks are from `spot_checks`, and note explains them.

    With the batch's `text`, tokens stand beside their rows.  `full` writes every array, whatever the file's size.
    """
    drawn = {
        "title": title,
        "facts": {**_summary(trace), **(facts or {})},
        "note": note,
        "text": None if text is None else _text(text),
        **_page_data(trace, checks),
    }
    left = (_FILE_BYTES - len(_json(drawn))) / _BYTES_IN_BASE64
    limit = math.inf if full else max(left, _LEAST_BYTES)
    data = _json({**drawn, "exact": exact_numbers(trace, limit, None if text is None else text.ids)})
    parts = {
        "TITLE": html.escape(title),
        "/* STYLE */": page_part("page.css"),
        "/* PROGRAM */": "\n".join(map(page_part, _PROGRAM)),
        "DATA": data.replace("<", "\\u003c"),  # nothing in it can end the script
    }
    marks = re.compile("|".join(map(re.escape, parts)))
    # In one pass: inserted text may contain a mark.
    return marks.sub(lambda mark: parts[mark[0]], page_part("page.html"))


def page_part(name: str) -> str:
    """The text of a file in `page/`."""
    return files("tinygrad_gpt.study.trace").joinpath("page", name).read_text("utf-8")


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _text(text: BatchText) -> dict[str, Any]:
    vocabulary = {str(token): label for token, label in text.vocabulary.items()}
    return {"ids": text.ids.tolist(), "targets": text.targets.tolist(), "vocabulary": vocabulary}


def _summary(trace: Recording) -> dict[str, str]:
    facts = {}
    if trace.loss is not None and trace.loss.array.size == 1:
        facts["loss"] = f"{float(trace.loss.array):.6g}"
    facts["forward"] = f"{len(trace.ops)} ops, {1000 * trace.forward_seconds:.2f} ms"
    facts["backward"] = f"{trace.n_vjps} vjps, {1000 * trace.backward_seconds:.2f} ms"
    facts["kept for backward"] = f"{trace.kept_bytes:,} bytes"
    return facts


def _page_data(trace: Recording, checks: Iterable[Check] = ()) -> dict[str, Any]:
    """`as_dict` with short numbers, and what is drawn and read on the page alone: heat maps, formulas, code."""
    data = as_dict(trace, checks)
    functions = {op.name: without_partial(op.function) for op in trace.ops}
    kernels = {op.kernel: op.run for op in trace.ops if op.kernel}
    return {
        "loss": data["loss"],
        "events": data["events"],
        "ops": [_shorten(entry) | _op_on_page(op) for op, entry in zip(trace.ops, data["ops"], strict=True)],
        "values": [
            _shorten(entry) | _heat_maps(value) for value, entry in zip(trace.values, data["values"], strict=True)
        ],
        "checks": [_shorten(check, _CHECK_DIGITS) for check in data["checks"]],
        "about": {name: _op_documentation(function) for name, function in functions.items()},
        "kernels": {str(name): _source(run) for name, run in kernels.items()},
    }


def _shorten(entry: Any, digits: int = _DIGITS) -> Any:
    """The same dictionaries and lists with numbers of few digits, which make a smaller file."""
    if isinstance(entry, dict):
        return {name: _shorten(item, digits) for name, item in entry.items()}
    if isinstance(entry, list | tuple):
        return [_shorten(item, digits) for item in entry]
    return float(f"{entry:.{digits}g}") if isinstance(entry, float) else entry


def _op_on_page(op: OpRecord) -> dict[str, Any]:
    """The boxes around an op, and heat maps of the arrays that only its vjp keeps."""
    drawn = [kept.array if kept.owner is None and kept.array.size > 1 else None for kept in op.kept]
    maps = [None if array is None else _cells(array, *_SMALL) for array in drawn]
    return {"levels": scope_levels(op.scope), "kept_maps": maps}


def _heat_maps(value: Value) -> dict[str, Any]:
    return {
        "map": _cells(value.array),
        "gradient_map": None if value.gradient is None else _cells(value.gradient),
    }


def _cells(array: Array, *size: int) -> list[Any] | None:
    """A heat map: rows, columns, what 127 stands for, the bytes in base64, and the array's own rows and columns."""
    drawn = heat_map(array, *size)
    if not drawn.grid.size:
        return None
    grid = base64.b64encode(drawn.grid.tobytes()).decode("ascii")
    return [*drawn.grid.shape, _shorten(drawn.scale), grid, *drawn.shape]


def _op_documentation(function: Op) -> dict[str, Any]:
    return {
        "rule": rule(function),
        "formulas": formulas(function),
        "derivation": derivation(function),
        "code": _source(function),
    }


def _source(function: Op) -> dict[str, Any]:
    """A function's code, its file and its line; empty if Python does not know the source."""
    try:
        lines, first = inspect.getsourcelines(function)
        file = short_path(inspect.getsourcefile(function) or "")
    except (OSError, TypeError):
        return {"file": "", "line": 0, "text": ""}
    return {"file": file, "line": first, "text": textwrap.dedent("".join(lines))}
