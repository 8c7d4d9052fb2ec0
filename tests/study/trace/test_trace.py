"""The trace: it has everything that happened, in order, with the engine's own numbers, and changes none of them."""

import gc
import json
import math
import re
import runpy
import weakref
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt import kernels, ops
from tinygrad_gpt.kernels import dispatch, op_hook, reference_only
from tinygrad_gpt.nn import GPT, GPTConfig, parameter_shapes
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.study.trace.call_sites import scope_levels
from tinygrad_gpt.study.trace.html_page import page
from tinygrad_gpt.study.trace.recorder import trace
from tinygrad_gpt.study.trace.saved import arrays_of
from tinygrad_gpt.study.trace.serialize import as_dict
from tinygrad_gpt.study.trace.terminal import cards, tree
from tinygrad_gpt.tape import Tensor, apply, backward, concatenate, no_grad

models = st.builds(
    lambda width, **fields: GPTConfig(vocab_size=7, context_length=4, emb_dim=4 * width, n_heads=2, **fields),
    width=st.integers(1, 2),
    n_layers=st.integers(1, 2),
    drop_rate=st.sampled_from([0.0, 0.3]),
    qkv_bias=st.booleans(),
    tie_weights=st.booleans(),
)
seeds = st.integers(0, 2**32)


def batch(seed):
    return np.random.default_rng(seed).integers(0, 7, (2, 2, 4))


def step(model, seed):
    ids, targets = batch(seed)
    loss = model.loss(ids, targets, dropout=Dropout(seed, 1))
    loss.backward()
    return loss


def same_bits(a, b):
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@given(models, seeds, st.booleans())
def test_watching_changes_no_bit(config, seed, checkpointing):
    watched, alone = (GPT(config, seed=seed, activation_checkpointing=checkpointing) for _ in range(2))
    with trace() as t:
        loss = step(watched, seed)
    assert same_bits(loss.data, step(alone, seed).data)
    for name, tensor in alone.parameters().items():
        assert same_bits(watched.parameters()[name].grad, tensor.grad), name
    assert t.loss.array == loss.data


@given(models, seeds, st.booleans())
def test_every_op_and_every_vjp_is_there_once_and_in_order(config, seed, checkpointing):
    names = []

    def around(op, run):
        names.append(op.__name__)
        return run

    model = GPT(config, activation_checkpointing=checkpointing)
    with op_hook(around):
        step(model, seed)
    with trace() as t:
        step(model, seed)
    assert [op.name for op in t.ops] == names
    assert [op.index for op in t.ops] == list(range(len(names)))
    assert [event.op for event in t.events if event.way == "forward"] == t.ops
    walked = [event.op for event in t.events if event.way == "backward"]
    assert len(set(walked)) == len(walked)
    assert set(walked) == {op for op in t.ops if any(op.wanted)}
    place = {op: i for i, op in enumerate(walked)}
    for op in walked:  # a vjp runs when all that its gradient is made of has come
        for term in op.output.terms:
            assert place[t.ops[term.op]] < place[op] or t.ops[term.op].within != op.within
    for event, after in pairwise(t.events):
        if not checkpointing:  # the whole way forward comes before the whole way back
            assert (event.way, after.way) != ("backward", "forward")


@given(models, seeds, st.booleans())
def test_terms_add_up_to_the_gradient(config, seed, checkpointing):
    model = GPT(config, activation_checkpointing=checkpointing)
    with trace() as t:
        step(model, seed)
    for name, tensor in model.parameters().items():
        value = t[name]
        assert value.kind == "leaf"
        assert same_bits(value.gradient, tensor.grad), name
    for value in t.values:
        if value.terms:
            total = value.terms[0].array
            for term in value.terms[1:]:
                total = total + term.array
            assert same_bits(total, value.gradient)
            assert value.terms[-1].sum == value.gradient_stats
            assert all(t.ops[term.op].inputs[term.slot] is value for term in value.terms)
    assert len(t["wte.weight"].terms) == 1 + config.tie_weights


