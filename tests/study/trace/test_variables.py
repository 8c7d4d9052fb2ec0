"""A trace finds tensors by the names in the program: variables, attributes, objects.  It keeps none alive."""

import gc
import json
import runpy
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.study.trace.test_trace import step
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.study.trace import as_dict, spot_checks
from tinygrad_gpt.study.trace.recorder import trace
from tinygrad_gpt.study.trace.variables import named_objects
from tinygrad_gpt.tape import Tensor, recompute_in_backward

OPS = ("{a} + {b}", "{a} - {b}", "{a}.tanh()", "({a} @ {b}).tanh()")
ALIAS = "{a}"


def programs(*ops):
    """Lines that assign results of ops to a few variables, over and over."""
    line = st.tuples(st.sampled_from("pqrs"), st.sampled_from(ops), st.integers(0), st.integers(0))
    return st.lists(line, min_size=1, max_size=12).map(written)


def written(drawn):
    text, names = [], ["x", "w"]
    for target, op, i, j in drawn:
        text.append(f"{target} = {op.format(a=names[i % len(names)], b=names[j % len(names)])}")
        names += [] if target in names else [target]
    return text


def numbers(requires_grad=True):
    return Tensor(np.full((2, 2), 0.1), requires_grad=requires_grad)


def small_gpt():
    return GPT(GPTConfig(vocab_size=7, context_length=4, emb_dim=4, n_heads=2, n_layers=1))


@given(programs(*OPS, ALIAS))
def test_a_variable_finds_the_output_that_it_holds_at_the_end(program):
    variables = {"x": numbers(False), "w": numbers(), "trace": trace}
    exec("\n    ".join(["with trace() as t:", *program]), variables)
    t, inputs = variables["t"], [variables["x"], variables["w"]]
    for name in "pqrs":
        if name in variables and all(variables[name] is not tensor for tensor in inputs):
            assert t[name].array is variables[name].data
            assert t[name].variable is not None
    assert {value.variable for value in t.values if value.kind != "output"} <= {None}


@given(programs(*OPS))
def test_in_a_function_an_output_that_is_used_has_its_variables_name(program):
    held_by = []  # one entry for each op
    for line in program:
        target, _, expression = line.partition(" = ")
        held_by += [None, target] if "@" in expression else [target]
    variables = {"x": numbers(False), "w": numbers()}
    exec("\n    ".join(["def function():", *program]), variables)
    with trace() as t:
        variables["function"]()
    assert len(t.ops) == len(held_by)
    used = {value.index for op in t.ops for value in op.inputs}
    for op, name in zip(t.ops, held_by, strict=True):
        assert op.output.variable == (name if op.output.index in used else None)
    last = {op.output.variable: op.output for op in t.ops if op.output.variable}
    assert set(last) == set(t.variables)
    for name in last:
        assert t[name].variable == name


def test_the_variables_of_the_block_are_found():
    x, w = numbers(False), numbers()
    with trace() as t:
        h = x @ w
        y = h.tanh()
        loss = y.sum()
        loss.backward()
        unused = y * 2.0
    names = {name: t[name].name for name in ("h", "y", "loss", "unused")}
    assert names == {"h": "matmul", "y": "tanh", "loss": "sum", "unused": "multiply"}
    assert t["y"].gradient.tolist() == np.ones((2, 2)).tolist()
    assert t["loss"] is t.loss
    assert t["unused"].array is unused.data
    assert t["h"].array is h.data
    found = t.why("y", (0, 1))
    assert str(found).startswith("y[0, 1] = 0.0199")
    assert found.made.op.name == "tanh"
    entries = json.loads(json.dumps(as_dict(t)))["values"]
    assert [entry["variable"] for entry in entries if entry["kind"] == "output"] == ["h", "y", "loss", "unused"]


def test_of_a_variable_in_a_loop_the_last_output_is_found():
    w = numbers()
    with trace() as t:
        h = w
        for _ in range(3):
            h = h.tanh()
        h.sum().backward()
    assert t["h"] is t.ops[2].output
    assert [op.output.variable for op in t.ops] == ["h", "h", "h", None]
    assert t["tanh"] is t.ops[0].output


