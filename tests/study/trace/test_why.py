"""Why a number is what it is: every sum is the number that was computed, every factor the entry that it names."""

import html
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.study.trace.test_trace import models, seeds, step
from tinygrad_gpt import ops
from tinygrad_gpt.kernels import reference_only
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.study.explain.examples import EXAMPLES
from tinygrad_gpt.study.explain.explanation import OPS
from tinygrad_gpt.study.trace.recorder import trace
from tinygrad_gpt.tape import Tensor, apply


def recorded(config, seed, **settings):
    model = GPT(config, seed=seed, dtype="float64", **settings)
    with reference_only(), trace() as t:
        step(model, seed)
    return t


def explained_entries(data, t):
    """A drawn value of a step, and one of its entries."""
    values = [value for value in t.values if value.op is not None or value.terms]
    value = data.draw(st.sampled_from(values), label="value")
    index = tuple(data.draw(st.integers(0, n - 1)) for n in value.stats.shape)
    return value, index


@given(models, seeds, st.data())
def test_every_sum_is_the_number_that_was_computed(config, seed, data):
    t = recorded(config, seed)
    value, index = explained_entries(data, t)
    found = t.why(value.name, index)
    assert found.value == value.array[index]
    for part in (*([found.made] if found.made else []), *found.received):
        assert part.sum.total == pytest.approx(part.number, rel=1e-8, abs=1e-11 * part.sum.sum_of_magnitudes + 1e-300)
    if found.received:
        assert sum(part.number for part in found.received) == pytest.approx(found.gradient, rel=1e-9, abs=1e-15)


