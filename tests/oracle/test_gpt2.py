"""Our GPT against transformers' GPT2LMHeadModel with the same random weights: logits, gradients, published files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_gpt import GPT, GPTConfig, load_gpt2

torch = pytest.importorskip("torch", reason="PyTorch is not installed: there is nothing to compare with")
transformers = pytest.importorskip("transformers", reason="transformers is not installed: there is no second GPT-2")
GPT2, GPT2Config = transformers.GPT2LMHeadModel, transformers.GPT2Config  # imported by name, at collection

CONFIG = GPTConfig(
    vocab_size=23, context_length=8, emb_dim=12, n_heads=3, n_layers=2, drop_rate=0.0, qkv_bias=True, tie_weights=True
)
SEEDS = st.integers(0, 2**32 - 1)


def theirs(config, seed):
    """A GPT2LMHeadModel in float64, all of its parameters random: biases of 0 would hide a forgotten one."""
    model = GPT2(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.context_length,
            n_embd=config.emb_dim,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            bos_token_id=None,
            eos_token_id=None,
            attn_implementation="eager",
        )
    )
    random = np.random.Generator(np.random.Philox(key=seed))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(random.normal(0, 0.3, tuple(parameter.shape))))
    return model.double().eval()


def ours(config, model):
    """Our GPT with the same numbers."""
    weights = {name.removeprefix("transformer."): p.detach().numpy() for name, p in model.named_parameters()}
    return GPT(config, dtype="float64", weights=weights)


def batch(config, seed, T):
    return np.random.Generator(np.random.Philox(key=seed)).integers(0, config.vocab_size, (2, T))


@settings(max_examples=10)
@given(SEEDS, st.integers(1, CONFIG.context_length))
def test_logits_are_equal(seed, T):
    model, ids = theirs(CONFIG, seed), batch(CONFIG, seed, T)
    with torch.no_grad():
        want = model(torch.from_numpy(ids)).logits.numpy()
    np.testing.assert_allclose(ours(CONFIG, model)(ids).data, want, rtol=0, atol=1e-9)


@settings(max_examples=10)
@given(SEEDS, st.integers(2, CONFIG.context_length))
def test_loss_and_gradients_are_equal(seed, T):
    model, ids = theirs(CONFIG, seed), batch(CONFIG, seed, T)
    gpt = ours(CONFIG, model)
    loss = gpt.loss(ids[:, :-1], ids[:, 1:])
    loss.backward()
    tokens = torch.from_numpy(ids)
    logits = model(tokens[:, :-1]).logits  # not model(labels=...).loss, which is computed in float32
    their_loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    their_loss.backward()
    assert loss.item() == pytest.approx(their_loss.item(), rel=1e-12)
    parameters = gpt.parameters()
    for name, p in model.named_parameters():
        got, want = parameters.pop(name.removeprefix("transformer.")).grad, p.grad.numpy()
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-11, err_msg=name)
    assert not parameters


def test_the_book_s_model_is_gpt2_with_a_head_of_its_own():
    config = GPTConfig(**CONFIG.as_dict() | {"tie_weights": False, "qkv_bias": False})
    model, ids = theirs(config, 1), batch(config, 1, config.context_length)
    head = np.random.Generator(np.random.Philox(key=2)).normal(0, 0.3, (config.vocab_size, config.emb_dim))
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(torch.from_numpy(head))
    with torch.no_grad():
        for block in model.transformer.h:
            block.attn.c_attn.bias.zero_()
        want = model(torch.from_numpy(ids)).logits.numpy()
    weights = {name.removeprefix("transformer."): p.detach().numpy() for name, p in model.named_parameters()}
    weights = {name: array for name, array in weights.items() if not name.endswith("c_attn.bias")}
    gpt = GPT(config, dtype="float64", weights=weights)
    np.testing.assert_allclose(gpt(ids).data, want, rtol=0, atol=1e-9)


@pytest.mark.parametrize("form", ["with a head", "without a head"])
def test_the_file_that_transformers_saves_is_loaded(form, tmp_path):
    model, ids = theirs(CONFIG, 3).float(), batch(CONFIG, 3, CONFIG.context_length)
    (model if form == "with a head" else model.transformer).save_pretrained(tmp_path)
    gpt = load_gpt2(tmp_path / "model.safetensors", n_heads=CONFIG.n_heads, drop_rate=0.0)
    assert gpt.config == CONFIG
    for name, p in model.named_parameters():
        assert gpt.parameters()[name.removeprefix("transformer.")].data.tobytes() == p.detach().numpy().tobytes(), name
    with torch.no_grad():
        want = model(torch.from_numpy(ids)).logits.numpy()
    np.testing.assert_allclose(gpt(ids).data, want, rtol=0, atol=1e-4)


def test_a_greedy_text_is_the_same():
    from tinygrad_gpt import generate

    model = theirs(CONFIG, 4)
    prompt = batch(CONFIG, 4, 3)[:1]
    want = model.generate(torch.from_numpy(prompt), max_new_tokens=5, do_sample=False, pad_token_id=0)
    got = [int(ids[0]) for ids in generate(ours(CONFIG, model), prompt, 5)]
    assert got == want[0, 3:].tolist()