@given(st.lists(st.tuples(st.sampled_from("+*-t@"), st.integers(0), st.integers(0)), min_size=1, max_size=12), seeds)
def test_any_graph_gives_every_vjp_the_sum_of_its_terms(moves, seed):
    rng = np.random.default_rng(seed)
    handed = {}  # what each vjp was handed, by the order of the ops

    def watched(op):
        def around(*arrays, **settings):
            out, vjp = op(*arrays, **settings)
            number = len(handed)
            handed[number] = None

            def back(dy):
                handed[number] = dy.copy()
                return vjp(dy)

            return out, back

        around.__name__ = op.__name__
        return around

    leaves = [Tensor(rng.normal(size=(2, 2)), requires_grad=bool(i)) for i in range(3)]
    made = list(leaves)
    binary = {"+": ops.add, "*": ops.multiply, "-": ops.subtract, "@": ops.matmul}
    with trace() as t:
        for sign, i, j in moves:
            a, b = made[i % len(made)], made[j % len(made)]
            made.append(apply(watched(ops.tanh), a) if sign == "t" else apply(watched(binary[sign]), a, b))
        loss = apply(watched(ops.sum), made[-1])
        if loss.requires_grad:
            loss.backward()
    for op in t.ops:
        if handed[op.index] is None:
            assert op.vjp_seconds is None
            assert op.output.gradient is None
        else:
            assert same_bits(np.asarray(op.output.gradient), handed[op.index])
    for leaf in leaves:
        values = [value for value in t.values if value.array is leaf.data and value.terms]
        assert [same_bits(value.gradient, leaf.grad) for value in values] == [True] * (leaf.grad is not None)


@given(models, seeds)
def test_numbers_are_numpys(config, seed):
    with trace() as t:
        step(GPT(config), seed)
    for value in t.values:
        for stats, array in [(value.stats, value.array), (value.gradient_stats, value.gradient)]:
            if array is not None:
                x = np.asarray(array).astype(np.float64)
                assert (stats.shape, stats.dtype) == (x.shape, str(array.dtype))
                assert (stats.mean, stats.std) == (x.mean(), x.std())
                assert (stats.min, stats.max, stats.n_bad) == (x.min(), x.max(), 0)
                assert stats.norm == pytest.approx(np.linalg.norm(x), rel=1e-12)


@given(models, seeds, st.booleans())
def test_a_parameter_is_used_in_its_own_box(config, seed, checkpointing):
    with trace() as t:
        step(GPT(config, activation_checkpointing=checkpointing), seed)
    names = {value.name for value in t.values if value.kind == "leaf"}
    assert names >= set(parameter_shapes(config))
    for op in t.ops:
        own = [value.name.rpartition(".")[0] for value in op.inputs if value.name in parameter_shapes(config)]
        if op.name == "recomputed":
            assert op.scope == f"h.{own[0].split('.')[1]}"
        elif op.name == "linear_cross_entropy":
            assert op.scope == "lm_head"
        elif op.scope not in own:
            assert not own
    scopes = {(op.name, op.scope) for op in t.ops}
    assert {("gelu", "h.0.mlp"), ("causal_attention", "h.0.attn"), ("add", "h.0"), ("add", "")} <= scopes


def test_the_line_is_the_layers():
    with trace() as t:
        step(GPT(GPTConfig(vocab_size=7, context_length=4, emb_dim=4, n_heads=2, n_layers=1, drop_rate=0)), 0)
    gelu = next(op for op in t.ops if op.name == "gelu")
    assert gelu.lines[0].file == "tinygrad_gpt/nn/layers.py"
    assert gelu.lines[0].function == "mlp"
    assert gelu.lines[0].text.startswith("hidden = apply(ops.gelu,")
    assert [line.function for line in gelu.lines][1:5] == ["block", "run_block", "run_blocks", "hidden"]
    assert gelu.lines[-1].function == "test_the_line_is_the_layers"


def layer(x, weight):
    return (x @ weight).tanh()


OF_THE_MODULE = Tensor(np.array([[3.0]]), requires_grad=True)


