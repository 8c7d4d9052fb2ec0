"""GPT equals GPT-2 written out in plain NumPy; its names, numbers, initial weights, dropout and errors."""

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt import GPT, GPTConfig, Tensor, no_grad
from tinygrad_gpt.laws.strategies import index_arrays, normal, seeds
from tinygrad_gpt.nn.dropout import DropoutSites
from tinygrad_gpt.rng import Dropout

SMALL = GPTConfig(vocab_size=11, context_length=5, emb_dim=12, n_heads=3, n_layers=2, drop_rate=0.25)
SHAPES = st.sampled_from([SMALL, replace(SMALL, qkv_bias=True), replace(SMALL, tie_weights=True, n_heads=1)])
IDS = st.sampled_from([(1, 1), (2, 5), (3, 4)]).flatmap(lambda shape: index_arrays(shape, 11, distinct=11))


def random_weights(config, seed):
    """Nothing is 0 or 1, so that nothing is missed."""
    model = GPT(config, seed=seed)
    return {name: 0.5 * normal(seed + i, tensor.shape) for i, (name, tensor) in enumerate(model.parameters().items())}


def gpt2(weights, ids, config):
    """Logits of GPT-2, row by row, head by head; Radford et al. 2019 with the layout of the published files."""

    def normalised(x, name):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def dense(x, name):
        return x @ weights[f"{name}.weight"] + weights.get(f"{name}.bias", 0.0)

    def softmax(scores):
        e = np.exp(scores - scores.max())
        return e / e.sum()

    def heads(x, name):
        q, k, v = np.split(dense(x, f"{name}.c_attn"), 3, axis=-1)
        D = config.emb_dim // config.n_heads
        out = np.zeros_like(x)
        for h in range(0, config.emb_dim, D):
            for t in range(len(x)):
                scores = np.array([q[t, h : h + D] @ k[s, h : h + D] / math.sqrt(D) for s in range(t + 1)])
                out[t, h : h + D] = softmax(scores) @ v[: t + 1, h : h + D]
        return dense(out, f"{name}.c_proj")

    def mlp(x, name):
        u = dense(x, f"{name}.c_fc")
        u = 0.5 * u * (1 + np.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3)))
        return dense(u, f"{name}.c_proj")

    def row(ids):
        x = np.array([weights["wte.weight"][token] + weights["wpe.weight"][t] for t, token in enumerate(ids)])
        for i in range(config.n_layers):
            x = x + heads(normalised(x, f"h.{i}.ln_1"), f"h.{i}.attn")
            x = x + mlp(normalised(x, f"h.{i}.ln_2"), f"h.{i}.mlp")
        return normalised(x, "ln_f") @ weights["wte.weight" if config.tie_weights else "lm_head.weight"].T

    return np.array([row(row_ids) for row_ids in ids])


def test_a_model_shows_its_size_and_shape():
    config = GPTConfig(vocab_size=11, context_length=4, emb_dim=4, n_heads=2, n_layers=1)
    shown = repr(GPT(config))
    assert shown.startswith(f"<GPT of {GPT(config).n_parameters:,} parameters on cpu: vocab_size=11, context_length=4,")


@given(config=SHAPES, ids=IDS, seed=st.integers(0, 2**32))
def test_it_is_gpt2(config, ids, seed):
    weights = random_weights(config, seed)
    model = GPT(config, dtype="float64", weights=weights)
    want = gpt2(weights, ids, config)
    np.testing.assert_allclose(model(ids).data, want, rtol=1e-10, atol=1e-10)
    single = GPT(config, weights=weights)(ids).data
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, want, rtol=1e-3, atol=1e-3)


@given(config=SHAPES, ids=IDS, seed=seeds())
def test_the_loss_is_the_mean_surprise(config, ids, seed):
    model = GPT(config, seed=seed, dtype="float64")
    targets = np.roll(ids, 1, axis=1)
    logits = model(ids).data
    logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    nats = [-logp[b, t, targets[b, t]] for b, t in np.ndindex(ids.shape)]
    assert model.loss(ids, targets).item() == pytest.approx(np.mean(nats), rel=1e-12)
    assert model.loss(ids, targets, reduction="sum").item() == pytest.approx(np.sum(nats), rel=1e-12)