def test_the_name_of_a_value_comes_before_that_of_a_variable():
    x = numbers()
    with trace() as t:
        tanh = x.exp()
        y = tanh.tanh()
        x = y + 1.0
    assert t["tanh"] is t.ops[1].output
    assert t["x"].kind == "leaf"
    assert x.data is t.ops[2].output.array


def test_each_of_several_variables_finds_the_output_and_the_first_one_is_shown():
    def doubled(x):
        inner = x * 2.0
        inner.exp()
        return inner

    with trace() as t:
        h = doubled(numbers())
        h.tanh()
    assert t["h"] is t["inner"] is t.ops[0].output
    assert t["h"].variable == "inner"


def test_a_variable_comes_before_a_key_of_a_dictionary():
    w = numbers()
    with trace() as t:
        h = w * 2.0
        table = {"h": w * 3.0, "key": w * 4.0}
    assert t["h"].array is h.data
    assert t["key"].array is table["key"].data


def test_the_loss_of_a_function_is_found_where_backward_begins():
    def train():
        total = (numbers() * 3.0).sum()
        total.backward()

    with trace() as t:
        train()
    assert t["total"] is t.loss


def test_of_a_package_function_the_variables_are_not_the_readers():
    model = small_gpt()
    with trace() as t:
        loss = step(model, 0)
    assert t["loss"].name == "lm_head.linear_cross_entropy"
    assert loss.data is t["loss"].array
    assert set(t.variables) == {"loss"}


def test_chosen_entries_may_have_a_variables_name():
    x = numbers()

    def loss():
        y = x * x
        return y.sum()

    with trace() as t:
        loss().backward()
    checks = spot_checks(t, loss, {"x": x}, per_array=0, chosen={"y": [(0, 1)]})
    assert [(check.value, check.index) for check in checks] == [(t["y"].index, (0, 1))]


def test_an_op_that_failed_leaves_no_variable():
    x = numbers()

    def failing(x):
        inner = x * 2.0
        inner.exp()
        raise ZeroDivisionError

    with trace() as t, pytest.raises(ZeroDivisionError):
        recompute_in_backward(failing, x)
    assert t.ops == []
    with pytest.raises(KeyError, match="no value is called 'inner'"):
        t["inner"]


def test_a_block_that_fails_is_read_to_its_end():
    w = numbers()
    with pytest.raises(ZeroDivisionError), trace() as t:  # noqa: PT012
        h = w * 2.0
        raise ZeroDivisionError
    assert t["h"].array is h.data


class Marker:
    pass


def test_no_function_is_kept_alive():
    def layer(x):
        marker = Marker()
        markers.append(weakref.ref(marker))
        h = x * 2.0
        return h.exp()

    def traced():
        here = Marker()
        markers.append(weakref.ref(here))
        with trace() as t:
            layer(numbers()).sum().backward()
        return t

    markers = []
    t = traced()
    gc.collect()
    assert t["h"].name == "layer.multiply"
    assert [marker() for marker in markers] == [None, None]


class Linear:
    def __init__(self):
        self.weight, self.bias = numbers(), numbers()

    def __call__(self, x):
        return x @ self.weight + self.bias


class Frozen:
    __slots__ = ("__weakref__", "empty", "weight")

    def __init__(self):
        self.weight = numbers()


class Unwilling:
    def __init__(self):
        self.weight = numbers()

    def __getattr__(self, name):
        raise RuntimeError(name)

    @property
    def cost(self):
        raise RuntimeError("cost")


class MLP:
    def __init__(self):
        self.layers = [Linear(), Linear()]
        self.scales = {"out": numbers()}

    def hidden(self, x):
        for layer in self.layers:
            x = layer(x).tanh()
        return x

    def forward(self, x):
        return self.hidden(x) * self.scales["out"]


PARAMETERS = [*(f"layers.{i}.{name}" for i in range(2) for name in ("weight", "bias")), "scales.out"]