def test_names_are_those_of_the_variables_whatever_they_hold():
    """A leaf, a tensor that asks for no gradient, a plain array, a variable of the module, an entry of a dictionary."""
    held = {"entry": Tensor(np.array([[5.0]]))}

    def layer(inner):
        return (inner * OF_THE_MODULE + held["entry"]).tanh()

    with trace() as t:
        x = Tensor(np.array([[0.1]]))
        w = Tensor(np.array([[0.3]]), requires_grad=True)
        mask = np.array([[1.0]])
        (layer(x @ w) * mask * np.array([[2.0]])).sum().backward()
    kinds = {value.name: value.kind for value in t.values if value.kind != "output"}
    assert {"x", "mask", "entry"} <= {name for name, kind in kinds.items() if kind == "constant"}
    assert [name for name, kind in kinds.items() if kind == "leaf"] == ["w", "OF_THE_MODULE"]
    assert t["x"].array.tolist() == [[0.1]]
    assert {op.name: op.scope for op in t.ops}["tanh"] == "layer"


PLAIN = """
import numpy as np
from tinygrad_gpt import Tensor

w = Tensor(np.array([[1.0]]), requires_grad=True)

def layer(x):
    return (x @ w).tanh()

def main():
    data = Tensor(np.array([[0.1]]))
    layer(layer(data)).sum().backward()

{call}
"""


@pytest.mark.parametrize(
    ("call", "outer"), [("main()", "main."), ("layer(Tensor(np.ones((1, 1)))).sum().backward()", "")]
)
def test_a_plain_script_has_scopes_and_names(tmp_path, call, outer):
    script = tmp_path / "script.py"
    script.write_text(PLAIN.format(call=call))
    with trace() as t:
        runpy.run_path(str(script), run_name="__main__")
    assert [op.scope for op in t.ops if op.name == "matmul"] == [f"{outer}layer"] * (2 if outer else 1)
    assert t.ops[-1].scope == outer.rstrip(".")
    assert t["w"].kind == "leaf"
    assert not outer or t["data"].kind == "constant"


def test_code_of_ones_own_has_its_names():
    w, params = Tensor(np.ones((2, 2)), requires_grad=True), {"b": Tensor(np.zeros(2), requires_grad=True)}
    with trace() as t:
        loss = (layer(Tensor(np.ones((1, 2))), w) + params["b"]).sum()
        loss.backward()
    assert [(op.name, op.scope) for op in t.ops] == [("matmul", "layer"), ("tanh", "layer"), ("add", ""), ("sum", "")]
    assert [value.name for value in t.values if value.kind == "leaf"] == ["w", "b"]
    assert [line.function for line in t.ops[0].lines] == ["layer", "test_code_of_ones_own_has_its_names"]
    with trace({"weight": w}) as t:
        (w * 1.0).sum().backward()
    assert t["weight"].terms
    with pytest.raises(KeyError, match="no value is called 'w'"):
        t["w"]


def test_a_tensor_used_twice_has_two_terms_and_two_leaves_may_share_an_array():
    data = np.array([1.0, 2.0])
    a, b = Tensor(data, requires_grad=True), Tensor(data, requires_grad=True)
    with trace() as t:
        (a * a + b).sum().backward()
    assert [term.slot for term in t["a"].terms] == [0, 1]
    assert t["a"].gradient.tolist() == [2.0, 4.0]
    assert t["b"].gradient.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("recording", [True, False])
def test_every_op_is_linked_to_those_that_made_its_inputs(recording):
    config = GPTConfig(vocab_size=7, context_length=4, emb_dim=4, n_heads=2, n_layers=2, drop_rate=0)
    ids, targets = batch(0)
    with trace() as t, nullcontext() if recording else no_grad():
        GPT(config, activation_checkpointing=True).loss(ids, targets)
    outer = [op for op in t.ops if op.within is None]
    assert [op.name for op in outer[3:6]] == ["recomputed", "recomputed", "layer_norm"]
    for before, op in pairwise(outer[2:]):
        assert op.inputs[0] is before.output


