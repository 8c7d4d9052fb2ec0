"""Training and checkpoints ask for an Optimizer, not for AdamW: another one trains, is saved and resumed."""

import math

import numpy as np
import pytest

from tinygrad_gpt import GPT, AdamW, GPTConfig
from tinygrad_gpt.checkpoints import load_checkpoint, save_checkpoint
from tinygrad_gpt.optim.clipping import gradients_of, norm_and_factor
from tinygrad_gpt.text import Batches
from tinygrad_gpt.training import train

CONFIG = GPTConfig(vocab_size=7, context_length=4, emb_dim=4, n_heads=2, n_layers=1, drop_rate=0.1)
BATCHES = Batches(np.arange(60) * 5 % 7, context_length=4, batch_size=4, seed=0)


class SGD:
    """p <- p - lr b, with b <- momentum b + g."""

    def __init__(self, parameters, lr, momentum=0.0):
        self.parameters, self.lr, self.momentum = parameters, lr, momentum
        self.steps = dict.fromkeys(parameters, 0)
        self.state_names = ("b",) if momentum else ()
        self.b = {name: np.zeros_like(p.data) for name, p in parameters.items()}

    def step(self, lr=None, *, max_norm=math.inf, loss=None):
        grads = gradients_of(self.parameters)
        norm, factor = norm_and_factor(grads, max_norm, loss)
        for name, grad in grads.items():
            self.b[name] = self.momentum * self.b[name] + factor * grad
            self.parameters[name].data -= np.float32(self.lr if lr is None else lr) * self.b[name]
            self.steps[name] += 1
        return norm

    def zero_grad(self):
        for p in self.parameters.values():
            p.grad = None

    def load_state(self, state):
        self.steps = {name: entry["step"] for name, entry in state.items()}
        self.b |= {name: entry["b"] for name, entry in state.items() if "b" in entry}


def trained(model, optimizer, first, last):
    return [float(report.loss) for report in train(model, optimizer, BATCHES, steps=last, start_step=first, seed=3)]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_it_trains_and_resuming_is_training_in_one_go(momentum, tmp_path):
    whole = GPT(CONFIG)
    losses = trained(whole, SGD(whole.parameters(), 0.3, momentum), 1, 30)
    assert losses[-1] < losses[0] - 0.1

    half = GPT(CONFIG)
    optimizer = SGD(half.parameters(), 0.3, momentum)
    trained(half, optimizer, 1, 10)
    save_checkpoint(tmp_path / "half", half, optimizer, step=10)
    found = load_checkpoint(tmp_path / "half")
    again = SGD(found.model.parameters(), 0.3, momentum)
    found.resume(again)
    assert set(again.steps.values()) == {10}
    assert trained(found.model, again, 11, 30) == losses[10:]
    for name, p in found.model.parameters().items():
        assert p.data.tobytes() == whole.parameters()[name].data.tobytes()


def test_the_state_of_another_optimizer_is_refused_and_changes_nothing(tmp_path):
    model = GPT(CONFIG)
    optimizer = SGD(model.parameters(), 0.3, 0.9)
    trained(model, optimizer, 1, 1)
    save_checkpoint(tmp_path / "sgd", model, optimizer, step=1)
    adamw = AdamW(model.parameters())
    with pytest.raises(ValueError, match=r"optimizer state of wte\.weight lacks m, v; it has step, b"):
        load_checkpoint(tmp_path / "sgd").resume(adamw)
    assert not any(adamw.steps.values())


def test_a_step_that_is_not_finite_is_refused_by_it_too():
    model = GPT(CONFIG)
    model.parameters()["wte.weight"].data[0, 0] = math.nan
    before = model.parameters()["wpe.weight"].data.copy()
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="step 1: loss nan"):
        trained(model, SGD(model.parameters(), 0.3), 1, 1)
    np.testing.assert_array_equal(model.parameters()["wpe.weight"].data, before)


def test_names_of_state_are_identifiers(tmp_path):
    model = GPT(CONFIG)
    optimizer = SGD(model.parameters(), 0.3)
    optimizer.state_names = ("b.c",)
    with pytest.raises(ValueError, match=r"state_names of the optimizer must be identifiers; got 'b\.c'"):
        save_checkpoint(tmp_path / "model", model, optimizer)
