"""Training with kernels: the CPU's run, from a host that waits for nothing and a device that guards itself."""

import math

import numpy as np
import pytest

from tests.cuda.standin import Transfer
from tests.kernels.test_table import everything, watched
from tinygrad_gpt import GPT, GPTConfig
from tinygrad_gpt.nn.initial_weights import initial_weights
from tinygrad_gpt.optim import AdamW
from tinygrad_gpt.text import Batches
from tinygrad_gpt.training import loop, train

CONFIG = GPTConfig(vocab_size=13, context_length=6, emb_dim=8, n_heads=2, n_layers=1, drop_rate=0.2, qkv_bias=True)
TOKENS = np.arange(200) ** 2 % 13


def run(device, steps=3, **options):
    """A model, its optimizer, and the reports of training it."""
    model = GPT(CONFIG, seed=3, device=device)
    optimizer = AdamW(model.parameters(), lr=1e-2)
    batches = Batches(TOKENS, context_length=6, batch_size=4, seed=5)
    return model, optimizer, train(model, optimizer, batches, steps=steps, seed=7, **options)


def changeable(device, optimizer):
    """Everything that a step may change, as bytes."""
    arrays = [(p.data, optimizer.m[name], optimizer.v[name]) for name, p in optimizer.parameters.items()]
    return [device.get(x).tobytes() for group in arrays for x in group] + device.get(optimizer.step_counts).tolist()


@pytest.mark.parametrize("options", [{"clip_norm": None}, {"clip_norm": 0.1, "accumulation": 3}], ids=str)
def test_a_run_follows_the_cpus(options, device):
    model, optimizer, reports = run("cuda", **options)
    same, other, wanted = run("cpu", **options)
    for got, want in zip(reports, wanted, strict=True):
        assert isinstance(got.loss, device.xp.ndarray)
        assert float(got.loss) == pytest.approx(float(want.loss), rel=1e-5)
        assert float(got.grad_norm) == pytest.approx(want.grad_norm, rel=1e-4)
    assert optimizer.steps == other.steps
    for name, p in model.parameters().items():
        np.testing.assert_allclose(device.get(p.data), same.parameters()[name].data, atol=1e-4, err_msg=name)


def test_a_step_reads_nothing_from_the_device_and_sends_its_batch(device):
    _, optimizer, reports = run("cuda", steps=4)
    next(reports)
    tables = 40 * len(optimizer.parameters)  # addresses, where gradients lie elsewhere than before
    for _ in range(2):
        device.transfers.clear()
        next(reports)
        assert {transfer.kind for transfer in device.transfers} == {"to device"}
        ids = Transfer("to device", 4 * 6 * 8)
        assert device.transfers.count(ids) == 2  # and targets
        assert sum(transfer.nbytes for transfer in device.transfers) <= 2 * ids.nbytes + tables


@pytest.mark.parametrize("name", ["h.0.mlp.c_fc.weight", "wpe.weight"])
def test_what_is_not_finite_changes_nothing_and_is_told_when_read(name, device):
    model, optimizer, reports = run("cuda", steps=10)
    next(reports).check()
    good = device.get(model.parameters()[name].data)
    model.parameters()[name].data[0, 0] = math.nan
    before = changeable(device, optimizer)
    report = next(reports)
    assert changeable(device, optimizer) == before
    with pytest.raises(FloatingPointError, match="step 2: loss nan, the gradients' norm is nan"):
        report.check()
    model.parameters()[name].data[...] = device.asarray(good)
    next(reports).check()  # it goes on as if nothing had been
    assert set(optimizer.steps.values()) == {2}


def test_an_infinite_loss_changes_nothing_though_its_gradient_is_finite(device):
    config = GPTConfig(vocab_size=2, context_length=1, emb_dim=2, n_heads=1, n_layers=1, drop_rate=0.0)
    weights = initial_weights(config, 0, np.dtype(np.float32))
    weights |= {"ln_f.weight": np.zeros(2), "ln_f.bias": np.full(2, 2.0)}
    weights["lm_head.weight"] = np.array([[1e38, 0], [-1e38, 0]])  # logits 2e38 and -2e38, 4e38 apart
    model = GPT(config, weights=weights, device="cuda")
    optimizer = AdamW(model.parameters())
    before = changeable(device, optimizer)
    with pytest.raises(FloatingPointError, match="step 1: loss inf, which is not finite"):
        list(train(model, optimizer, SecondOfTwo(), steps=1))
    assert changeable(device, optimizer) == before


class SecondOfTwo:
    """The less likely token, at every step."""

    def batch(self, step):
        return np.array([[0]]), np.array([[1]])


def test_the_loop_looks_now_and_then_and_after_the_last_step(device, monkeypatch):
    monkeypatch.setattr(loop, "_CHECK_EVERY_STEPS", 2)
    for steps, seen in ((5, [1]), (1, [])):
        model, _, reports = run("cuda", steps=steps)
        model.parameters()["wpe.weight"].data[0, 0] = math.nan
        found = []
        with pytest.raises(FloatingPointError, match="step 1: loss nan"):
            found.extend(report.step for report in reports)
        assert found == seen


def test_skipping_goes_on_with_what_was_before(device):
    model, optimizer, reports = run("cuda", steps=3, on_nonfinite="skip")
    good = device.get(model.parameters()["wpe.weight"].data)
    model.parameters()["wpe.weight"].data[0, 0] = math.nan
    before = changeable(device, optimizer)
    assert "step 1: loss nan" in next(reports).skipped
    assert changeable(device, optimizer) == before
    model.parameters()["wpe.weight"].data[...] = device.asarray(good)
    assert [report.skipped for report in reports] == [None, None]
    assert set(optimizer.steps.values()) == {2}


def test_a_kernel_is_called_only_with_what_it_accepts(device, monkeypatch):
    calls = watched(monkeypatch)
    everything("cuda")
    assert {module for _, module in calls} == {"cupy"}
    assert {op for op, _ in calls} >= {"linear", "causal_attention", "adamw_update", "append_kv", "append_and_attend"}
