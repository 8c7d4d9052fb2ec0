"""A model's first weights: GPT-2's rule and PyTorch's, as functions of the seed."""

import math

import numpy as np
import pytest
import scipy.stats

from tinygrad_gpt import GPT, GPTConfig

CONFIG = GPTConfig(vocab_size=300, context_length=100, emb_dim=96, n_heads=2, n_layers=3, qkv_bias=True)
EMBEDDINGS = ("wte.weight", "wpe.weight")


def is_of_layer_norm(name):
    return ".ln_" in f".{name}"


def test_gpt2_is_normal_with_deviation_0_02_and_smaller_where_the_residual_stream_grows():
    for name, tensor in GPT(CONFIG, seed=1).parameters().items():
        w = tensor.data
        assert w.dtype == np.float32
        if name.endswith("bias"):
            assert not w.any()
        elif is_of_layer_norm(name):
            assert (w == 1).all()
        else:
            std = 0.02 / math.sqrt(6) if name.endswith("c_proj.weight") else 0.02
            assert scipy.stats.kstest(w.ravel() / std, "norm").pvalue > 1e-6, name
            assert np.std(w) == pytest.approx(std, rel=0.03)


def test_torch_is_normal_for_embeddings_and_uniform_within_one_over_the_root_of_the_inputs():
    for name, tensor in GPT(CONFIG, seed=1, init="torch").parameters().items():
        w = tensor.data
        assert w.dtype == np.float32
        if is_of_layer_norm(name):
            assert (w == float(name.endswith("weight"))).all()
        elif name in EMBEDDINGS:
            assert scipy.stats.kstest(w.ravel(), "norm").pvalue > 1e-6, name
        else:
            bound = 1 / math.sqrt(384 if ".mlp.c_proj." in name else 96)  # biases of a layer go by its inputs too
            assert scipy.stats.kstest(w.ravel() / bound, scipy.stats.uniform(-1, 2).cdf).pvalue > 1e-6, name


@pytest.mark.parametrize("init", ["gpt2", "torch"])
def test_weights_are_a_function_of_the_seed_and_no_two_are_alike(init):
    one, same, other = (GPT(CONFIG, seed=seed, init=init).parameters() for seed in (1, 1, 2))
    drawn = [name for name, w in one.items() if w.ndim == 2]
    for name in one:
        np.testing.assert_array_equal(one[name].data, same[name].data)
    for name in drawn:
        assert not np.isclose(one[name].data, other[name].data).any(axis=-1).all()
    starts = [one[name].data.ravel()[:4].tolist() for name in drawn]
    assert len({tuple(start) for start in starts}) == len(drawn)


def test_the_rule_gpt2_is_the_default_and_gives_these_numbers():
    """Changed numbers would change every run of a seed."""
    gpt2, torch = (
        GPT(CONFIG, seed=7, **kind).parameters()["h.2.mlp.c_proj.weight"].data for kind in ({}, {"init": "torch"})
    )
    np.testing.assert_allclose(gpt2[0, :3], [-0.00376005657, 0.00410515023, 0.0123138083], rtol=1e-6)
    np.testing.assert_allclose(torch[0, :3], [-0.0298641305, -0.0134700099, 0.0212788265], rtol=1e-6)


def test_another_rule_is_refused_by_name():
    with pytest.raises(ValueError, match="init must be one of gpt2, torch; got 'xavier'"):
        GPT(CONFIG, init="xavier")