def test_a_model_of_ones_own_has_the_names_of_its_attributes():
    model = MLP()
    with trace() as t:
        y = model.forward(numbers(False))
        y.sum().backward()
    assert [value.name for value in t.values if value.kind == "leaf"] == [f"model.{name}" for name in PARAMETERS]
    hidden = "model.forward.hidden"
    assert [(op.name, op.scope) for op in t.ops] == [
        *((op, f"{hidden}.layers.0") for op in ("matmul", "add")),
        ("tanh", hidden),
        *((op, f"{hidden}.layers.1") for op in ("matmul", "add")),
        ("tanh", hidden),
        ("multiply", "model.forward"),
        ("sum", ""),
    ]
    assert t["y"] is t.ops[6].output
    assert t["model.layers.1.weight"].array is model.layers[1].weight.data


def test_a_model_without_a_variable_has_the_name_of_its_class():
    def run(forward):
        return forward(numbers(False)).sum()

    with trace() as t:
        run(MLP().forward).backward()
    assert [value.name for value in t.values if value.kind == "leaf"] == [f"MLP.{name}" for name in PARAMETERS]
    assert t.ops[0].scope == "run.MLP.forward.hidden.layers.0"


SCRIPT = """
import numpy as np
from tests.study.trace.test_variables import MLP
from tinygrad_gpt import Tensor

def main():
    net = MLP()
    logits = net.forward(Tensor(np.ones((1, 2))))
    logits.sum().backward()

main()
"""


def test_a_model_in_a_script_is_called_as_its_function_calls_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with trace() as t:
        runpy.run_path(str(script))
    assert [value.name for value in t.values if value.kind == "leaf"] == [f"net.{name}" for name in PARAMETERS]
    assert t.ops[0].scope == "main.net.forward.hidden.layers.0"
    assert t["logits"].name == "main.net.forward.multiply"


OF_THE_MODULE = MLP()


def test_a_model_of_the_module_is_called_as_the_module_calls_it():
    def run(forward):
        return forward(numbers(False)).sum()

    with trace() as t:
        run(OF_THE_MODULE.forward).backward()
    leaves = [value.name for value in t.values if value.kind == "leaf"]
    assert leaves == [f"OF_THE_MODULE.{name}" for name in PARAMETERS]
    assert t.ops[0].scope == "run.OF_THE_MODULE.forward.hidden.layers.0"


def test_leaves_of_one_name_are_told_apart():
    def linear(x, w):
        return x @ w

    with trace() as t:
        linear(linear(numbers(False), numbers()), numbers()).sum().backward()
    first, second = (op.inputs[1] for op in t.ops[:2])
    assert t["w"] is first
    assert (second.name, second.terms[0].op) == (f"w {second.index}", 1)


def test_paths_are_unique_and_lead_to_their_objects_and_no_circle_is_endless():
    model = MLP()
    model.itself, model.data = model, list(range(5000))
    paths = dict(named_objects({"model": model, "self": model, "__hidden__": model, "table": {"key": 1, 2: 3}}))
    assert paths["model.scales.out"] is model.scales["out"]
    assert paths["model.layers.1.bias"] is model.layers[1].bias
    assert (paths["key"], paths["2"]) == (1, 3)
    assert not [path for path in paths if path.startswith(("self", "__", "model.itself.", "model.data."))]


def test_attributes_in_slots_are_found_and_no_code_of_the_object_runs():
    frozen, unwilling = Frozen(), Unwilling()
    with trace() as t:
        (frozen.weight * unwilling.weight).sum().backward()
    assert [value.name for value in t.values if value.kind == "leaf"] == ["frozen.weight", "unwilling.weight"]


class Mapping(dict):
    def items(self):
        raise RuntimeError("ran")


class Sequence(list):
    def __iter__(self):
        raise RuntimeError("ran")

    __len__ = __iter__


class Proxy:
    @property
    def __dict__(self):
        raise RuntimeError("ran")


@pytest.mark.parametrize("held", [Mapping(key=1), Sequence([1]), Proxy()], ids=lambda held: type(held).__name__)
def test_no_method_of_a_container_runs(held):
    with trace() as t:
        y = numbers() * 2.0
        y.exp()
    assert held is not None
    assert t["y"].array is y.data