def test_a_bare_number_is_linked_too():
    x = Tensor(np.ones(2), requires_grad=True)
    with trace() as t:
        (x.sum() * 2.0 + 1.0).backward()  # NumPy's sum is a number, which the tape puts into an array
    assert [op.inputs[0].op for op in t.ops] == [None, 0, 1]
    assert t["x"].gradient.tolist() == [2.0, 2.0]


def test_what_asks_for_no_gradient_gets_none():
    x = Tensor(np.ones(2), requires_grad=True)
    with trace() as t:
        y = x * 3.0
        (y.detach() * y).sum().backward()
        with no_grad():
            x.exp()
    assert [op.wanted for op in t.ops] == [(True, False), (False, True), (True,), (False,)]
    assert len(t.ops[0].output.terms) == 1
    assert t.ops[1].inputs[0] is t.ops[1].inputs[1]  # detached or not, it is the same array
    assert t.ops[3].kept == ()
    assert t.ops[3].vjp_seconds is None


@pytest.mark.parametrize("plain", [False, True])
def test_kept_is_what_the_closure_holds(plain):
    config = GPTConfig(vocab_size=7, context_length=4, emb_dim=8, n_heads=2, n_layers=1, drop_rate=0.3)
    with trace() as t, reference_only() if plain else nullcontext():
        step(GPT(config), 0)
    kept = {op.name: {entry.name: entry for entry in op.kept} for op in t.ops}
    assert set(kept["layer_norm"]) == {"gain", "rstd", "xhat"}
    assert set(kept["dropout"]) == {"mask"}
    assert kept["add"] == {}
    norm = next(op for op in t.ops if op.name == "layer_norm")
    assert t.values[kept["layer_norm"]["gain"].owner].name.endswith("weight")
    assert kept["layer_norm"]["xhat"].owner is None
    assert norm.kept_bytes == 4 * (8 + 8 + 2 * 4 * 8)
    probs = kept["causal_attention"]["p" if plain else "powers[0]"]
    assert probs.array.shape == (2, 2, 4, 4)


def test_memory_is_counted_once_and_a_view_is_the_whole():
    x = Tensor(np.ones((100, 100)), requires_grad=True)
    with trace() as t:
        y = x[:2, :2]
        (y * y).sum().backward()
    product = t.ops[1]
    assert {entry.name for entry in product.kept} <= {"a", "b"}
    assert product.kept_bytes == t.kept_bytes == 80_000
    assert t.values[product.kept[0].owner].name == "x"


def test_closures_are_searched_through_functions_lists_and_parts():
    big, inner = np.ones(3), np.ones(4)

    def helper():
        return inner

    pieces = [np.ones(5), {"six": np.ones(6)}]

    def vjp(dy):
        return big, helper(), pieces, vjp

    assert {name: array.size for name, array in arrays_of(vjp)} == {
        "big": 3,
        "inner": 4,
        "pieces[0]": 5,
        "pieces[1]['six']": 6,
    }


def test_outside_the_block_the_engine_is_itself_again():
    x = Tensor(np.ones(2), requires_grad=True)
    with trace() as t:
        y = x.exp()
    assert kernels._op_hook.get() is None
    assert dispatch(ops.exp, x.data) is ops.exp
    x.exp().sum().backward()
    assert len(t.ops) == 1
    y.sum().backward()  # but what was made inside is watched to its end
    assert [event.way for event in t.events] == ["forward", "backward"]
    failing = trace()
    with pytest.raises(ZeroDivisionError), failing:
        raise ZeroDivisionError
    assert kernels._op_hook.get() is None
    with pytest.raises(RuntimeError, match="make another one"), failing:
        pass


def test_an_op_that_fails_leaves_the_clock_in_order():
    with trace() as t:
        with pytest.raises(ValueError, match="matmul of"):
            Tensor(np.ones((2, 3))) @ Tensor(np.ones((2, 3)))
        Tensor(np.ones(2)).exp()
    assert [op.name for op in t.ops] == ["exp"]
    assert t.ops[0].within is None
    assert t.running == []


