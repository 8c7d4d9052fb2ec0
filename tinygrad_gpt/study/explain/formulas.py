"""An op on an HTML page: its file's docstring with the formulas typeset, and the rule of its vjp in a sentence.

Formulas and derivations are written in the ops' files only; here they are only typeset.
"""

import html
import inspect
import re
import sys

from tinygrad_gpt import ops
from tinygrad_gpt.kernels import Op as Function
from tinygrad_gpt.study.explain.docstrings import Block, blocks
from tinygrad_gpt.study.explain.mathml import mathml
from tinygrad_gpt.study.explain.tex import cells, tex

_GRADIENT = re.compile(r"d\w+(?:/d\w+)?\s+=")  # a line with a gradient
_RULE = re.compile(r"(?:^|\n\n)Backward: (.+?)(?:\n\n|$)", re.DOTALL)


def rule(function: Function) -> str:
    """What the op's vjp does, in a sentence: the paragraph "Backward: ..." of its docstring; "" without one."""
    found = _RULE.search(inspect.getdoc(function) or "")
    sentence = " ".join(found[1].split()) if found else ""
    return sentence[:1].upper() + sentence[1:]


def formulas(function: Function) -> str:
    """The formulas of the op and of its gradients as HTML, without the derivation."""
    displayed = [block for block in _docstring_of(function) if block.kind == "formula"]
    chosen = displayed[:1] + [block for block in displayed[1:] if _GRADIENT.match(block.lines[0])]
    return "".join(_of_block(block, function) for block in chosen)


def derivation(function: Function) -> str:
    """The docstring of an op's file as HTML.  Where a formula has one line per op of the file, only this op's line.

    For an op that is not one of ours, its own docstring unchanged.
    """
    if function not in ops.ALL_OPS:
        return _paragraph(inspect.getdoc(function) or "")
    return "".join(_of_block(block, function) for block in _docstring_of(function))


def _docstring_of(function: Function) -> list[Block]:
    """The parts of the docstring of an op's file; none for an op that is not one of ours."""
    if function not in ops.ALL_OPS:
        return []
    return blocks(inspect.cleandoc(sys.modules[function.__module__].__doc__ or ""))


def _of_block(block: Block, function: Function) -> str:
    """A part of the docstring as HTML."""
    if block.kind == "formula":
        family = [op.__name__ for op in ops.ALL_OPS if op.__module__ == function.__module__]
        lines = block.lines
        if len(lines) == len(family) > 1:
            lines = [lines[family.index(function.__name__)]]
        return f'<div class="formula">{"".join(map(_formula_html, lines))}</div>'
    if block.kind == "section" and block.label != "Check":
        return f"<p><b>{html.escape(block.label)}.</b> {inline_html(' '.join(block.lines))}</p>"
    return _paragraph(" ".join(block.lines)) if block.kind == "prose" else ""


def _paragraph(text: str) -> str:
    return f"<p>{inline_html(text)}</p>" if text else ""


def inline_html(text: str) -> str:
    """Prose as HTML, with `code`, and with the word that opens the derivation in bold."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    return re.sub(r"^Gradient\.", "<b>Gradient.</b>", text)


def _formula_html(line: str) -> str:
    """A line of formulas, each separate part in its own box; if it cannot be typeset, the line as it is written."""
    try:
        parts = [mathml(tex(part)) for _, part in cells(line)]
    except ValueError:
        return f"<div><code>{html.escape(line.strip())}</code></div>"
    return f"<div>{''.join(f'<span>{part}</span>' for part in parts)}</div>"
