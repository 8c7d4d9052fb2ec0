"""explain: what a page shows is what the op answers, and a wrong gradient is shown to be wrong."""

import ast
import dataclasses
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygrad_gpt as tg
from tinygrad_gpt.study.explain.digits import decimals
from tinygrad_gpt.study.explain.docstrings import blocks
from tinygrad_gpt.study.explain.examples import EXAMPLES
from tinygrad_gpt.study.explain.explanation import IN_NUMBERS, OPS, explain, listing
from tinygrad_gpt.study.explain.worked_example import Comparison, work_through

names = st.sampled_from(sorted(OPS))
seeds = st.none() | st.integers(0, 2**64 - 1)


def examples_of(op):
    return st.sampled_from(EXAMPLES[op])


def test_every_op_has_an_example():
    assert set(EXAMPLES) == set(OPS)


@given(st.data(), names, seeds)
def test_the_numbers_are_the_ops(data, name, seed):
    example = data.draw(examples_of(name))
    worked = work_through(OPS[name], example, seed)
    y, vjp = OPS[name](*worked.inputs.values(), **worked.settings)
    np.testing.assert_array_equal(worked.y, y)
    assert worked.dy.shape == y.shape
    assert seed is not None or (worked.dy != 1).any()  # ones would hide mistakes
    for shown, grad in zip(worked.gradients.values(), vjp(worked.dy), strict=True):
        np.testing.assert_array_equal(shown, grad)


@given(st.data(), names, seeds)
def test_every_line_that_is_shown_made_what_it_shows(data, name, seed):
    worked = work_through(OPS[name], data.draw(examples_of(name)), seed)
    code = "".join(explain(name).code.split())
    steps = [*worked.forward, *worked.backward]
    assert all("".join(step.source.split()) in code for step in steps)
    made = {key: value for step in steps for key, value in step.made.items()}
    for key, value in {worked.out: worked.y, **worked.gradients}.items():
        if value is not None:
            np.testing.assert_array_equal(made[key], value)


@pytest.mark.parametrize("name", OPS)
def test_no_number_on_a_page_hangs_on_its_last_bits(name):
    for worked in explain(name).examples:
        steps = [*worked.forward, *worked.backward]
        for value in [value for step in steps for value in (*step.parts.values(), *step.made.values())]:
            for x in np.ravel(value) if getattr(value, "dtype", np.dtype(int)).kind == "f" else []:
                if np.isfinite(x):
                    assert {decimals(x + 16 * np.spacing(x) * sign) for sign in (-1, 0, 1)} == {decimals(x)}


@given(st.data(), names, seeds)
def test_the_complex_step_and_differences_agree_with_the_vjp(data, name, seed):
    example = data.draw(examples_of(name))
    worked = work_through(OPS[name], example, seed)
    assert worked.agrees
    floats = [key for key, x in worked.inputs.items() if x.dtype.kind == "f" and key not in example.constants]
    assert [comparison.name for comparison in worked.comparisons] == [f"d{key}" for key in floats]
    for comparison in worked.comparisons:
        np.testing.assert_allclose(comparison.differences, comparison.vjp, rtol=0, atol=1e-7)
        if example.complex:
            np.testing.assert_allclose(comparison.complex_step, comparison.vjp, rtol=0, atol=1e-12)


@given(st.data(), names, seeds, st.sampled_from([-1e-6, 1e-6, 1e-10, np.nan]))
def test_one_wrong_entry_of_a_gradient_is_shown(data, name, seed, error):
    example = data.draw(examples_of(name))
    comparison = data.draw(st.sampled_from(work_through(OPS[name], example, seed).comparisons))
    i = list(example.inputs).index(comparison.name.removeprefix("d"))
    place = data.draw(st.sampled_from(list(np.ndindex(comparison.vjp.shape))))

    def broken(*arrays, **settings):
        y, right = OPS[name](*arrays, **settings)

        def vjp(dy):
            grads = [*right(dy)]
            grads[i] = np.array(grads[i])
            grads[i][place] += error
            return tuple(grads)

        return y, vjp

    assume(example.complex or error != 1e-10)  # which differences alone cannot see
    worked = work_through(broken, example, seed)
    assert not worked.agrees
    (off,) = [found.off() for found in worked.comparisons if found.name == comparison.name]
    assert off[place]
    assert off.sum() == 1


def test_without_the_complex_step_differences_decide():
    right = np.array([1.0, 2.0])
    for vjp, off in (([1, 2], [False, False]), ([1, 2 + 1e-6], [False, True]), ([np.nan, 2], [True, False])):
        assert Comparison("dx", np.array(vjp), None, right).off().tolist() == off


def layer_norm_without_the_mean(x, gain, bias, *, eps=1e-5):
    centred = x - x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + eps)
    xhat = centred * rstd

    def vjp(dy):
        dxhat = dy * gain
        return rstd * (dxhat - xhat * (dxhat * xhat).mean(-1, keepdims=True)), (dy * xhat).sum(0), dy.sum(0)

    return xhat * gain + bias, vjp


def tanh_with_a_wrong_sign(x):
    y = np.tanh(x)
    return y, lambda dy: (dy * (1 + y * y),)


def embedding_that_forgets_repeats(table, ids):
    def vjp(dy):
        dtable = np.zeros(table.shape)
        dtable[ids] += dy
        return dtable, None

    return table[ids], vjp


def multiply_that_forgets_a(a, b):
    return a * b, lambda dy: (None, (dy * a).sum(0))