def test_times_add_up_to_no_more_than_the_whole(monkeypatch):
    import time

    clock = iter(np.arange(1000.0))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    model = GPT(
        GPTConfig(vocab_size=7, context_length=4, emb_dim=4, n_heads=2, n_layers=1), activation_checkpointing=True
    )
    with trace() as t:
        step(model, 0)
    total = sum(op.seconds + (op.vjp_seconds or 0.0) for op in t.ops)
    assert total <= next(clock)
    assert all(op.seconds > 0 for op in t.ops)
    assert {op.within for op in t.ops} == {None, next(op.index for op in t.ops if op.name == "recomputed")}


def test_a_trace_that_is_let_go_takes_its_arrays_along():
    def traced():  # a function that has ended: one that was watched holds its variables until then
        with trace() as t:
            step(GPT(GPTConfig(vocab_size=7, context_length=4, emb_dim=4, n_heads=2, n_layers=1)), 0)
        return [weakref.ref(value.array) for value in t.values if isinstance(value.array, np.ndarray)]

    arrays = traced()
    assert len(arrays) > 20
    gc.collect()
    assert not [array for array in arrays if array() is not None]


def test_the_functions_of_the_tape_are_seen_too():
    a, b = (Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    with trace() as t:
        grads = backward(concatenate([a, b, a]).sum())
    assert t.ops[0].name == "concatenate"
    assert t["a"].gradient.tolist() == grads[a].tolist() == [2.0, 2.0]
    assert {value.name for value in t.values} >= {"a", "b"}


def test_an_op_may_be_an_object():
    class Scaled:
        def __init__(self, factor):
            self.factor, self.__name__ = factor, "scaled"

        def __call__(self, x):
            return self.factor * x, lambda dy: (self.factor * dy,)

    x = Tensor(np.ones(2), requires_grad=True)
    with trace() as t:
        apply(Scaled(3.0), x).sum().backward()
    assert [op.name for op in t.ops] == ["scaled", "sum"]
    assert t.ops[0].inputs[0].name == "x"
    assert x.grad.tolist() == t["x"].gradient.tolist()
    assert "scaled" in page(t)


@given(models, seeds, st.booleans())
def test_the_tree_has_a_line_for_each_op_and_the_cards_for_each_event(config, seed, checkpointing):
    with trace() as t:
        step(GPT(config, activation_checkpointing=checkpointing), seed)
    text = tree(t, 120)
    lines = [line for line in text.splitlines() if ".py:" in line]
    assert [line.split()[:2] for line in lines] == [[str(op.index), op.name] for op in t.ops if op.within is None]
    assert f"loss {float(t.loss.array):.6g}" in text
    shown = list(cards(t))
    assert len(shown) == len(t.events)
    for number, (event, card) in enumerate(zip(t.events, shown, strict=True)):
        assert card.startswith(f"[{number}/{len(t.events) - 1}] {event.way}")  # counted as ops are
        assert f"{event.op.index} {event.op.name}" in card


def as_if_each_took_a_millisecond(t):
    """The trace with times that are as wide on every machine."""
    for op in t.ops:
        op.seconds = op.vjp_seconds = 1e-3
    return t


@given(models, seeds, st.integers(80, 120))
def test_no_line_is_wider_than_the_terminal_and_no_word_of_a_card_is_cut(config, seed, width):
    with trace() as t:
        step(GPT(config), seed)
    lines = tree(as_if_each_took_a_millisecond(t), width).splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in tree(t, width)
    for narrow, wide in zip(cards(t, width), cards(t, 1000), strict=True):
        assert max(map(len, narrow.splitlines())) <= width
        assert narrow.split() == wide.split()


def test_long_names_and_large_shapes_keep_to_the_width_too():
    weight = Tensor(np.ones((1, 1, 1, 1, 1, 1, 1, 1, 1, 1000)), requires_grad=True)

    def a_function_with_a_name_that_is_longer_than_anybody_would_ever_want_to_read_on_a_terminal_of_today(x):
        return x * weight

    with trace() as t:
        a_function_with_a_name_that_is_longer_than_anybody_would_ever_want_to_read_on_a_terminal_of_today(weight).tanh()
    assert max(map(len, tree(t, 80).splitlines())) == 80
    assert "1x1x1x1x1x1x1x1x1x1000" in tree(t, 80)


def test_a_gradient_of_equal_entries_has_a_size():
    x = Tensor(np.ones(4), requires_grad=True)
    with trace() as t:
        (x * 0.5).sum().backward()
    product, total = (line.split() for line in tree(t, 120).splitlines() if ".py:" in line)
    assert (product[1:5], total[1:4]) == (["multiply", "4", "0", "1"], ["sum", "scalar", "1"])
    shown = list(cards(t))
    assert "mean 0.5, rms 0.5, from 0.5 to 0.5" in shown[-1]
    assert "mean 1, std 0, from 1 to 1" in shown[0]
    got = as_dict(t)["values"][0]["gradient"]
    assert (got["rms"], got["std"]) == (0.5, 0.0)


def test_in_little_room_bytes_are_rounded_before_a_name_is_cut():
    ids = np.zeros((2, 24), int)
    with trace() as t:
        GPT(GPTConfig(vocab_size=5064, context_length=64, emb_dim=128, n_heads=4, n_layers=1)).loss(ids, ids).backward()
    as_if_each_took_a_millisecond(t)
    head = next(line.split() for line in tree(t, 80).splitlines() if "linear_cross_entropy" in line)
    kept = t.ops[-1].kept_bytes
    assert head[-2] == f"{kept / 1000:,.0f}k"
    assert f" {kept:,} " in tree(t, 120)


@given(models, seeds)
def test_the_root_mean_square_is_numpys(config, seed):
    with trace() as t:
        step(GPT(config), seed)
    for value in t.values:
        if value.gradient is not None:
            rms = np.sqrt((np.asarray(value.gradient, float) ** 2).mean())
            assert value.gradient_stats.rms == pytest.approx(rms, rel=1e-12)


def test_of_ids_there_are_no_statistics():
    with trace() as t:
        step(GPT(GPTConfig(vocab_size=7, context_length=4, emb_dim=4, n_heads=2, n_layers=1)), 0)
    assert re.search(r"\n  in   ids +2x4 +int64\n", next(cards(t)))


@given(models, seeds)
def test_json_has_the_numbers_in_full(config, seed):
    with trace() as t:
        loss = step(GPT(config), seed)
    got = json.loads(json.dumps(as_dict(t), allow_nan=False))
    assert got["values"][got["loss"]]["stats"]["mean"] == float(loss.data)
    assert [(event["way"], event["op"]) for event in got["events"]] == [(e.way, e.op.index) for e in t.events]
    for value, entry in zip(t.values, got["values"], strict=True):
        assert (entry["name"], entry["stats"]["std"]) == (value.name, value.stats.std)
        assert [term["op"] for term in entry["terms"]] == [term.op for term in value.terms]


@pytest.mark.filterwarnings("ignore:.*encountered")
def test_what_is_not_finite_is_told_and_no_json_breaks():
    x = Tensor(np.array([0.0, -1.0]), requires_grad=True)
    with trace() as t:
        x.log().sum().backward()
    assert t.ops[0].output.stats.n_bad == 2
    assert any("2 NOT FINITE" in card for card in cards(t))
    got = json.loads(json.dumps(as_dict(t), allow_nan=False))
    assert got["values"][1]["stats"]["mean"] is None
    assert math.isnan(t.ops[0].output.stats.mean)


def test_arrays_without_entries_are_no_trouble():
    with trace() as t:
        Tensor(np.ones((0, 3)), requires_grad=True).sum().backward()
    assert t.values[0].stats.shape == (0, 3)
    json.dumps(as_dict(t), allow_nan=False)
    assert tree(t)


@pytest.mark.parametrize(("scope", "want"), [("", []), ("h.10.attn", ["h.10", "attn"]), ("wte", ["wte"])])
def test_a_number_belongs_to_the_box_before_it(scope, want):
    assert scope_levels(scope) == want
