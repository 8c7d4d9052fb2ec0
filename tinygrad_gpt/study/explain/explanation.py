"""explain: an op's formula, derivation and code, and its gradient worked out in numbers.

    print(explain("layer_norm"))

The derivation is the docstring of the op's file, the code is that file's code, and the numbers are computed anew each
time.  So the explanation always agrees with the code that trains.
"""

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

from tinygrad_gpt import ops
from tinygrad_gpt.checks import nearest
from tinygrad_gpt.study.derivatives import STEP, TINY_STEP
from tinygrad_gpt.study.entries import Computation, sums_text
from tinygrad_gpt.study.explain.docstrings import blocks
from tinygrad_gpt.study.explain.examples import EXAMPLES
from tinygrad_gpt.study.explain.text import block_text, code_text, comparisons_text, heading, power_of_ten, worked_text
from tinygrad_gpt.study.explain.worked_example import Op, Worked, work_through

OPS: dict[str, Op] = {op.__name__: op for op in ops.ALL_OPS}
_WIDTH = 80
_LIST_HINT = "tinygrad-gpt explain, without an op, lists them all"
ENTRY_BY_ENTRY = "Entry by entry"
HOW_TO_READ_SUMS = (
    "y is the result and dy the incoming gradient. The letters left of = say which entry is meant; Σ sums over all "
    "values of the other letters."
)
IN_NUMBERS = "In numbers, line by line"
OTHER_MEANS = (
    f"The same gradients from the forward pass alone: each entry moved by {power_of_ten(TINY_STEP)} i "
    f"(complex step), and by ±{power_of_ten(STEP)} (central differences)."
)


@dataclass(frozen=True, eq=False)
class Explanation:
    """Everything that the page of an op shows; str() is the page."""

    name: str
    purpose: str
    """what it does, in a sentence"""
    docstring: str
    """of the op's file: formula, derivation, shapes, numerics, source"""
    path: str
    """of the op's file, from the repository's root"""
    sums: str
    """each entry of y and of the gradients as a sum, in index notation; for the first example's settings"""
    code: str
    """of the op and of everything in its file that it uses"""
    uses: tuple[str, ...]
    """ops of other files that the code calls"""
    family: tuple[str, ...]
    """ops of the same file, itself included"""
    examples: tuple[Worked, ...]

    @property
    def agrees(self) -> bool:
        """Whether every gradient agrees with the complex step and with differences."""
        return all(worked.agrees for worked in self.examples)

    def text(self, width: int = _WIDTH) -> str:
        """The page, with prose of this many columns."""
        parts = [self.name, "=" * len(self.name), ""]
        for block in blocks(self.docstring):
            parts += [block_text(block, width), *([""] if block.kind != "section" else [])]
        parts += [heading(ENTRY_BY_ENTRY), textwrap.indent(self.sums, "    "), ""]
        parts += [textwrap.fill(f"{HOW_TO_READ_SUMS} docs/trace.md says more.", width), ""]
        parts += [heading(f"The code, {self.path}"), code_text(self.code), ""]
        if self.uses:
            parts += [f"It calls {' and '.join(self.uses)}: see there.", ""]
        for worked in self.examples:
            parts += [heading(worked.title or IN_NUMBERS), worked_text(worked, width), ""]
            parts += [textwrap.fill(OTHER_MEANS, width), "", comparisons_text(worked.comparisons), ""]
        return "\n".join(parts).rstrip()

    def __str__(self) -> str:
        return self.text()


def explain(op: str | Op, *, seed: int | None = None) -> Explanation:
    """The page of an op, which is given by name or as a function.  A seed gives random numbers instead of chosen ones.

    Raises ValueError for an unknown name, and suggests the nearest op; or for a seed outside [0, 2**64).
    """
    name = _name_of_op(op)
    if seed is not None and not 0 <= seed < 2**64:
        raise ValueError(f"seed must be at least 0 and below 2**64; got {seed}")
    function = OPS[name]
    module = sys.modules[function.__module__]
    examples = tuple(work_through(function, example, seed) for example in EXAMPLES[name])
    return Explanation(
        name=name,
        purpose=purpose(name),
        docstring=inspect.cleandoc(module.__doc__ or ""),
        path="/".join(module.__name__.split(".")) + ".py",
        sums=_sums(function, examples[0]),
        code=_code(function, module),
        uses=tuple(other for other in _names_in(function.__code__) if _is_op_of_another_file(other, module)),
        family=tuple(other for other, op in OPS.items() if op.__module__ == module.__name__),
        examples=examples,
    )


def _name_of_op(op: str | Op) -> str:
    """The op's name as ops spells it: layer_norm, layer-norm and LayerNorm are the same op."""
    if not isinstance(op, str):
        if op not in ops.ALL_OPS:
            raise ValueError(f"op must be one of ops.ALL_OPS, or its name; got {op!r}")
        return op.__name__
    by_spelling = {normalized_name(name): name for name in OPS}
    if normalized_name(op) not in by_spelling:
        near = nearest(op, OPS)
        raise ValueError(f"unknown op {op!r}; " + (f"did you mean {near}?" if near else _LIST_HINT))
    return by_spelling[normalized_name(op)]


def normalized_name(name: str) -> str:
    """Only the letters and digits of a name, in lower case."""
    return "".join(c for c in name.lower() if c.isalnum())


def purpose(name: str) -> str:
    """What an op does, in a sentence: from its file's docstring, or from its own if the file has several ops."""
    module = sys.modules[OPS[name].__module__]
    alone = sum(op.__module__ == module.__name__ for op in OPS.values()) == 1
    doc = (module.__doc__ if alone else OPS[name].__doc__) or ""
    return " ".join(doc.split("\n\n")[0].split())


def _sums(op: Op, worked: Worked) -> str:
    return sums_text(Computation(op, worked.inputs, worked.settings, worked.y, worked.dy))


def _code(function: Callable[..., Any], module: ModuleType) -> str:
    """The source of a function and of everything that it uses from its module, in the file's order."""
    found = {function.__name__: function}
    todo = [function]
    while todo:
        for name in _names_in(todo.pop().__code__):
            value = getattr(module, name, None)
            if isinstance(value, FunctionType) and value.__module__ == module.__name__ and name not in found:
                found[name] = value
                todo.append(value)
    lines = inspect.getsource(module).splitlines()
    used = {name for value in found.values() for name in _names_in(value.__code__)}
    constants = {name: i for name in used for i, line in enumerate(lines) if line.startswith(f"{name} = ")}
    sources = [lines[i] for i in sorted(constants.values())]
    in_order = sorted(found.values(), key=lambda value: value.__code__.co_firstlineno)
    functions = "\n\n\n".join(inspect.getsource(value).rstrip() for value in in_order)
    return "\n".join([*sources, "", "", functions] if sources else [functions])


def _names_in(code: CodeType) -> Iterator[str]:
    """The global names and attributes that a function, and the functions inside it, use."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


def _is_op_of_another_file(name: str, module: ModuleType) -> bool:
    op = OPS.get(name)
    return op is not None and op.__module__ != module.__name__ and getattr(module, name, None) is op


def listing(width: int = _WIDTH) -> str:
    """Every op by family, one line each."""
    column = max(map(len, OPS)) + 4
    lines = []
    for family, functions in ops.FAMILIES.items():
        lines += ["", family]
        for op in functions:
            head, rest = f"  {op.__name__}".ljust(column), " " * column
            lines.append(textwrap.fill(purpose(op.__name__), width, initial_indent=head, subsequent_indent=rest))
    return "\n".join(lines[1:])
