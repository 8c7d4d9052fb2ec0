"""Watch a function run, line by line: each statement, and the values it made.

Python calls a tracer (sys.settrace) before every line.  A statement has ended when the next one begins or the function
returns.  It made the names that it assigned and the arrays that it changed in place.  Inner results, such as the mean
inside `x - x.mean()`, come from evaluating these expressions just before the statement.  So the function must have no
side effects, except on its own arrays; this is true of ops.
"""

import ast
import linecache
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.explain.digits import NUDGE

Values = dict[str, Any]
_NUMBERS = (np.ndarray, np.generic, float)
Tracer = Callable[[FrameType, str, Any], Any]


@dataclass(frozen=True, eq=False)
class ExecutedLine:
    """One statement that ran: its source, its inner results by their source, and the names that it set or changed."""

    source: str
    parts: dict[str, Array]
    made: Values
    condition: bool | None = None
    """whether the condition of an `if` was true"""


@dataclass(frozen=True, eq=False)
class Statement:
    """One statement of a function, or the head of an `if` or a `for`."""

    source: str
    targets: tuple[str, ...]
    parts: tuple[str, ...]
    condition: str = ""


def watch(function: Callable[..., Any], *inputs: Any, **settings: Any) -> tuple[Any, tuple[ExecutedLine, ...]]:
    """The result of function(*inputs, **settings), and the lines that ran.

    If it returns the result of another function of its module (`return gelu_tanh(x)`), the lines of that one follow.
    """
    watcher = Watcher(function.__code__)
    before = sys.gettrace()
    sys.settrace(watcher.on_call)
    try:
        result = function(*inputs, **settings)
    finally:
        sys.settrace(before)
    return result, tuple(watcher.outermost.all_lines()) if watcher.outermost else ()