@pytest.mark.parametrize(
    ("name", "op", "wrong"),
    [
        ("layer_norm", layer_norm_without_the_mean, {"dx"}),
        ("tanh", tanh_with_a_wrong_sign, {"dx"}),
        ("embedding", embedding_that_forgets_repeats, {"dtable"}),
        ("multiply", multiply_that_forgets_a, {"da"}),
    ],
)
def test_wrong_gradients_that_people_write_are_marked(name, op, wrong):
    explanation = dataclasses.replace(explain(name), examples=(work_through(op, EXAMPLES[name][0]),))
    (worked,) = explanation.examples
    assert not explanation.agrees
    assert {comparison.name for comparison in worked.comparisons if not comparison.agrees} == wrong
    marked = [line.split("[")[0].strip() for line in str(explanation).splitlines() if line.endswith("<- wrong")]
    assert set(marked) == wrong
    (apart,) = [line for line in str(explanation).splitlines() if "apart, at most" in line]
    assert "< 1e-12" not in apart


def preformatted(explanation):
    """The lines of a page that stand as they were written: formulas, doctests, sums, code."""
    lines = [
        line for block in blocks(explanation.docstring) if block.kind in ("formula", "doctest") for line in block.lines
    ]
    lines += explanation.sums.splitlines() + explanation.code.splitlines()
    steps = [step for worked in explanation.examples for step in (*worked.forward, *worked.backward)]
    return {f"    {line}".rstrip() for line in lines + [line for step in steps for line in step.source.splitlines()]}


@given(names, seeds, st.integers(60, 120))
def test_prose_keeps_to_the_width_and_no_formula_or_line_of_code_is_folded(name, seed, width):
    explanation = explain(name, seed=seed)
    lines, as_written = explanation.text(width).splitlines(), preformatted(explanation)
    assert as_written - {""} <= set(lines)
    assert max(len(line) for line in lines if line not in as_written) <= max(width, 80)  # an array is not broken
    prose = lines[: next(i for i, line in enumerate(lines) if line.startswith("The code"))]
    assert max(len(line) for line in prose if line not in as_written) <= width
    assert not any(line != line.rstrip() for line in lines)


@pytest.mark.parametrize("name", OPS)
def test_the_code_on_a_page_is_python(name):
    explanation = explain(name)
    page = explanation.text(60)
    _, _, rest = page.partition(f"The code, {explanation.path}\n")
    code = rest.split("\n", 2)[2].split("\nIt calls ")[0].split("\n" + IN_NUMBERS)[0]
    for worked in explanation.examples:
        code = code.split(f"\n{worked.title or IN_NUMBERS}\n")[0]
    assert ast.dump(ast.parse(textwrap.dedent(code))) == ast.dump(ast.parse(explanation.code))


@pytest.mark.parametrize("name", OPS)
def test_a_page_has_all_of_it(name):
    text = str(explain(name))
    assert text.startswith(f"{name}\n")
    for word in (
        "Gradient.",
        "Shapes.",
        "Check.",
        "Entry by entry",
        "The code, tinygrad_gpt/ops/",
        f"def {name}(",
        "= vjp(d",
        "apart, at",
    ):
        assert word in text
    words = set(text.split())
    assert set((explain(name).docstring).split()) - words <= {"..."}  # not a word of the derivation is lost


@pytest.mark.parametrize("name", OPS)
def test_a_page_has_the_sum_of_each_array(name):
    explanation = explain(name)
    lefts = {re.match(r"[^ \[]*", line)[0] for line in explanation.sums.splitlines()}
    assert {"y", *(name for name, grad in explanation.examples[0].gradients.items() if grad is not None)} <= lefts
    assert textwrap.indent(explanation.sums, "    ") in str(explanation)


def test_sums_are_in_index_notation():
    assert explain("linear").sums.splitlines() == [
        "y[n,o]       = Σ x[n,i] weight[i,o]",
        "             + bias[o]                 # the bias",
        "dx[n,i]      = Σ dy[n,o] weight[i,o]",
        "dweight[i,o] = Σ x[n,i] dy[n,o]",
        "dbias[o]     = Σ dy[n,o]",
    ]


def test_an_op_is_known_by_any_spelling_and_by_itself():
    for op in ("layer_norm", "layer-norm", "LayerNorm", " LAYER NORM ", tg.ops.layer_norm):
        assert explain(op).name == "layer_norm"


@pytest.mark.parametrize(
    ("op", "text"),
    [
        ("layernrm", "unknown op 'layernrm'; did you mean layer_norm?"),
        ("crossentropie", "did you mean cross_entropy?"),
        ("zzzz", "unknown op 'zzzz'; tinygrad-gpt explain, without an op, lists them all"),
        (np.tanh, "op must be one of ops.ALL_OPS"),
    ],
)
def test_an_unknown_op_is_a_value_error(op, text):
    with pytest.raises(ValueError, match=text.replace("?", r"\?")):
        explain(op)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_a_value_error(seed):
    with pytest.raises(ValueError, match=f"seed must be at least 0 and below 2\\*\\*64; got {seed}"):
        explain("add", seed=seed)


@given(names, st.integers(0, 2**64 - 1))
def test_a_seed_gives_the_same_page_twice(name, seed):
    assert str(explain(name, seed=seed)) == str(explain(name, seed=seed))


def test_seeds_give_other_numbers():
    assert len({explain("linear", seed=seed).examples[0].inputs["x"].tobytes() for seed in range(8)}) == 8


def test_the_listing_has_each_op_once():
    heads = [line.split()[0] for line in listing(100).splitlines() if line.startswith("  ") and line[2] != " "]
    assert sorted(heads) == sorted(OPS)


def test_explaining_imports_nothing_heavy():
    heavy = ["hypothesis", "matplotlib", "cupy", "tyro", "tqdm"]
    code = f"import sys; from tinygrad_gpt import study; study.explain('gelu'); print(set({heavy}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
