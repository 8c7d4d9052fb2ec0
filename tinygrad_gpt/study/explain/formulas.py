"""What a page says of an op: its file's docstring with the formulas drawn, and the rule of its vjp in a sentence.

Formulas and derivations stand in the ops' files alone; here they are only set.
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

_GRADIENT = re.compile(r"d\w+(?:/d\w+)?\s+=")  # such a line tells a gradient
RULES = {
    "add": "A sum hands its gradient to both terms, unchanged; what was broadcast receives the sum over its copies.",
    "subtract": "The gradient goes to a unchanged and to b with its sign turned.",
    "multiply": "Each factor receives the gradient times the other factor.",
    "divide": "The numerator's gradient is divided by b; the denominator's is minus that, times the quotient.",
    "negative": "The gradient turns its sign.",
    "power": "The base follows the power rule; the exponent receives the gradient times y ln a.",
    "exp": "e^x is its own slope: the gradient is multiplied by the result.",
    "log": "The gradient is divided by the input.",
    "sqrt": "The gradient is divided by twice the root.",
    "tanh": "The slope is 1 at 0 and dies away where tanh saturates at 1 or -1.",
    "relu": "The gradient passes where x was positive and stops elsewhere.",
    "sum": "Every term receives the whole gradient.",
    "mean": "Every term receives an n-th of the gradient.",
    "max": "Only the largest entry receives the gradient; several that tie share it.",
    "var": "Entries are pushed away from their mean, in proportion to their distance from it.",
    "reshape": "Each gradient goes home to its entry.",
    "transpose": "The axes go back to where they were, and the gradient with them.",
    "broadcast_to": "What was repeated receives the sum of what its copies receive.",
    "getitem": "Each entry that was read receives its gradient, twice if it was read twice; all others receive 0.",
    "split": "The part's gradient goes home.",
    "concatenate": "The gradient is cut where the arrays were joined, and each takes its piece.",
    "where": "The gradient goes to the entry that was chosen; the other had no influence and receives 0.",
    "masked_fill": "Where the constant was put in, x had no influence and receives 0.",
    "matmul": "Each matrix receives the gradient times the other one transposed, on the other one's side.",
    "softmax": (
        "Probabilities sum to 1, so only what lies above the gradient's weighted mean is raised, the rest is lowered."
    ),
    "log_softmax": "Each logit receives its own gradient, less its probability's share of the whole.",
    "embedding": (
        "Each row of the table receives the sum over the places where its token stands; tokens that are absent, 0."
    ),
    "linear": (
        "The input receives the gradient back through W; W the products of input and gradient; the bias "
        "their sum over all rows."
    ),
    "gelu": (
        "A large positive x passes the gradient, a large negative one stops it, and near 0 about half goes through."
    ),
    "layer_norm": (
        "What would shift or stretch a whole row is taken out of its gradient, since layer norm undoes it; "
        "the rest is scaled by 1/deviation."
    ),
    "causal_attention": (
        "A value receives gradient from every later token that looked at it, weighted by how much; queries "
        "and keys are moved so that looks which helped the loss become stronger."
    ),
    "dropout": "What was dropped receives 0; what was kept and scaled up has its gradient scaled up alike.",
    "cross_entropy": (
        "The softmax minus the one-hot target: the target's logit is pushed up, all others down by their probability."
    ),
    "linear_cross_entropy": (
        "The softmax minus the one-hot target gives the logits' gradient; a linear layer's rule takes it on "
        "to the hidden states and to the tokens' rows."
    ),
    "recomputed": (
        "Only the inputs were kept: the block runs again, is walked back at once, and hands over the gradients."
    ),
}


def formulas(function: Function) -> str:
    """What the op computes and what its vjp does, as HTML: the formulas without the way from one to the other."""
    displayed = [block for block in _docstring_of(function) if block.kind == "formula"]
    chosen = displayed[:1] + [block for block in displayed[1:] if _GRADIENT.match(block.lines[0])]
    return "".join(_of_block(block, function) for block in chosen)


def derivation(function: Function) -> str:
    """The docstring of an op's file as HTML; of formulas that list a family of ops line by line, this op's line.

    An op of somebody else's has its own docstring, as it stands.
    """
    if function not in ops.ALL_OPS:
        return _paragraph(inspect.getdoc(function) or "")
    return "".join(_of_block(block, function) for block in _docstring_of(function))


def _docstring_of(function: Function) -> list[Block]:
    """The parts of the docstring of an op's file; none for an op of somebody else's."""
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
    """Prose, if there is any."""
    return f"<p>{inline_html(text)}</p>" if text else ""


def inline_html(text: str) -> str:
    """Prose as HTML: `code`, and the word that opens the derivation."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    return re.sub(r"^Gradient\.", "<b>Gradient.</b>", text)


def _formula_html(line: str) -> str:
    """A line of formulas, each part that stands apart in a box of its own; as it is written, if it cannot be drawn."""
    try:
        parts = [mathml(tex(part)) for _, part in cells(line)]
    except ValueError:
        return f"<div><code>{html.escape(line.strip())}</code></div>"
    return f"<div>{''.join(f'<span>{part}</span>' for part in parts)}</div>"
