"""reduce, between backward and update: the gradients of two halves of a batch add up to those of the batch."""

import numpy as np
import pytest

from tinygrad_gpt import GPT, AdamW, GPTConfig
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.training.step import accumulate_gradients, update

CONFIG = GPTConfig(vocab_size=7, context_length=5, emb_dim=4, n_heads=2, n_layers=1, drop_rate=0.2)
IDS = np.arange(20).reshape(4, 5) * 3 % 7


def gradients(model):
    return {name: p.grad for name, p in model.parameters().items()}


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_two_processes_with_half_the_rows_each_find_the_gradients_of_the_batch(parts):
    whole, halves = GPT(CONFIG), [GPT(CONFIG), GPT(CONFIG)]
    loss = accumulate_gradients(whole, IDS, IDS, parts, dropout=Dropout(3, 1))
    other = {}

    def sent(parameters, loss):
        other.update(gradients(halves[0]), loss=loss)
        return loss

    def averaged(parameters, loss):
        for name, p in parameters.items():
            p.grad = (p.grad + other[name]) / 2
        return (loss + other["loss"]) / 2

    for model, rows, reduce in zip(halves, (slice(0, 2), slice(2, 4)), (sent, averaged), strict=True):
        masks = Dropout(3, 1, first_row=rows.start)
        reduced = accumulate_gradients(model, IDS[rows], IDS[rows], parts, dropout=masks, reduce=reduce)
    assert reduced == pytest.approx(loss, rel=1e-6)
    for name, grad in gradients(whole).items():
        np.testing.assert_allclose(halves[1].parameters()[name].grad, grad, rtol=1e-4, atol=1e-6)


def test_the_optimizer_uses_the_gradients_that_reduce_leaves():
    model = GPT(CONFIG)
    before = {name: p.data.copy() for name, p in model.parameters().items()}

    def nothing(parameters, loss):
        for p in parameters.values():
            p.grad = None
        return np.float32(7)

    optimizer = AdamW(model.parameters())
    loss, norm = update(model, optimizer, IDS, IDS, 1, 0.1, 1.0, 1, 0, reduce=nothing)
    assert (loss, norm) == (7, 0)
    assert all((p.data == before[name]).all() for name, p in model.parameters().items())
    assert not any(optimizer.steps.values())
