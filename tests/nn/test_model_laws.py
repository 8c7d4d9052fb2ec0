"""GPT keeps the laws of models, tied and untied, with and without biases of queries, keys and values."""

from dataclasses import replace

from tinygrad_gpt import GPT, GPTConfig, laws
from tinygrad_gpt.laws.mutants.model import RIGHT_MODEL, RIGHT_TIED_MODEL

BOOK = GPTConfig(vocab_size=7, context_length=4, emb_dim=8, n_heads=2, n_layers=2, drop_rate=0.0)
OPENAI = replace(BOOK, qkv_bias=True, tie_weights=True)


def gradients(model, ids, targets):
    parameters = model.parameters()
    for tensor in parameters.values():
        tensor.grad = None
    loss = model.loss(ids, targets)
    loss.backward()
    return loss.item(), {name: tensor.grad for name, tensor in parameters.items()}


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
        logit_variance=0.02**2 * config.emb_dim,
        **claims,
    )


untied = under_test("untied", replace(OPENAI, tie_weights=False))
SUTS = [under_test("book", BOOK), under_test("openai", OPENAI, untied=untied), RIGHT_MODEL, RIGHT_TIED_MODEL]


@laws.parametrize_with_laws(SUTS)
def test_law(sut, law):
    law.check(sut)
