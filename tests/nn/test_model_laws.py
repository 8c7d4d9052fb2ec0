"""GPT keeps the laws of models, tied and untied, with and without biases of queries, keys and values."""

from dataclasses import replace

import numpy as np
import pytest

from tests.mutants.zoo.model import RIGHT_MODEL, RIGHT_TIED_MODEL
from tinygrad_gpt import GPT, GPTConfig, laws
from tinygrad_gpt.nn.cache import Cache

BOOK = GPTConfig(vocab_size=7, context_length=4, emb_dim=8, n_heads=2, n_layers=2, drop_rate=0.0)
OPENAI = replace(BOOK, qkv_bias=True, tie_weights=True)


def gradients(model, ids, targets):
    parameters = model.parameters()
    for tensor in parameters.values():
        tensor.grad = None
    loss = model.loss(ids, targets)
    loss.backward()
    return loss.item(), {name: tensor.grad for name, tensor in parameters.items()}


def embedding_gradient(model, ids, dlogits):
    """Row by row: in a batch of one, the gradient of wpe is that of what tokens and places were embedded as."""
    wpe, rows = model.parameters()["wpe.weight"], []
    for row, dlogit in zip(ids, dlogits, strict=True):
        wpe.grad = None
        model(row[None]).backward(dlogit[None])
        rows.append(wpe.grad[: len(row)])
    return np.array(rows)


def stepwise(model, ids):
    """Token by token, each pass over one new token alone."""
    cache = Cache(model.config, len(ids), ids.shape[1], model.parameters()["wte.weight"].data)
    return np.stack([model.next_logits(ids[:, : t + 1].tolist(), cache) for t in range(ids.shape[1])], axis=1)


# What transformers 5.23.0 with PyTorch 2.13.0 computes in float64 from the weights below: GPT2LMHeadModel(GPT2Config(
# vocab_size=7, n_positions=4, n_embd=8, n_layer=2, n_head=2, attn_implementation="eager")).  The released weights, half
# a gigabyte, have no place in a repository; the law's question is whether somebody else's GPT-2 gives the same logits.
GOLDEN_IDS = np.array([[3, 0, 6, 3], [1, 1, 5, 2]])
GOLDEN_LOGITS = np.array(
    [
        [
            [-0.229356242, 0.693940927, -0.017403801, -0.439568421, -0.493850055, 0.600449606, 0.053190451],
            [-0.278782277, 0.616862426, -0.116162288, -0.482571004, -0.581541539, 0.460074872, -0.043416505],
            [-0.792489180, 0.368790538, -0.653204201, -0.713260124, -0.832182812, 0.052765209, 0.154265297],
            [-0.270036071, 0.624498018, -0.349483957, -0.462071005, -0.546589209, 0.505086603, 0.185129412],
        ],
        [
            [-0.288155977, 0.597900380, -0.254045710, -0.510762904, -0.615586345, 0.415861018, -0.107532088],
            [-0.308748994, 0.528786940, -0.444128525, -0.503619795, -0.659308616, 0.325433130, -0.171065993],
            [-0.504595810, 0.367256725, -0.916548045, -0.530601911, -0.770220915, 0.031936948, -0.005464535],
            [-0.395403108, 0.491423722, -0.762487575, -0.527189938, -0.683761609, 0.249328692, 0.252735707],
        ],
    ]
)


def golden():
    """Weights that need no file: whole numbers that repeat after 101 places, over 71."""
    shapes = {name: tensor.shape for name, tensor in GPT(OPENAI).parameters().items()}
    return {name: uneven(sum(name.encode()), shape) for name, shape in shapes.items()}, GOLDEN_IDS, GOLDEN_LOGITS


def uneven(k, shape):
    j = np.arange(np.prod(shape))
    return ((k + 37 * j + 11 * j * j) % 101 - 50).reshape(shape) / 71


def under_test(name, config, **claims):
    return laws.ModelUnderTest(
        name=name,
        vocab_size=config.vocab_size,
        context_length=config.context_length,
        build=lambda seed: GPT(config, seed=seed, dtype="float64"),
        logits=lambda model, ids: model(ids).data,
        gradients=gradients,
        parameters=lambda model: {name: tensor.data.copy() for name, tensor in model.parameters().items()},
        load=GPT.load,
        embedding_gradient=embedding_gradient,
        stepwise=stepwise,
        logit_variance=0.02**2 * config.emb_dim,
        **claims,
    )


untied = under_test("untied", replace(OPENAI, tie_weights=False))
SUTS = [
    under_test("book", BOOK),
    under_test("openai", OPENAI, untied=untied, golden=golden),
    RIGHT_MODEL,
    RIGHT_TIED_MODEL,
]


@laws.parametrize_with_laws(SUTS)
def test_law(sut, law):
    law.check(sut)


@pytest.mark.parametrize("name", ["wte.weight", "h.1.attn.c_attn.bias", "h.0.ln_2.bias", "h.1.mlp.c_proj.weight"])
def test_the_published_logits_hang_on_every_weight(name):
    def spoilt():
        weights, ids, want = golden()
        weights[name].flat[-1] += 0.1
        return weights, ids, want

    with pytest.raises(laws.LawBroken, match="M10"):
        laws.find("M10").check(under_test("openai", OPENAI, golden=spoilt))
