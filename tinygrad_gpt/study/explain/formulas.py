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
RULES = {
    "add": "Both terms receive the gradient unchanged; an array that was broadcast receives the sum over its copies.",
    "subtract": "a receives the gradient unchanged, b receives it with the opposite sign.",
    "multiply": "Each factor receives the gradient times the other factor.",
    "divide": "The numerator's gradient is dy / b; the denominator's is minus that, times the quotient.",
    "negative": "The gradient changes its sign.",
    "power": "The base follows the power rule; the exponent receives the gradient times y ln a.",
    "exp": "e^x is its own derivative: the gradient is multiplied by the result.",
    "log": "The gradient is divided by the input.",
    "sqrt": "The gradient is divided by twice the root.",
    "tanh": "The slope is 1 at 0, and goes to 0 where tanh saturates at 1 or -1.",
    "relu": "The gradient passes where x was positive and stops elsewhere.",
    "sum": "Every term receives the whole gradient.",
    "mean": "Every term receives an n-th of the gradient.",
    "max": "Only the largest entry receives the gradient; tied entries share it.",
    "var": "Entries are pushed away from their mean, in proportion to their distance from it.",
    "reshape": "Each gradient goes back to its entry.",
    "transpose": "The gradient's axes are put back in their old order.",
    "broadcast_to": "An entry that was repeated receives the sum of the gradients of its copies.",
    "getitem": "Each entry that was read receives its gradient, or the sum if it was read twice; all others, 0.",
    "split": "The part's gradient goes back to its entries; all others receive 0.",
    "concatenate": "The gradient is cut where the arrays were joined, and each array receives its piece.",
    "where": "The chosen entry receives the gradient; the other had no influence and receives 0.",
    "masked_fill": "Where the constant was put in, x had no influence and receives 0.",
    "matmul": "Each matrix receives the gradient times the other one transposed, on the other one's side.",
    "softmax": (
        "Probabilities sum to 1, so each entry receives p times the distance of its gradient from their weighted mean."
    ),
    "log_softmax": "Each logit receives its own gradient, minus its probability times the sum of the row's.",
    "embedding": (
        "Each row of the table receives the sum over all positions of its token; rows of absent tokens receive 0."
    ),
    "linear": (
        "The input receives the gradient through W; W receives the products of input and gradient; the bias "
        "receives the sum of the gradient over all rows."
    ),
    "gelu": (
        "A large positive x passes the gradient, a large negative one stops it, and near 0 about half of it passes."
    ),
    "layer_norm": (
        "Layer norm undoes any shift or scaling of a whole row, so these two parts are removed from the gradient; "
        "the rest is divided by the deviation."
    ),
    "causal_attention": (
        "A value receives the gradient of every later token that attended to it, weighted by how much; queries "
        "and keys change so that attention which lowers the loss becomes stronger."
    ),
    "dropout": "Dropped entries receive 0; the others were scaled up, and so is their gradient.",
    "cross_entropy": ("The softmax minus the one-hot target: a step raises the target's logit and lowers the others."),
    "linear_cross_entropy": (
        "The softmax minus the one-hot target is the logits' gradient; by the rule of a linear layer it goes on "
        "to the hidden states and to the tokens' rows."
    ),
    "recomputed": (
        "Only the inputs were saved: the block runs again, and its backward gives the gradients of its inputs."
    ),
}


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