# ---- dropout


def test_nothing_is_dropped_unless_dropout_is_given():
    model, ids = GPT(SMALL, seed=3), np.arange(5)[None]
    np.testing.assert_array_equal(model(ids).data, model(ids).data)
    assert (model(ids, Dropout(seed=0, step=1)).data != model(ids).data).any()
    without = GPT(replace(SMALL, drop_rate=0.0), seed=3)
    np.testing.assert_array_equal(without(ids, Dropout(seed=0, step=1)).data, model(ids).data)


@given(seed=seeds(), step=st.integers(1, 1000))
def test_masks_depend_on_seed_and_step_alone(seed, step):
    model, ids = GPT(SMALL, seed=3), np.arange(10).reshape(2, 5)
    here = model(ids, Dropout(seed, step)).data
    np.testing.assert_array_equal(model(ids, Dropout(seed, step)).data, here)
    assert (model(ids, Dropout(seed, step + 1)).data != here).any()


@given(seed=seeds(), cut=st.integers(1, 3))
def test_micro_batches_draw_the_masks_of_the_whole_batch(seed, cut):
    model = GPT(SMALL, seed=3, dtype="float64")
    ids = np.arange(20).reshape(4, 5) % 11
    whole = model(ids, Dropout(seed, 1)).data
    first = model(ids[:cut], Dropout(seed, 1)).data
    rest = model(ids[cut:], Dropout(seed, 1, first_row=cut)).data
    np.testing.assert_allclose(np.concatenate([first, rest]), whole, rtol=1e-12, atol=1e-14)


def test_rows_of_a_batch_draw_different_masks():
    model = GPT(SMALL, seed=3)
    logits = model(np.zeros((2, 5), int), Dropout(0, 1)).data
    assert (logits[0] != logits[1]).any()


def test_gradients_pass_through_the_same_masks():
    """Half the difference of two losses along a direction, masks held fixed."""
    model, ids = GPT(SMALL, seed=3, dtype="float64"), np.arange(10).reshape(2, 5)
    masks, targets = Dropout(7, 1), np.roll(np.arange(10), 1).reshape(2, 5)
    model.loss(ids, targets, dropout=masks).backward()
    directions = {name: normal(i, t.shape) for i, (name, t) in enumerate(model.parameters().items())}
    slope = sum(float((t.grad * directions[name]).sum()) for name, t in model.parameters().items())
    start = {name: t.data for name, t in model.parameters().items()}

    def loss_at(h):
        model.load({name: w + h * directions[name] for name, w in start.items()})
        return model.loss(ids, targets, dropout=masks).item()

    assert (loss_at(1e-6) - loss_at(-1e-6)) / 2e-6 == pytest.approx(slope, rel=1e-6)


# ---- what goes in


def test_ids_that_are_refused():
    model = GPT(SMALL)
    for ids, error, text in [
        ([[0, 11]], ValueError, r"ids must be from 0 to 10; got 11 at position \(0, 1\)"),
        ([[0], [-1]], ValueError, r"ids must be from 0 to 10; got -1 at position \(1, 0\)"),
        ([[0.0]], TypeError, "ids must be whole numbers; got float64"),
        ([[True]], TypeError, "ids must be whole numbers; got bool"),
        ([0, 1], ValueError, r"ids must be \(batch, time\), with one token or more; got shape \(2,\)"),
        ([[[0]]], ValueError, r"ids must be \(batch, time\)"),
        (np.zeros((2, 0), int), ValueError, r"one token or more; got shape \(2, 0\)"),
        (np.zeros((1, 6), int), ValueError, "ids may be at most context_length 5 long; got 6"),
    ]:
        with pytest.raises(error, match=text):
            model(np.asarray(ids))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_ids_of_any_whole_dtype(dtype):
    model, ids = GPT(SMALL), np.arange(10).reshape(2, 5)
    np.testing.assert_array_equal(model(ids.astype(dtype)).data, model(ids).data)
    assert model.loss(ids.astype(dtype), ids.astype(dtype)).item() == model.loss(ids, ids).item()


def test_an_empty_batch_has_empty_logits():
    assert GPT(SMALL)(np.zeros((0, 3), int)).shape == (0, 3, 11)


