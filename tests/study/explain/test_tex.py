"""Formulae as LaTeX: whole, and in commands that every renderer knows."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.study.explain.docstrings import blocks
from tinygrad_gpt.study.explain.explanation import OPS, explain
from tinygrad_gpt.study.explain.tex import formula, tex

KNOWN = {
    *("mu", "varepsilon", "pi", "Phi", "sum", "circ", "cdot", "tfrac", "dots", "top", "infty", "hat", "bar", "sqrt"),
    *("operatorname", "mathit", "text", "quad", "qquad", "begin", "end"),
}


@pytest.mark.parametrize("name", OPS)
def test_every_formula_of_every_op(name):
    found = [formula(block.lines) for block in blocks(explain(name).docstring) if block.kind == "formula"]
    assert found
    for latex in found:
        assert latex.isascii(), latex  # nothing was left as it was
        assert set(re.findall(r"\\([A-Za-z]+)", latex)) <= KNOWN
        depth = 0
        for brace in re.findall(r"(?<!\\)[{}]", latex):
            depth += 1 if brace == "{" else -1
            assert depth >= 0
        assert depth == 0
        assert latex.count(r"\begin{array}") == latex.count(r"\end{array}") <= 1
        widths = {row.count("&") for row in latex.split(r"\\[4pt]")}
        assert len(widths) == 1, "rows of one array have as many cells"


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("dx = dy (1 - y²)", r"dx = dy\, (1 - y^{2})"),
        ("y_ik = Σ_j a_ij b_jk", r"y_{ik} = \sum_{j} a_{ij}\, b_{jk}"),
        ("dA = dY Bᵀ", r"dA = dY\, B^{\top}"),
        ("C = √(2/π)", r"C = \sqrt{2/\pi}"),
        ("e^{x_nj} - x_n,target", r"e^{x_{nj}} - x_{n,\mathit{target}}"),
        ("dx = dy where x > 0, else 0", r"dx = dy\text{ where }x > 0,\text{ else }0"),
        ("mean(dx̂ x̂)", r"\operatorname{mean}(d\hat{x}\, \hat{x})"),
    ],
)
def test_a_formula(text, latex):
    assert tex(text) == latex


@given(st.text("abx_ ²√(){}^+-=Σ", min_size=1, max_size=12))
def test_text_that_is_no_formula_is_refused_or_set_never_a_crash(text):
    with contextlib.suppress(ValueError):
        assert isinstance(tex(text), str)


def test_an_unknown_sign_is_refused_by_name():
    with pytest.raises(ValueError, match="tex does not know '∇'"):
        tex("x + ∇y")


@pytest.mark.parametrize("name", OPS)
def test_a_docstring_is_taken_apart_without_loss(name):
    docstring = explain(name).docstring
    words = [word for block in blocks(docstring) for word in [f"{block.label}.", *" ".join(block.lines).split()]]
    assert [word for word in words if word != "."] == docstring.split()
