"""Sums in index notation: what a text means, what is refused, and how a reader sees it."""

import string
import textwrap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.study.entries import Computation
from tinygrad_gpt.study.entries.call_sums import CallSums, Rules
from tinygrad_gpt.study.entries.notation import (
    Condition,
    Entry,
    Group,
    Lookup,
    Number,
    SumPattern,
    TermPattern,
    align_sums,
    parse_sums,
)

COMPARE = {"=": np.equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
arrays_up_to_3_axes = st.lists(st.integers(1, 3), min_size=1, max_size=3).flatmap(
    lambda shape: st.integers(0, 99).map(lambda seed: numbers(shape, seed))
)


def numbers(shape, seed=0):
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape)


def an_op():
    """The op of the calls here; nothing runs it."""


def evaluate(text, inputs, shape, name="y", dy=None, **rules):
    """Every entry of an array of this shape by its sum."""
    y = np.zeros(shape) if name == "y" else np.zeros(np.shape(dy))
    sums = CallSums(Computation(an_op, inputs, {}, y, dy), Rules(text, **rules))
    found = np.zeros(shape)
    for index in np.ndindex(shape):
        found[index] = sums.entry(name, index).total
    return found


def parse_term(line, **wide):
    (pattern,) = parse_sums(f"y[i] = {line}", wide)
    (term,) = pattern.terms
    return term


# What a text means


def test_the_sums_of_the_docstring():
    text = """
        y[n,o]       = Σ x[n,i] weight[i,o]
                     + bias[o]                          # the bias
        dtable[v,c]  = Σ dy[n,c] where ids[n] = v
    """
    products = TermPattern((Entry("x", ("n0", "i")), Entry("weight", ("i", "o"))), (), ("i",), "")
    bias = TermPattern((Entry("bias", ("o",)),), (), (), "the bias")
    same_id = Condition(Lookup("ids", ("n0",)), "=", "v")
    assert parse_sums(text, {"n": 1}) == [
        SumPattern("y", ("n0", "o"), (products, bias), "y[n,o] = Σ x[n,i] weight[i,o] + bias[o]"),
        SumPattern(
            "dtable",
            ("v", "c"),
            (TermPattern((Entry("dy", ("n0", "c")),), (same_id,), ("n0",), ""),),
            "dtable[v,c] = Σ dy[n,c] where ids[n] = v",
        ),
    ]


@pytest.mark.parametrize(
    ("factor", "parsed"),
    [
        ("dy", Entry("dy", ())),
        ("x[i]", Entry("x", ("i",))),
        ("x[i,0]", Entry("x", ("i", 0))),
        ("x[i0,i]", Entry("x", ("i0", "i"))),
        ("x[i',i]", Entry("x", ("i'", "i"))),
        ("x̂[i]", Entry("x̂", ("i",))),
        ("array 1[i]", Entry("array 1", ("i",))),
        ("qkv[i,(2 h d)]", Entry("qkv", ("i", Group((2, "h", "d"))))),
        ("x[(h d)]", Entry("x", (Group(("h", "d")),))),
        ("table[ids[i,t],c]", Entry("table", (Lookup("ids", ("i", "t")), "c"))),
        ("e^x[i]", Entry("x", ("i",), "e^{}")),
        ("(1-tanh²(x[i]))", Entry("x", ("i",), "(1-tanh²({}))")),
        ("e^S[i,j]/Σe^S", Entry("S", ("i", "j"), "e^{}/Σe^S")),
        ("{1/√64}", Number("1/√64")),
        ("x[n]", Entry("x", ("n0", "n1", "n2"))),
        ("x[m]", Entry("x", ())),
    ],
)
def test_a_factor(factor, parsed):
    (pattern,) = parse_sums(f"y[i] = Σ x[z] {factor}", {"n": 3, "m": 0})
    assert pattern.terms[0].factors[1:] == (parsed,)


def test_a_minus_is_a_factor():
    assert parse_term("- x[i]").factors == (Number("-1"), Entry("x", ("i",)))


@pytest.mark.parametrize("comparison", COMPARE)
def test_conditions_have_commas_between_them(comparison):
    term = parse_term(f"Σ x[j] where j {comparison} i, from[j,k] = -1")
    assert term.conditions == (Condition("j", comparison, "i"), Condition(Lookup("from", ("j", "k")), "=", -1))
    assert term.letters == ("j", "k")  # also those that stand in a condition only