def test_ids_are_left_alone_and_no_graph_is_built_without_need():
    model, ids = GPT(SMALL), np.arange(5)[None]
    ids.flags.writeable = False
    with no_grad():
        assert not model(ids).requires_grad
    assert model(ids).requires_grad


# ---- weights by name


def test_weights_can_be_carried_over():
    one, two = GPT(SMALL, seed=1), GPT(SMALL, seed=2)
    kept = dict(two.parameters())
    two.load({name: tensor.data for name, tensor in one.parameters().items()})
    for name, tensor in two.parameters().items():
        assert tensor is kept[name]
        np.testing.assert_array_equal(tensor.data, one.parameters()[name].data)
        assert not np.shares_memory(tensor.data, one.parameters()[name].data)


def test_weights_that_do_not_fit_are_refused_whole():
    model = GPT(SMALL, seed=1)
    before = {name: tensor.data.copy() for name, tensor in model.parameters().items()}
    weights = {name: array + 1 for name, array in before.items()}
    weights["wpe.weight"] = weights["wpe.weight"][:3]
    weights["h.2.ln_1.bias"] = weights.pop("ln_f.bias")
    with pytest.raises(ValueError, match="weights do not fit the model: ") as caught:
        model.load(weights)
    assert "ln_f.bias is missing" in str(caught.value)
    assert "h.2.ln_1.bias is unexpected" in str(caught.value)
    assert "wpe.weight has shape (3, 12), not (5, 12)" in str(caught.value)
    for name, tensor in model.parameters().items():
        np.testing.assert_array_equal(tensor.data, before[name])


def test_every_parameter_requires_a_gradient_and_gets_one():
    model = GPT(SMALL, seed=1)
    model.loss(np.arange(5)[None], np.arange(5)[None]).backward()
    for name, tensor in model.parameters().items():
        assert isinstance(tensor, Tensor)
        assert tensor.grad.any(), name
        assert (tensor.grad.shape, tensor.grad.dtype) == (tensor.shape, tensor.dtype)
        assert tensor.grad.flags.c_contiguous, name


def test_unknown_devices_and_dtypes_are_refused():
    with pytest.raises(ValueError, match="device must be one of cpu, cuda, auto; got 'gpu'"):
        GPT(SMALL, device="gpu")
    for dtype in ("int32", "float16"):
        with pytest.raises(TypeError, match=f"dtype must be one of float32, float64; got {dtype}"):
            GPT(SMALL, dtype=dtype)


def test_each_place_in_the_model_draws_its_own_mask():
    x, drop = Tensor(np.ones((2, 40))), DropoutSites(Dropout(seed=5, step=2), 0.5)
    masks = [drop(x).data for _ in range(4)]
    assert len({mask.tobytes() for mask in masks}) == 4
    assert all(set(np.unique(mask)) == {0.0, 2.0} for mask in masks)
    again = DropoutSites(Dropout(seed=5, step=2), 0.5)
    np.testing.assert_array_equal([again(x).data for _ in range(4)], masks)


# ---- activation checkpointing


def step_of(model):
    ids = np.arange(2 * CHECKED.context_length).reshape(2, -1) % CHECKED.vocab_size
    loss = model.loss(ids, ids, dropout=Dropout(7, 3))
    loss.backward()
    return loss.data.tobytes(), {name: t.grad.tobytes() for name, t in model.parameters().items()}


CHECKED = GPTConfig(vocab_size=13, context_length=24, emb_dim=8, n_heads=2, n_layers=3, drop_rate=0.2)


@pytest.mark.parametrize("tied", [False, True])
def test_checkpointing_changes_no_bit(tied):
    config = replace(CHECKED, tie_weights=tied)
    assert step_of(GPT(config, activation_checkpointing=True)) == step_of(GPT(config))


def test_checkpointing_keeps_less():
    def kept(checkpointing):
        model = GPT(CHECKED, activation_checkpointing=checkpointing)
        ids = np.zeros((8, CHECKED.context_length), int)
        tracemalloc.start()
        try:
            loss = model.loss(ids, ids, dropout=Dropout(0, 1))
            assert loss.requires_grad  # and so alive, with all that it keeps
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    assert kept(True) < kept(False) / 4
