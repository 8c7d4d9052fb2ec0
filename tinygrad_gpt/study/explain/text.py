"""The page of an op as text: prose is wrapped; formulas, code and numbers are not."""

import textwrap
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.explain.digits import array_text, decimals, value_text
from tinygrad_gpt.study.explain.docstrings import Block
from tinygrad_gpt.study.explain.executed_lines import ExecutedLine
from tinygrad_gpt.study.explain.worked_example import COMPLEX_STEP_BOUND, DIFFERENCES_BOUND, Comparison, Worked

_MIN_WIDTH = 80  # columns that every terminal has
_LABEL = 10  # columns of "Shapes.", "Saved." and so on
_LONG_NAME = 34  # characters; the value of a longer expression is on the next line
HEAD = ("", "vjp", "complex step", "differences", "")
Row = tuple[str, str, str, str, str]
_PLAIN = (bool, int, float, str, type(None))


def heading(title: str) -> str:
    """A title, underlined."""
    return f"{title}\n{'-' * len(title)}\n"


def block_text(block: Block, width: int) -> str:
    """A part of the docstring."""
    if block.kind == "doctest":
        return "\n" + textwrap.indent("\n".join(block.lines), "    ")
    if block.kind == "formula":
        return textwrap.indent("\n".join(block.lines), "    ")
    if block.kind == "section":
        label = f"{block.label}.".ljust(_LABEL)
        return textwrap.fill(
            " ".join(block.lines), width, initial_indent=label, subsequent_indent=" " * _LABEL, break_on_hyphens=False
        )
    return textwrap.fill(" ".join(block.lines), width, break_on_hyphens=False)


def code_text(source: str) -> str:
    """Lines of code as in the file; wrapping would change the program."""
    return textwrap.indent(source, "    ")


def worked_text(worked: Worked, width: int) -> str:
    """The example from its inputs to its gradients."""
    lines = [_named_value(name, value, width) for name, value in _inputs_and_array_settings(worked).items()]
    lines += ["", f"{worked.out}, vjp = {_call_text(worked)}", ""]
    lines += [_line_text(line, width) for line in worked.forward]
    if worked.saved:
        lines += ["", _saved_line(worked.saved, width)]
    names = ", ".join(worked.gradients) if len(worked.gradients) > 1 else f"({next(iter(worked.gradients))},)"
    lines += ["", _named_value(f"d{worked.out}", worked.dy, width), "", f"{names} = vjp(d{worked.out})", ""]
    lines += [_line_text(line, width) for line in worked.backward]
    if missing := [name for name, grad in worked.gradients.items() if grad is None]:
        lines += ["", f"{' and '.join(missing)}: None, a constant has no gradient"]
    return "\n".join(line.rstrip() for line in "\n".join(lines).split("\n"))


def _inputs_and_array_settings(worked: Worked) -> dict[str, Any]:
    """Inputs, and settings that are arrays or keys."""
    return worked.inputs | {name: value for name, value in worked.settings.items() if not _fits_in_call(value)}


def _fits_in_call(value: Any) -> bool:
    """Whether a setting is short enough to be written in the call."""
    return isinstance(value, _PLAIN) or (isinstance(value, tuple) and all(isinstance(item, _PLAIN) for item in value))


def _call_text(worked: Worked) -> str:
    settings = (
        f"{key}={value!r}" if _fits_in_call(value) else f"{key}={key}" for key, value in worked.settings.items()
    )
    return f"{worked.op}({', '.join([*worked.inputs, *settings])})"


def _saved_line(saved: dict[str, Any], width: int) -> str:
    """What the vjp saves: arrays first, with their shapes."""
    arrays = [f"{name} {_shape_text(value)}" for name, value in saved.items() if isinstance(value, np.ndarray)]
    others = [f"{name} = {value_text(value)}" for name, value in saved.items() if not isinstance(value, np.ndarray)]
    whole = "  ".join(["saved:", ", ".join(text.replace(" ", "\xa0") for text in [*arrays, *others])])
    return textwrap.fill(whole, width, initial_indent="    ", subsequent_indent=" " * 12).replace("\xa0", " ")