@given(models, seeds, st.data())
def test_every_factor_is_the_entry_that_it_names(config, seed, data):
    """What the text names as NAME[I, J] or d NAME[I, J] is that entry of that value, or of its gradient."""
    t = recorded(config, seed)
    value, index = explained_entries(data, t)
    text = t.why(value.name, index).text(limit=3)
    named = re.findall(r"(?:= |· )(d )?([\w.]+(?: \d+)?)\[([\d, ]+)\] (-?[\d.e+-]+)", text)
    for gradient, name, at, number in named:
        if name not in [value.name for value in t.values]:
            continue  # x̂, an array inside the op
        array = t[name].gradient if gradient else t[name].array
        entry = array[tuple(int(i) for i in at.split(", "))]
        assert float(number) == pytest.approx(float(entry), rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("name", OPS)
def test_every_op_can_be_asked_about(name):
    """By the names that its arrays have in a trace, such as "array 0" of concatenate."""
    example = EXAMPLES[name][0]
    with trace() as t:
        arrays = [
            Tensor(x, requires_grad=True) if x.dtype.kind == "f" and name not in example.constants else x
            for name, x in example.arrays(None).items()
        ]
        apply(OPS[name], *arrays, **example.settings).sum().backward()
    op = t.ops[0]
    parts = [t.why(op.output.name, (0,) * len(op.output.stats.shape)).made]
    for value in op.inputs:
        if value.terms:
            parts += t.why(value.name, (0,) * len(value.stats.shape)).received
    assert len(parts) > 1
    for part in parts:
        assert part.sum.total == pytest.approx(part.number, rel=1e-9, abs=1e-12)


def test_from_a_weights_gradient_one_can_walk_to_the_loss():
    t = recorded(GPTConfig(vocab_size=7, context_length=4, emb_dim=8, n_heads=2, n_layers=1), seed=3)
    loss = t.loss.name
    name, index, seen = "h.0.attn.c_attn.weight", (2, 5), []
    while name != loss and len(seen) < 30:
        seen.append(name)
        part = t.why(name, index).received[0]
        factor = next((f for term in part.sum.terms() for f in term.factors if f.name == "dy"), None)
        if factor is None:  # an array inside the op: go on with its own sum
            inner = next(
                f for term in part.sum.terms() for f in term.factors if f.index is not None and f.name.startswith("d")
            )
            while inner.name != "dy":
                found = t.why(f"{part.op.output.name}:{inner.name}", inner.index)
                factors = [f for term in found.made.sum.terms() for f in term.factors if f.index is not None]
                inner = next(f for f in factors if f.name.startswith("d"))
            factor = inner
        name, index = part.op.output.name, factor.index
    assert name == loss
    assert index == ()
    assert seen[1:4] == ["h.0.attn.c_attn.linear", "h.0.attn.causal_attention", "h.0.attn.c_proj.linear"]


def test_an_entry_as_text():
    x, w = Tensor(np.array([[1.0, -2.0]]), requires_grad=True), Tensor(np.array([[3.0], [0.5]]), requires_grad=True)
    with trace() as t:
        (x @ w).sum().backward()
    line = t.ops[0].lines[0]
    assert str(t.why("x", (0, 1))) == "\n".join(
        [
            "x[0, 1] = -2.0 (float64)",
            "",
            "d x[0, 1] = 0.5 (float64)",
            f"  by matmul 0, {line}:  da[n,i] = Σ dy[n,o] b[i,o]   (1 term)",
            "    +5.000000e-01 = d matmul[0, 0] 1 · w[1, 0] 0.5",
            "    +5.000000e-01   the sum in float64; computed: +5.000000e-01, equal",
        ]
    )
    assert "matmul[0, 0] = 2.0 (float64)\n  by matmul 0" in str(t.why("matmul", (0, 0)))
    assert str(t.why("sum", ())).endswith("d sum = 1.0 (float64)\n  backward started here")


def test_an_array_inside_an_op_has_a_total_but_no_computed_number():
    x = Tensor(np.array([[1.0, 3.0]]), requires_grad=True)
    with trace() as t:
        apply(ops.layer_norm, x, Tensor(np.ones(2)), Tensor(np.zeros(2)))
    assert str(t.why("layer_norm:mean", (0,))).splitlines() == [
        "layer_norm:mean[0]",
        f"  by layer_norm 0, {t.ops[0].lines[0]}:  mean[n] = Σ x[n,c] 1/2   (2 terms)",
        "    +1.500000e+00 = x[0, 1] 3 · 1/2",
        "    +5.000000e-01 = x[0, 0] 1 · 1/2",
        "    +2.000000e+00   the sum in float64",
    ]


def test_an_array_inside_an_op_has_the_ops_name_if_one_can_ask_for_it():
    x = Tensor(np.array([[1.0, 3.0]]), requires_grad=True)
    with trace() as t:
        apply(ops.cross_entropy, x, np.array([0])).backward()
    assert "+2.126928e+00 = cross_entropy:nll[0] 2.12693 · 1/1" in str(t.why("cross_entropy", ()))
    assert "+3.000000e+00 = cross_entropy:max[0] 3   the row's largest logit" in str(t.why("cross_entropy:nll", (0,)))
    with trace() as t:
        x.max().backward()
    assert "+1.000000e+00 = d max 1 · share[0, 1] 1" in str(t.why("x", (0, 1)))


def test_a_value_that_is_used_twice_has_a_part_from_each_use():
    x = Tensor(np.array([2.0]), requires_grad=True)
    with trace() as t:
        (x * x + x.exp()).sum().backward()
    found = t.why("x", (0,))
    assert sorted(part.op.name for part in found.received) == ["exp", "multiply", "multiply"]
    assert sum(part.number for part in found.received) == pytest.approx(found.gradient)
    assert "(exp 1)" in str(found)


def cubed(x):
    return x**3, lambda dy: (3 * x * x * dy,)


def test_an_op_without_rules_is_named_with_what_its_vjp_sent():
    x = Tensor(np.array([2.0]), requires_grad=True)
    with trace() as t:
        (apply(cubed, x) + x).sum().backward()
    *_, line = str(t.why("x", (0,))).splitlines()
    assert line == (
        f"  by cubed 0, {t.ops[0].lines[0]}:  computed: +1.200000e+01; this op has no rules, so there is no sum"
    )
    assert "  = 1 (add 1) + 12 (cubed 0)\n" in str(t.why("x", (0,)))
    with trace() as t:
        apply(cubed, x).sum().backward()
    assert "backward started here" not in str(t.why("x", (0,)))
    with pytest.raises(ValueError, match="cubed was made by an op without rules, so there is no array 'dS' inside it"):
        t.why("cubed:dS", (0,))


def test_a_wrong_number_without_terms_is_infinitely_far_apart():
    table = Tensor(np.ones((2, 1)), requires_grad=True)
    with trace() as t:
        apply(ops.embedding, table, np.array([0])).sum().backward()
    t["table"].terms[0].array[1] = 3.0
    assert "+0.000000e+00   the sum in float64; computed: +3.000000e+00, inf apart" in str(t.why("table", (1, 0)))


def test_a_recomputed_block_has_the_sums_of_its_second_run():
    config = GPTConfig(vocab_size=7, context_length=4, emb_dim=8, n_heads=2, n_layers=1)
    again, once = recorded(config, 0, activation_checkpointing=True), recorded(config, 0)
    for name, index in (("h.0.ln_1.weight", (3,)), ("h.0.mlp.c_fc.weight", (1, 2))):
        (part,), (wanted,) = again.why(name, index).received, once.why(name, index).received
        assert part.op.name == wanted.op.name
        assert part.sum.total == pytest.approx(wanted.sum.total, rel=1e-12)


def test_the_input_of_a_recomputed_block_has_the_sums_of_its_second_run():
    config, ids = GPTConfig(vocab_size=7, context_length=4, emb_dim=8, n_heads=2, n_layers=1), np.zeros((1, 4), int)
    explained = []
    for activation_checkpointing in (True, False):
        model = GPT(config, dtype="float64", activation_checkpointing=activation_checkpointing)
        with reference_only(), trace() as t:
            model.loss(ids, ids).backward()
        explained.append(t.why("add", (0, 1, 2)))
    found, wanted = explained
    assert [part.op.name for part in found.received] == [part.op.name for part in wanted.received]
    assert [part.number for part in found.received] == pytest.approx([part.number for part in wanted.received])
    assert not found.without_sums


def test_a_setting_that_is_none_is_kept():
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    with trace() as t:
        z = x[None]
        z.sum().backward()
    assert "x[1] 2" in str(t.why("getitem", (0, 1)))


def test_a_step_that_diverged_can_be_asked_about():
    x = Tensor(np.array([math.inf, 1.0]), requires_grad=True)
    with trace() as t, np.errstate(all="ignore"):
        (x - x).sum().backward()
    assert "the sum in float64; computed: +nan" in str(t.why("subtract", (0,)))


def test_names_are_those_of_the_trace_whatever_letters_they_share():
    theta = Tensor(np.array(2.0), requires_grad=True)
    with trace() as t:
        theta.relu().backward()
    assert "max(theta,0) 2" in str(t.why("relu", ()))


def test_tokens_stand_beside_their_rows():
    t = recorded(GPTConfig(vocab_size=7, context_length=4, emb_dim=8, n_heads=2, n_layers=1), 0)
    tokens = [["to", " be", ",", " or"], ["not", " to", " be", "?"]]
    text = str(t.why("h.0.mlp.c_fc.linear", (1, 3, 0), tokens))
    assert text.startswith("h.0.mlp.c_fc.linear[1, 3, 0] = ")
    assert "(float64) '?'\n" in text


@pytest.mark.parametrize(
    ("name", "index", "error", "message"),
    [
        ("nonsense", (0,), KeyError, "no value is called 'nonsense'"),
        ("x", (0,), ValueError, r"x has shape \(1, 2\), so there is no entry \[0\]"),
        ("x", (0, 2), ValueError, r"x has shape \(1, 2\), so there is no entry \[0, 2\]"),
        ("x", (0, 0.5), TypeError, "'float' object cannot be interpreted as an integer"),
        ("x:dS", (0, 2), ValueError, "x was not made by an op, so there is no array 'dS' inside it"),
        ("matmul:dS", (0, 0), ValueError, "matmul has no array 'dS'; it has y, da, db"),
    ],
)
def test_what_there_is_not_is_one_line(name, index, error, message):
    x, w = Tensor(np.array([[1.0, -2.0]]), requires_grad=True), Tensor(np.ones((2, 1)))
    with trace() as t:
        (x @ w).sum().backward()
    with pytest.raises(error, match=message):
        t.why(name, index)


def test_a_name_may_have_a_colon():
    tensors = {"a:b": Tensor(np.array([3.0, 4.0]), requires_grad=True)}
    with trace() as t:
        tensors["a:b"].sum().backward()
    assert t.why("a:b", (1,)).value == 4.0
    assert t.why("sum:dx", (1,)).made.sum.total == 1.0


def test_a_notebook_shows_the_tree_and_the_sums():
    x = Tensor(np.array([[1.0, -2.0]]), requires_grad=True)
    with trace() as t:
        x.relu().sum().backward()
    assert t._repr_html_() == f"<pre>{html.escape(t.tree())}</pre>"
    found = t.why("relu", (0, 0))
    assert found._repr_html_() == f"<pre>{html.escape(str(found))}</pre>"
    assert "&gt;" in t.why("x", (0, 0))._repr_html_()  # [x > 0]
