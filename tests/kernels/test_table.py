"""The table of kernels: which function replaces which op, and when."""

import importlib
import pkgutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tinygrad_gpt import GPT, AdamW, GPTConfig, generate, kernels, ops, train
from tinygrad_gpt.kernels import KERNELS, ROWS, cpu, cuda

CONFIG = GPTConfig(vocab_size=11, context_length=8, emb_dim=8, n_heads=2, n_layers=2, drop_rate=0.1)
OPS = {*ops.ALL_OPS, *(row.op for row in ROWS)}


class Rows:
    def batch(self, step):
        ids = np.arange(step, step + 24).reshape(4, 6) % 11
        return ids, (ids + 1) % 11


def test_no_two_rows_are_for_the_same_arrays():
    assert len(KERNELS) == len(ROWS)


@pytest.mark.parametrize("package", [cpu, cuda], ids=["cpu", "cuda"])
def test_no_kernel_knows_an_op(package):
    """It may use an op's helpers and constants; what it does not cover, `accepts` leaves to the op."""
    found = [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    ]
    assert len(found) > 5
    for module in (package, *found):
        names = vars(module)
        assert [name for name, value in names.items() if value is ops or (callable(value) and value in OPS)] == []


def test_rows_are_all_in_the_table_before_anything_above_it_is_imported():
    assert set(KERNELS.values()) == set(ROWS)
    assert {row.op.__module__.split(".")[1] for row in ROWS} == {"ops"}


def watched(monkeypatch):
    """Every row's calls, counted; AssertionError for one that it does not accept."""
    calls = Counter()

    def checked(row):
        def function(*arrays, **settings):
            assert row.accepts(*arrays, **settings), row
            calls[row.op.__name__, row.module] += 1
            return row.function(*arrays, **settings)

        return replace(row, function=function)

    for key, row in list(KERNELS.items()):
        monkeypatch.setitem(KERNELS, key, checked(row))
    return calls


def everything(device):
    """A training step in two parts, of which one is a lone row, and text with the cache, of one row and of more."""
    model = GPT(CONFIG, device=device)
    list(train(model, AdamW(model.parameters()), Rows(), steps=2, accumulation=3, seed=1))
    for prompts in ([[1, 2, 3]], [[1], [2, 3]]):
        list(generate(model, prompts, 4, temperature=0.0))


def test_a_kernel_is_called_only_with_what_it_accepts(monkeypatch):
    calls = watched(monkeypatch)
    everything("cpu")
    assert {op for op, _ in calls} == {row.op.__name__ for row in ROWS if row.module == "numpy"} - {"total_of_squares"}


REFUSED = {
    "an empty batch of queries": (ops.causal_attention, (np.ones((0, 2, 6), np.float32),), {"n_heads": 1}),
    "the erf form": (ops.gelu, (np.ones(3, np.float32),), {"form": "erf"}),
    "a form that there is not": (ops.gelu, (np.ones(3, np.float32),), {"form": "relu"}),
    "a reduction that there is not": (
        ops.linear_cross_entropy,
        (np.ones((2, 3), np.float32), np.ones((4, 3), np.float32), np.zeros(2, int)),
        {"reduction": "max"},
    ),
    "a target too few": (
        ops.linear_cross_entropy,
        (np.ones((2, 3), np.float32), np.ones((4, 3), np.float32), np.zeros(1, int)),
        {},
    ),
    "a missing argument": (ops.linear_cross_entropy, (np.ones((2, 3), np.float32),), {}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_op_runs_where_its_kernel_does_not_accept(name):
    op, arrays, settings = REFUSED[name]
    assert kernels.kernel_for(op, *arrays, **settings) is op