def _line_text(line: ExecutedLine, width: int) -> str:
    """A statement, and below it the values that it made."""
    indent = " " * (8 + len(line.source) - len(line.source.lstrip()))
    values = [
        item for made in (line.parts | line.made).items() if _showable(made[1]) for item in _arrays_by_name(*made)
    ]
    shown = [_named_value(name, value, width, indent) for name, value in values]
    if line.condition is not None:
        shown.append(f"{indent}-> {line.condition}")
    return "\n".join([code_text(line.source), *shown])


def _arrays_by_name(name: str, value: Any) -> list[tuple[str, Any]]:
    """A value with its name; for a list or a tuple of arrays, each array with its own."""
    if isinstance(value, list | tuple) and any(isinstance(item, np.ndarray) for item in value):
        return [(f"{name}[{i}]", item) for i, item in enumerate(value)]
    return [(name, value)]


def _showable(value: Any) -> bool:
    """Functions are not shown."""
    return not callable(value) or isinstance(value, type(np))


def _named_value(name: str, value: Any, width: int, indent: str = "    ") -> str:
    """name (shape) = value, on as many lines as the array has rows."""
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        return f"{indent}{name} = {value_text(value)}"
    head, text = f"{indent}{name} {_shape_text(value)} = ", array_text(value)
    rows = text.split("\n")
    if len(head) + max(map(len, rows)) > width or (len(name) > _LONG_NAME and len(rows) > 1):
        if len(head.rstrip()) > max(width, _MIN_WIDTH):
            head = f"{indent}{name}\n{indent}{_shape_text(value)} ="
        return f"{head.rstrip()}\n{textwrap.indent(text, indent + '    ')}"
    return head + text.replace("\n", "\n" + " " * len(head))


def _shape_text(x: Array) -> str:
    """(2, 3), but (3) for a vector, as in the docstrings."""
    return f"({', '.join(map(str, x.shape))})"


def comparisons_text(comparisons: tuple[Comparison, ...]) -> str:
    """One row per entry of every gradient, by the vjp and the other methods; below, their largest differences."""
    rows = [HEAD, *comparison_rows(comparisons), ("",) * 5, farthest_row(comparisons)]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        f"    {row[0].ljust(widths[0])}  {'  '.join(row[i].rjust(widths[i]) for i in (1, 2, 3))}{row[4]}".rstrip()
        for row in rows
    )


def comparison_rows(comparisons: tuple[Comparison, ...]) -> list[Row]:
    """The rows of every gradient."""
    return [row for comparison in comparisons for row in _entries(comparison)]


def farthest_row(comparisons: tuple[Comparison, ...]) -> Row:
    """The last row: the largest differences."""
    return "apart, at most", "", _farthest(comparisons, 1), _farthest(comparisons, 2), ""


def _entries(comparison: Comparison) -> list[Row]:
    found = []
    off = comparison.off()
    for place in np.ndindex(comparison.vjp.shape):
        name = comparison.name + (f"[{', '.join(map(str, place))}]" if place else "")
        exact = "-" if comparison.complex_step is None else decimals(comparison.complex_step[place])
        others = (decimals(comparison.vjp[place]), exact, decimals(comparison.differences[place]))
        found.append((name, *others, "  <- wrong" if off[place] else ""))
    return found


def _farthest(comparisons: tuple[Comparison, ...], which: int) -> str:
    """The largest difference from the complex step (1) or from differences (2); only "< bound" if it is small."""
    bound = (COMPLEX_STEP_BOUND, DIFFERENCES_BOUND)[which - 1]
    pairs = [(c.vjp, c.complex_step if which == 1 else c.differences) for c in comparisons]
    if any(other is None for _, other in pairs):
        return "-"
    apart = np.max([np.max(abs(vjp - other), initial=0) for vjp, other in pairs])
    return f"< {power_of_ten(bound)}" if apart < bound else f"{apart:.1e}"


def power_of_ten(x: float) -> str:
    """1e-7, where Python writes 1e-07."""
    return f"{x:.0e}".replace("e-0", "e-")