class Watcher:
    """Chooses the calls to watch: the function's own, and its calls of functions in the same module."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.outermost: Call | None = None
        self.calls: dict[FrameType, Call] = {}

    def on_call(self, frame: FrameType, event: str, _: Any) -> Tracer | None:
        """Python calls this at every call of a function, to ask how to trace it."""
        if self.outermost is None and frame.f_code is self.code:
            call = self.calls[frame] = self.outermost = Call(frame)
            return call.on_event
        caller = self.calls.get(frame.f_back) if frame.f_back else None
        if caller and frame.f_globals is caller.frame.f_globals and not frame.f_code.co_name.startswith("<"):
            call = self.calls[frame] = Call(frame)
            caller.inner.append(call)
            return call.on_event
        return None


class Call:
    """One watched call."""

    def __init__(self, frame: FrameType) -> None:
        self.frame = frame
        self.statements = _statements(frame.f_code)
        self.lines: list[ExecutedLine] = []
        self.inner: list[Call] = []
        self.result: Any = None
        self.current: Statement | None = None
        self.before: Values = {}
        self.parts: dict[str, Array] = {}
        self.condition: bool | None = None

    def on_event(self, frame: FrameType, event: str, arg: Any) -> Tracer:
        """A line is about to run, or the function returns."""
        if event == "line" and (statement := self.statements.get(frame.f_lineno)) is not self.current:
            self.finish(frame)
            self.begin(frame, statement)
        elif event == "return":
            self.result = arg
            self.finish(frame)
        return self.on_event

    def begin(self, frame: FrameType, statement: Statement | None) -> None:
        """Note the values before a statement, and its inner results."""
        self.current = statement
        if statement:
            names = dict(frame.f_locals)
            self.before = {name: _frozen_copy(value) for name, value in names.items()}
            self.parts = dict(_inner_results(statement.parts, frame.f_globals | names))
            self.condition = bool(eval(statement.condition, frame.f_globals | names)) if statement.condition else None

    def finish(self, frame: FrameType) -> None:
        """Note the values that the statement made."""
        if not self.current:
            return
        names = frame.f_locals
        changed = [
            name for name in names if name not in self.before or not prints_alike(self.before[name], names[name])
        ]
        made = {
            name: _frozen_copy(names[name])
            for name in dict.fromkeys([*self.current.targets, *changed])
            if name in names
        }
        known = [*self.before.values(), *made.values(), *_as_items(self.result)]
        self.lines.append(ExecutedLine(self.current.source, _new_values(self.parts, known), made, self.condition))
        self.current = None

    def all_lines(self) -> Iterator[ExecutedLine]:
        """The lines, followed by those of the function whose result this one returns."""
        yield from self.lines
        for call in self.inner:
            if call.result is self.result:
                yield from call.all_lines()


def _inner_results(parts: tuple[str, ...], names: Values) -> Iterator[tuple[str, Array]]:
    """The expressions whose values are arrays, with these values."""
    for part in parts:
        value = eval(part, names)
        if isinstance(value, np.ndarray | np.generic):
            yield part, _frozen_copy(value)


def _new_values(parts: dict[str, Array], known: list[Any]) -> dict[str, Array]:
    """The parts whose values are not shown already."""
    found: dict[str, Array] = {}
    for part, value in parts.items():
        if not any(prints_alike(value, other) for other in [*known, *found.values()]):
            found[part] = value
    return found


def _frozen_copy(value: Any) -> Any:
    """The value, copied if it can change in place."""
    if isinstance(value, list):
        return [_frozen_copy(item) for item in value]
    return value.copy() if isinstance(value, np.ndarray) else value


def prints_alike(a: Any, b: Any) -> bool:
    """Whether two values look the same when printed."""
    if isinstance(a, _NUMBERS) and isinstance(b, _NUMBERS):
        return np.shape(a) == np.shape(b) and bool(np.all(np.isclose(a, b, rtol=0, atol=NUDGE, equal_nan=True)))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(prints_alike, a, b))
    return a is b or (isinstance(a, int | slice) and bool(a == b))


def _as_items(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple) else [result]


@lru_cache
def _statements(code: CodeType) -> dict[int, Statement]:
    """The statement on each line of a function; {} if Python does not know the source."""
    lines = linecache.getlines(code.co_filename)
    found: dict[int, Statement] = {}
    for node in ast.walk(ast.parse("".join(lines))):
        if isinstance(node, ast.Lambda) and code.co_name == "<lambda>" and node.lineno == code.co_firstlineno:
            source = ast.get_source_segment("".join(lines), node) or ""
            whole = Statement(source, (), _inner_expressions(node.body))
            found.update(dict.fromkeys(range(node.lineno, (node.end_lineno or node.lineno) + 1), whole))
        elif isinstance(node, ast.FunctionDef) and (node.name, node.lineno) == (code.co_name, code.co_firstlineno):
            for statement in _statements_in(node.body):
                first, last = statement.lineno, _last_line_of_head(statement)
                source = "".join(line[node.body[0].col_offset :] for line in lines[first - 1 : last]).rstrip()
                value = statement.value if isinstance(statement, ast.Assign | ast.Return | ast.Expr) else None
                condition = ast.unparse(statement.test) if isinstance(statement, ast.If) else ""
                made = Statement(
                    source, _assigned_names(statement), _inner_expressions(value) if value else (), condition
                )
                found.update(dict.fromkeys(range(first, last + 1), made))
    return found


def _statements_in(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements in a body and in the bodies inside it, without inner functions and `if`s that only raise."""
    for statement in body:
        inside = [getattr(statement, name, []) for name in ("body", "orelse")]
        if isinstance(statement, ast.FunctionDef) or (any(inside) and isinstance(inside[0][0], ast.Raise)):
            continue
        yield statement
        for inner in inside:
            yield from _statements_in(inner)


def _last_line_of_head(statement: ast.stmt) -> int:
    """The last line of a statement, or of an `if` or `for` without its body."""
    head = getattr(statement, "test", None) or getattr(statement, "iter", None) or statement
    return head.end_lineno or statement.lineno


def _assigned_names(statement: ast.stmt) -> tuple[str, ...]:
    """The names that a statement assigns; none for a `for`, which runs once more to find that nothing is left."""
    if isinstance(statement, ast.For):
        return ()
    found = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    nodes = [node for target in found if target for node in ast.walk(target)]
    return tuple(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))


def _inner_expressions(value: ast.expr) -> tuple[str, ...]:
    """Source of the calls and matrix products inside an expression, and of the sums and products in their arguments."""
    whole = value.elts if isinstance(value, ast.Tuple) else [value]
    found = [ast.unparse(node) for top in whole for node in _innermost_first(top) if node not in whole]
    return tuple(dict.fromkeys(found))


def _innermost_first(node: ast.AST) -> Iterator[ast.AST]:
    """The expressions inside an expression that are worth showing, and then itself."""
    if isinstance(node, ast.Lambda | ast.ListComp | ast.GeneratorExp | ast.IfExp):  # may run never, or often
        return
    for child in ast.iter_child_nodes(node):
        yield from _innermost_first(child)
    if isinstance(node, ast.Call):
        receiver = [node.func.value] if isinstance(node.func, ast.Attribute) else []
        yield from (operand for operand in [*receiver, *node.args] if isinstance(operand, ast.BinOp | ast.Compare))
        yield node
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        yield node