def test_sigma_may_stand_where_a_wide_letter_has_no_axes():
    assert parse_term("Σ x[i,n]", n=0).letters == ()
    with pytest.raises(ValueError, match=r"Σ must stand before a term that sums over letters \(j\)"):
        parse_term("x[i,j]", n=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y[i]", r"a sum must be NAME\[\.\.\.\] = TERM; got 'y\[i\]'"),
        ("+ x[i]", r"a sum must be NAME\[\.\.\.\] = TERM; got '\+ x\[i\]'"),
        ("- x[i] = y[i]", r"a sum must be NAME\[\.\.\.\] = TERM; got '- x\[i\] = y\[i\]'"),
        ("1/y[i] = x[i]", r"the left side of a sum must be NAME\[\.\.\.\]; got '1/y\[i\]'"),
        ("y[i] = Σ x[i]", r"Σ must stand before a term that sums over letters \(none\): 'Σ x\[i\]'"),
        ("y[i] = x[i,j] z[k]", r"Σ must stand before a term that sums over letters \(j, k\): 'x\[i,j\] z\[k\]'"),
        ("y[i] = x[i]\n+ z[j]", r"Σ must stand before a term that sums over letters \(j\): '\+ z\[j\]'"),
        ("y[i] = Σ", "a term must have a factor; got 'Σ'"),
        ("y[i] = x[i]\n-  # nothing", "a term must have a factor; got '-  # nothing'"),
        ("y[i] = x[i+1]", r"an index must be a letter, a number, an entry or a group; got 'i\+1'"),
        ("y[i] = x[channel]", "an index must be a letter, a number, an entry or a group; got 'channel'"),
        ("y[i] = x[i", r"a bracket is not closed: 'x\[i'"),
        ("y[i] = x[i] where i", "a condition must compare two indices, like t <= j; got 'i'"),
        ("y[i] = x[i] where i <", "a condition must compare two indices, like t <= j; got 'i <'"),
        ("y[i] = Σ x[i,n] where n = 0", "a condition must compare two indices, like t <= j; got 'n = 0'"),
    ],
)
def test_what_is_not_in_the_notation_is_a_value_error(text, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        parse_sums(text, {"n": 2})


# The values


@st.composite
def products(draw):
    """Factors by name, their letters, the letters of the sum."""
    letters = draw(st.lists(st.sampled_from(string.ascii_lowercase), min_size=1, max_size=4, unique=True))
    sizes = {letter: draw(st.integers(1, 3)) for letter in letters}
    found = {}
    for n in range(draw(st.integers(1, 3))):
        index = draw(st.lists(st.sampled_from(letters), min_size=1, max_size=3))
        found[f"arg{n}"] = index, numbers([sizes[letter] for letter in index], n)
    used = sorted({letter for index, _ in found.values() for letter in index})
    return found, draw(st.lists(st.sampled_from(used), unique=True)), used


@given(products())
def test_a_product_is_numpys_einsum(drawn):
    factors, own, used = drawn
    sigma = "Σ " if set(used) - set(own) else ""
    terms = [f"{name}[{','.join(index)}]" for name, (index, _) in factors.items()]
    text = f"y[{','.join(own)}] = {sigma}{' '.join(terms)}"
    inputs = {name: array for name, (_, array) in factors.items()}
    einsum = f"{','.join(''.join(index) for index, _ in factors.values())}->{''.join(own)}"
    want = np.einsum(einsum, *inputs.values())
    np.testing.assert_allclose(evaluate(text, inputs, want.shape), want, atol=1e-12)
    wrong = text.replace("= Σ ", "= ") if sigma else text.replace("= ", "= Σ ")
    with pytest.raises(ValueError, match="Σ must stand before a term that sums over letters"):
        parse_sums(wrong, {})


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_a_group_is_an_axis_reshaped(A, B, C, parts):
    sizes = {"a": A, "b": B, "c": C}
    x = numbers((A, B, C))
    joined = evaluate("y[a,(b c)] = x[a,b,c]", {"x": x}, (A, B * C), sizes=sizes)
    np.testing.assert_array_equal(joined, x.reshape(A, -1))
    np.testing.assert_array_equal(evaluate("y[a,b,c] = x[(a b c)]", {"x": x.ravel()}, x.shape, sizes=sizes), x)
    packed = numbers((parts, A, B))
    for part in range(parts):
        found = evaluate(f"y[a,b] = x[({part} a b)]", {"x": packed.ravel()}, (A, B), sizes=sizes)
        np.testing.assert_array_equal(found, packed[part])


def test_a_number_in_a_group_on_the_left_chooses_the_sum():
    text = "\n".join(f"y[({part} a)] = x[a] {{{part + 1}}}" for part in range(3))
    x = numbers(2)
    np.testing.assert_allclose(evaluate(text, {"x": x}, (6,), sizes={"a": 2}), np.concatenate([x, 2 * x, 3 * x]))


@given(arrays_up_to_3_axes, st.integers(1, 4), st.integers(0, 99))
def test_an_entry_as_an_index_is_fancy_indexing(x, rows, seed):
    """And a condition on it is what scatters the gradient back."""
    ids = np.random.Generator(np.random.Philox(seed)).integers(0, rows, x.shape)
    table, dy = numbers((rows, 2)), numbers((*x.shape, 2))
    text = """
        y[n,c] = table[ids[n],c]
        dtable[v,c] = Σ dy[n,c] where ids[n] = v
    """
    inputs, wide = {"table": table, "ids": ids}, {"n": x.ndim}
    np.testing.assert_array_equal(evaluate(text, inputs, dy.shape, wide=wide), table[ids])
    want = np.zeros_like(table)
    np.add.at(want, ids, dy)
    np.testing.assert_allclose(evaluate(text, inputs, want.shape, "dtable", dy, wide=wide), want, atol=1e-12)


@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from(list(COMPARE)), st.integers(0, 3))
def test_a_condition_is_a_mask(rows, columns, comparison, number):
    x = numbers((rows, columns))
    i, j = np.indices(x.shape)
    text = f"y[i] = Σ x[i,j] where j {comparison} i, j >= {number}"
    want = np.where(COMPARE[comparison](j, i) & (j >= number), x, 0).sum(1)
    np.testing.assert_allclose(evaluate(text, {"x": x}, (rows,)), want, atol=1e-12)


