"""Formulas on pages: every op's docstring is drawn, by nothing but MathML that is well formed."""

import re
import xml.etree.ElementTree as ET

import pytest

from tinygrad_gpt import ops
from tinygrad_gpt.study.explain.formulas import derivation, formulas, inline_html, rule
from tinygrad_gpt.study.explain.mathml import mathml

MATHML = {"math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt"}
MATHML |= {"msub", "msup", "msubsup", "munder", "mover", "munderover"}


def test_a_rule_keeps_the_spaces_between_its_words():
    assert rule(ops.causal_attention).startswith("A value receives gradient from ")


@pytest.mark.parametrize("op", ops.ALL_OPS, ids=lambda op: op.__name__)
def test_every_op_has_a_rule_in_words(op):
    assert rule(op)[0].isupper()
    assert rule(op).endswith(".")
    assert "\n" not in rule(op)


def test_a_docstring_without_the_paragraph_has_no_rule():
    def mine(x):
        """My op.

        Not Backward: at all.
        """

    assert rule(mine) == rule(lambda x: x) == ""


@pytest.mark.parametrize("op", ops.ALL_OPS, ids=lambda op: op.__name__)
def test_the_docstring_is_drawn(op):
    for text in (formulas(op), derivation(op)):
        tree = ET.fromstring(f"<div>{text}</div>")
        drawn = [element for math in tree.iter("math") for element in math.iter()]
        assert {element.tag for element in drawn} <= MATHML
        assert drawn
        formula = [block for block in tree.iter("div") if block.get("class") == "formula"]
        assert not [code for block in formula for code in block.iter("code")], "a line that could not be drawn"
    assert len(formulas(op)) <= len(derivation(op))


def test_of_a_family_only_the_ops_own_line_is_shown():
    text = ET.fromstring(f"<div>{formulas(ops.multiply)}</div>")
    assert ["".join(math.itertext()) for math in text.iter("math")] == ["y=ab", "da=dyb", "db=dya"]


def test_an_op_of_ones_own_has_its_own_docstring():
    def mine(x):
        """My op: 1 < 2 & `x`."""

    assert formulas(mine) == ""
    assert derivation(mine) == "<p>My op: 1 &lt; 2 &amp; <code>x</code>.</p>"
    assert inline_html("Gradient.  By") == "<b>Gradient.</b>  By"


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\frac{a}{b}", "<mfrac><mrow><mi>a</mi></mrow><mrow><mi>b</mi></mrow></mfrac>"),
        (r"\sqrt{2}", "<msqrt><mrow><mn>2</mn></mrow></msqrt>"),
        ("x_i", "<msub><mi>x</mi><mi>i</mi></msub>"),
        ("x^2", "<msup><mi>x</mi><mn>2</mn></msup>"),
        (r"\sum_i", "<munder><mo>∑</mo><mi>i</mi></munder>"),
        ("dx", '<mrow><mi mathvariant="normal">d</mi><mi>x</mi></mrow>'),
        (r"\text{a b}", "<mtext>a\u00a0b</mtext>"),
        (r"\operatorname{ln} x", '<mi>ln</mi><mspace width="0.17em"/><mi>x</mi>'),
        (r"\operatorname{ln}(x)", '<mi>ln</mi><mo stretchy="false">(</mo><mi>x</mi><mo stretchy="false">)</mo>'),
        ("-", "<mo>\u2212</mo>"),
        ("<", "<mo>&lt;</mo>"),
    ],
)
def test_latex_to_mathml(latex, text):
    assert mathml(latex) == f"<math>{text}</math>"


@pytest.mark.parametrize("latex", [r"\unheard", "{", "x_", r"\frac{a}"])
def test_what_is_not_known_is_an_error(latex):
    with pytest.raises(ValueError, match=re.escape("is not known here") + "|needs"):
        mathml(latex)
