"""Spot checks: they agree with right gradients, and show wrong ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt import ops
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.study.trace.recorder import trace
from tinygrad_gpt.study.trace.spot_checks import entries_of, spot_checks
from tinygrad_gpt.tape import Tensor, apply

CONFIG = GPTConfig(vocab_size=7, context_length=4, emb_dim=4, n_heads=2, n_layers=1, drop_rate=0.3, tie_weights=True)


@given(st.integers(0, 2**32), st.booleans())
def test_they_agree_with_every_gradient_of_a_model(seed, checkpointing):
    ids, targets = np.random.default_rng(seed).integers(0, 7, (2, 2, 4))
    model = GPT(CONFIG, seed=seed, dtype="float64", activation_checkpointing=checkpointing)

    def loss():
        return model.loss(ids, targets, dropout=Dropout(seed, 1))

    with trace() as t:
        loss().backward()
    before = {name: tensor.data.copy() for name, tensor in model.parameters().items()}
    checks = spot_checks(t, loss, model.parameters(), per_array=1)
    assert all(np.array_equal(before[name], tensor.data) for name, tensor in model.parameters().items())
    checked = {t.values[check.value].name for check in checks}
    assert checked >= set(model.parameters())
    assert {t.ops[t.values[check.value].op].name for check in checks if t.values[check.value].op is not None} >= (
        {"recomputed"} if checkpointing else {"gelu", "causal_attention"}
    )
    for check in checks:
        # what is added to a layer norm's input has a scale of 0.02, where a millionth is no small step
        assert check.difference < 1e-3, (t.values[check.value].name, check)


def doubled(x):
    y, vjp = ops.exp(x)
    return y, lambda dy: (2 * vjp(dy)[0],)


def test_a_chosen_name_is_the_input_after_a_variable_has_its_name():
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)

    def loss(x):
        x = x.reshape(1, 2)
        x = x * x
        return x.sum()

    with trace() as t:
        loss(x).backward()
    assert t.variables["x"].name == "loss.multiply"
    checks = spot_checks(t, lambda: loss(x), {"x": x}, per_array=0, chosen={"x": [(1,)]})
    assert [(t.values[check.value].name, check.index) for check in checks] == [("x", (1,))]


def test_a_wrong_vjp_is_seen_from_its_input_on():
    x = Tensor(np.array([[0.1, 0.2, 0.3]]), requires_grad=True)

    def loss():
        return (apply(doubled, x * 3.0) * 5.0).sum()

    with trace() as t:
        loss().backward()
    checks = spot_checks(t, loss, {"x": x}, per_array=2)
    apart = {"x": [], "loss.multiply": [], "loss.doubled": []}
    for check in checks:
        apart.get(t.values[check.value].name, []).append(check.difference)
    assert [len(differences) for differences in apart.values()] == [2, 2, 2]
    assert min(apart["x"]) > 0.1
    assert min(apart["loss.multiply"]) > 0.1
    assert max(apart["loss.doubled"]) < 1e-8


def test_chosen_entries_are_checked_besides():
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)

    def loss():
        return (x * x).sum()

    with trace() as t:
        loss().backward()
    checks = spot_checks(t, loss, {"x": x}, per_array=0, chosen={"x": [(1, 2)], "loss.multiply": [(0, 1)]})
    found = {t.values[check.value].name: (check.index, check.at, check.analytic) for check in checks}
    assert found == {"x": ((1, 2), 5.0, 10.0), "loss.multiply": ((0, 1), 1.0, 1.0)}
    assert [round(check.numeric, 6) for check in checks] == [10.0, 1.0]


def test_the_first_entry_has_the_largest_gradient_and_none_comes_twice():
    x = Tensor(np.arange(1.0, 21), requires_grad=True)
    with trace() as t:
        (x * x).sum().backward()
    entries = list(entries_of(t["x"], 5))
    assert entries[0] == (19,)
    assert len(entries) == 5
    assert list(entries_of(t["x"], 5)) == entries


def test_another_function_is_refused():
    x = Tensor(np.ones(2), requires_grad=True)
    with trace() as t:
        x.exp().sum().backward()
    with pytest.raises(ValueError, match=r"loss must run the traced step again: exp, sum; got log, sum"):
        spot_checks(t, lambda: x.log().sum(), {"x": x})