@given(arrays_up_to_3_axes, st.data())
def test_a_wide_letter_is_several_axes(x, data):
    kept = data.draw(st.integers(0, x.ndim))
    want = x.sum(tuple(range(kept, x.ndim)))
    found = evaluate("y[n] = Σ x[n,m]", {"x": x}, want.shape, wide={"n": kept, "m": x.ndim - kept})
    np.testing.assert_allclose(found, want, atol=1e-12)


def test_numbers_functions_and_signs():
    x = np.array([0.5, 2.0])
    sums = CallSums(
        Computation(an_op, {"x": x}, {}, x),
        Rules(
            "y[n] = {3/4} {√2} e^x[n]  # directly\n - x[0] {one half}",
            {"n": 1},
            inside={"e^x": lambda: np.exp(x)},
            numbers={"√2": 2**0.5, "one half": 0.5},
        ),
    )
    found = sums.entry("y", (1,))
    assert found.total == pytest.approx(0.75 * 2**0.5 * np.exp(2.0) - 0.25)
    first, second = found.terms()
    assert [factor.label() for factor in first.factors] == ["3/4", "√2", "e^x[1]"]
    assert [factor.label() for factor in second.factors] == ["-1", "x[0]", "one half"]
    assert [first.way, second.way] == ["directly", ""]
    assert sums.numbers == {"3/4": 0.75, "√2": 2**0.5, "-1": -1.0, "one half": 0.5}


@pytest.mark.parametrize("sizes", [(3, 2), (2, 3)])
def test_a_letter_has_one_size(sizes):
    a, b = (np.ones(size) for size in sizes)
    with pytest.raises(AssertionError, match="an_op: j is {} and {}".format(*sizes)):
        CallSums(Computation(an_op, {"a": a, "b": b}, {}, np.ones(())), Rules("y = Σ a[j] b[j]"))


def test_an_entry_without_a_sum_is_an_error_of_the_rules():
    sums = CallSums(Computation(an_op, {"x": np.ones(2)}, {}, np.ones(2)), Rules("y[0] = x[0]"))
    assert sums.entry("y", (0,)).total == 1.0
    with pytest.raises(AssertionError, match=r"the rules of an_op have no sum for y\[1\]"):
        sums.entry("y", (1,))


# What a reader sees


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("dw[i] = - Σ x[n] {1/2}   # the way", "dw[i] = - Σ x[n] 1/2"),
        ("y[] = Σ x[n]", "y = Σ x[n]"),
        ("y[t] = Σ x[j] where j <= t", "y[t] = Σ x[j] where j <= t"),
        ("y[t] = x[t] where t > 0\n+ {-∞} where t = 0", "y[t] = x[t] (where t > 0) - ∞ (where t = 0)"),
    ],
)
def test_a_formula_is_the_whole_sum_on_one_line(text, formula):
    assert [pattern.formula for pattern in parse_sums(text, {})] == [formula]


def test_sums_for_a_reader_stand_in_columns():
    text = """
        x̂[n,c] = x[n,c] r[n]
               - mean[n] r[n]   # the mean
        mean[n] = Σ x[n,c] {1/3}
        dx = dy  # directly
    """
    assert align_sums(text) == textwrap.dedent("""\
        x̂[n,c]  = x[n,c] r[n]
                - mean[n] r[n]   # the mean
        mean[n] = Σ x[n,c] 1/3
        dx      = dy             # directly""")
