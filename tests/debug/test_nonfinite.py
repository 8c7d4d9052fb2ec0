"""A nan or an infinity is traced to the op that made it, forward or backward."""

import math

import numpy as np
import pytest

from tinygrad_gpt import kernels, ops
from tinygrad_gpt.debug import find_nonfinite, nonfinite
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.optim import AdamW
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.tape import Tensor, apply
from tinygrad_gpt.training import train
from tinygrad_gpt.training.loop import MAX_CONSECUTIVE_SKIPS

CONFIG = GPTConfig(vocab_size=7, context_length=4, emb_dim=8, n_heads=2, n_layers=1, drop_rate=0.3)
IDS = np.arange(12).reshape(3, 4) % 7
MASKS = Dropout(3, 5)
OF_A_STEP = (
    *(ops.embedding, ops.getitem, ops.add, ops.dropout, ops.layer_norm, ops.linear, ops.causal_attention, ops.gelu),
    *(ops.linear_cross_entropy, ops.divide),
)


class Rows:
    def batch(self, step):
        return IDS, IDS


def broken(op, way, bad, *, call=0):
    """The op, with `bad` among what its call-th call answers, or every call for None."""
    calls = [0]

    def run(*arrays, **settings):
        out, vjp = op(*arrays, **settings)
        is_it, calls[0] = call in (None, calls[0]), calls[0] + 1

        def broken_vjp(dy):
            grads = vjp(dy)
            return tuple(None if grad is None else spoilt(grad, bad) for grad in grads)

        if not is_it:
            return out, vjp
        return (spoilt(out, bad), vjp) if way == "forward" else (out, broken_vjp)

    return run


def spoilt(array, bad):
    array = np.array(array)
    if array.dtype.kind == "f" and array.size:
        array.reshape(-1)[0] = bad
    return array


def plant(monkeypatch, op, way, bad=math.nan, *, call=0):
    sound = kernels.kernel_for(op, np.zeros(1, np.float32))
    row = kernels.Kernel(op, "numpy", "float32", broken(sound, way, bad, call=call))
    monkeypatch.setitem(kernels.KERNELS, (op, "numpy", "float32"), row)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_finite_step_is_found_so_and_leaves_the_model_as_it_was(checkpointing):
    model = GPT(CONFIG, activation_checkpointing=checkpointing)
    before = {name: p.data.tobytes() for name, p in model.parameters().items()}
    assert find_nonfinite(model, IDS, IDS, dropout=MASKS, accumulation=2) is None
    assert before == {name: p.data.tobytes() for name, p in model.parameters().items()}
    assert all(p.grad is None for p in model.parameters().values())


def test_these_are_the_ops_of_a_step():
    seen = set()

    def watch(op, run):
        seen.add(op)
        return run

    with kernels.op_hook(watch):
        GPT(CONFIG).loss(IDS, IDS, dropout=MASKS, reduction="sum") / 12
    assert seen == set(OF_A_STEP)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("op", OF_A_STEP, ids=lambda op: op.__name__)
def test_what_is_planted_in_an_op_is_found_there(monkeypatch, op, way, bad, checkpointing):
    model = GPT(CONFIG, activation_checkpointing=checkpointing)
    plant(monkeypatch, op, way, bad, call=None if checkpointing else 0)  # what is computed again is walked back alone
    found = find_nonfinite(model, IDS, IDS, dropout=MASKS)
    assert (found.op, found.way) == (op.__name__, way)
    assert f"{op.__name__}, on the way {'back' if way == 'backward' else way}, made 1 " in str(found)
    assert all(str(line) in found.report() for line in found.inputs)


@pytest.mark.parametrize("call", range(4))
def test_the_parameters_of_the_op_are_named(monkeypatch, call):
    plant(monkeypatch, ops.linear, "forward", call=call)
    layer = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"][call]
    found = find_nonfinite(GPT(CONFIG), IDS, IDS, dropout=MASKS)
    assert f"h.0.{layer}.weight" in found.parameters
    assert f"weight = h.0.{layer}.weight float32 (" in str(found)
    assert found.called_from.endswith("in linear")


def test_ranges_and_counts_are_those_of_the_arrays(monkeypatch):
    plant(monkeypatch, ops.gelu, "forward")
    found = find_nonfinite(GPT(CONFIG), IDS, IDS)
    low, high = map(float, found.inputs[0].split(" from ")[1].split(" to "))
    assert found.inputs[0].startswith("x float32 (3, 4, 32) from ")
    assert -1 < low < 0 < high < 1
    assert found.what == "gelu, on the way forward, made 1 nan in float32 (3, 4, 32)"


@pytest.mark.parametrize("name", ["wte.weight", "h.0.ln_1.bias"])
def test_a_parameter_that_was_not_finite_before_is_named(name):
    model = GPT(CONFIG)
    model.parameters()[name].data.reshape(-1)[-1] = np.inf
    found = find_nonfinite(model, IDS, IDS)
    assert found.op is None
    assert found.parameters == (name,)
    assert f"parameter {name} float32" in str(found)
    assert "1 inf, before the step" in str(found)


class Custom(GPT):
    """A model whose loss is a function of one weight."""

    def __init__(self, function):
        super().__init__(CONFIG)
        self.parameters()["ln_f.weight"].data *= np.float32(1e-3)
        self.function = function

    def loss(self, ids, targets, **_):
        return self.function(self.parameters()["ln_f.weight"])


def test_a_sum_of_finite_gradients_that_overflows_is_found():
    found = find_nonfinite(Custom(lambda w: (w * 2e38).sum() + (w * 2e38).sum()), IDS, np.ones((1, 1), np.int64))
    assert "the terms of the gradient of ln_f.weight are finite, their sum is not" in str(found)
    assert found.parameters == ("ln_f.weight",)

    def through_a_node(w):
        y = w * 1.0
        return (y * 2e38).sum() + (y * 2e38).sum()

    found = find_nonfinite(Custom(through_a_node), IDS, np.ones((1, 1), np.int64))
    assert (found.op, found.way) == ("multiply", "backward")
    assert "the gradients that reach multiply's result are finite, their sum is not" in str(found)


def test_a_mask_of_minus_infinity_is_no_fault():
    mask = np.arange(8) > 3

    def masked(w):
        return w.masked_fill(mask, -np.inf).softmax().max() + apply(ops.where, mask, -np.inf * np.ones(8), w).max()

    assert find_nonfinite(Custom(lambda w: w.masked_fill(mask, -np.inf).softmax().max()), IDS, IDS) is None
    assert masked is not None


def test_a_gradient_that_nobody_asked_for_is_no_fault():
    small = Tensor(np.full(8, 1e-30, np.float32))  # of x / y the second gradient is -x / y², which is too much here
    assert find_nonfinite(Custom(lambda w: (w / small).sum()), IDS, IDS) is None
    assert find_nonfinite(Custom(lambda w: (small / (w - w)).sum()), IDS, IDS).op == "divide"


def bits(model, optimizer):
    moments = (optimizer.m, optimizer.v)
    arrays = [p.data for p in model.parameters().values()] + [array for m in moments for array in m.values()]
    return [array.tobytes() for array in arrays], dict(optimizer.steps)


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_a_skipped_step_changes_nothing_and_the_next_goes_on(monkeypatch, way):
    model = GPT(CONFIG)
    optimizer = AdamW(model.parameters())
    reports = train(model, optimizer, Rows(), steps=3, on_nonfinite="skip")
    assert next(reports).skipped is None
    before = bits(model, optimizer)
    with monkeypatch.context() as patch, np.errstate(all="ignore"):
        plant(patch, ops.gelu, way)
        report = next(reports)
    assert report.step == 2
    assert "step 2: loss" in report.skipped
    assert "not finite" in report.skipped
    assert math.isnan(report.loss)
    assert bits(model, optimizer) == before
    assert next(reports).skipped is None
    assert bits(model, optimizer) != before


@pytest.mark.parametrize("before", [0, 7])
def test_too_many_skipped_in_a_row_stop_the_run(before):
    model = GPT(CONFIG)
    model.parameters()["wte.weight"].data[:] = np.nan
    settings = {"steps": 99, "on_nonfinite": "skip", "skipped_before": before}
    steps = []
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=f"the {MAX_CONSECUTIVE_SKIPS} steps before it were"),
    ):
        steps += [report.step for report in train(model, AdamW(model.parameters()), Rows(), **settings)]
    reports = train(model, AdamW(model.parameters()), Rows(), **settings)
    with np.errstate(all="ignore"):
        assert [next(reports).step for _ in range(MAX_CONSECUTIVE_SKIPS - before)] == [
            *range(1, MAX_CONSECUTIVE_SKIPS - before + 1)
        ]


def test_on_nonfinite_is_one_of_two():
    model = GPT(CONFIG)
    with pytest.raises(ValueError, match="on_nonfinite must be one of raise, skip; got 'ignore'"):
        train(model, AdamW(model.parameters()), Rows(), steps=1, on_nonfinite="ignore")


def test_bfloat16_is_looked_at_too():
    bfloat16 = pytest.importorskip("ml_dtypes", reason="bfloat16 is a dtype of ml_dtypes").bfloat16
    array = np.array([1, np.nan, -2, np.inf, np.nan]).astype(bfloat16)
    assert nonfinite.nonfinite_kinds(array) == {"nan", "inf"}
    assert nonfinite.nonfinite_kinds(array[:1]) == set()
    assert nonfinite.describe_array("x", array) == "x bfloat16 (5,) from -2 to 1, 1 inf and 2 nan"


class OneRoot:
    """A model whose loss is the root of 0."""

    def __init__(self, root):
        self.root = root
        self.w = Tensor(np.array([1.0, 1.0]), requires_grad=True)

    def parameters(self):
        return {"w": self.w}

    def loss(self, ids, targets, **settings):
        return self.root(self.w)


@pytest.mark.parametrize(
    ("root", "op"),
    [
        (lambda w: w.var().sqrt(), "sqrt"),
        (lambda w: w.std(), "sqrt"),
        (lambda w: ((w - w) ** 2).sum().sqrt(), "sqrt"),
        (lambda w: (w - 1).sum() ** 0.5, "power"),
    ],
)
def test_the_root_of_0_is_found(root, op):
    found = find_nonfinite(OneRoot(root), np.zeros((1, 1), int), np.zeros((1, 1), int))
    assert (found.op, found.way) == (op, "backward")
    assert f"{op}, on the way back, made 1 inf in float64 () in the gradient of" in found.what


def test_a_small_number_under_the_root_mends_it():
    model = OneRoot(lambda w: (w.var() + 1e-12).sqrt())
    assert find_nonfinite(model, np.zeros((1, 1), int), np.zeros((1, 1), int)) is None
