"""The whole path on a device: under `-m cuda` on the GPU in the machine, else on the one that is none.

What `tests/cuda/test_same.py` says of each kernel, here said of all together.
"""

import numpy as np
import pytest

from tinygrad_gpt import GPT, GPTConfig
from tinygrad_gpt.kernels import reference_only
from tinygrad_gpt.kernels.cuda import draw_mask, gemm, precision
from tinygrad_gpt.laws.strategies import normal
from tinygrad_gpt.optim import AdamW
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.sampling import generate
from tinygrad_gpt.text import Batches
from tinygrad_gpt.training import evaluate, train

TINY = GPTConfig(vocab_size=13, context_length=6, emb_dim=8, n_heads=2, n_layers=2, drop_rate=0.1)
LARGER = GPTConfig(vocab_size=509, context_length=128, emb_dim=192, n_heads=3, n_layers=3, drop_rate=0.1)
TOKENS = np.arange(20_000) ** 2 % 13


def sizes(device):
    """(config, batch size, steps): as much as the device can take in a few seconds."""
    return (TINY, 4, 3) if hasattr(device, "emulator") else (LARGER, 8, 30)


def trained(where, config, batch_size, steps, **settings):
    """A model after a few steps, and its losses."""
    model = GPT(config, seed=3, device=where)
    optimizer = AdamW(model.parameters(), lr=3e-3)
    batches = Batches(TOKENS, context_length=config.context_length, batch_size=batch_size, seed=5)
    reports = train(model, optimizer, batches, steps=steps, clip_norm=1.0, seed=7, **settings)
    return model, [float(report.loss) for report in reports]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_runs_losses_follow_the_cpus(accumulation, any_device):
    how = sizes(any_device)
    _, losses = trained("cuda", *how, accumulation=accumulation)
    _, wanted = trained("cpu", *how, accumulation=accumulation)
    assert losses[:3] == pytest.approx(wanted[:3], rel=1e-5)
    assert losses == pytest.approx(wanted, rel=2e-2)  # differences in the last bits grow from step to step


def test_one_step_with_kernels_is_one_without(any_device):
    config, batch_size, _ = sizes(any_device)
    model, losses = trained("cuda", config, batch_size, 1)
    with reference_only():
        plain, wanted = trained("cuda", config, batch_size, 1)
    assert losses == pytest.approx(wanted, rel=1e-5)
    for name, tensor in model.parameters().items():
        other = any_device.get(plain.parameters()[name].data)
        np.testing.assert_allclose(any_device.get(tensor.data), other, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", ["tf32", "bfloat16"])
def test_less_exact_runs_stay_near(name, any_device):
    pytest.importorskip("ml_dtypes")
    how = sizes(any_device)
    with precision(name):
        _, losses = trained("cuda", *how)
    _, wanted = trained("cpu", *how)
    assert losses == pytest.approx(wanted, rel=5e-2)


@pytest.mark.parametrize(
    "settings", [{}, {"temperature": 1.0}, {"temperature": 0.8, "top_k": 5, "top_p": 0.9}], ids=str
)
@pytest.mark.parametrize("use_cache", [True, False])
def test_text_is_that_of_the_cpu_for_the_same_seed(settings, use_cache, any_device):
    config, new_tokens = sizes(any_device)[0], 4 if hasattr(any_device, "emulator") else 40
    prompts = [[1, 2, 3], [4], list(range(1, 13)) * 11]  # the last longer than the context

    def text(where):
        model = GPT(config, seed=3, device=where)
        drawn = generate(model, prompts, new_tokens, seed=11, use_cache=use_cache, **settings)
        return [ids.tolist() for ids in drawn]

    assert text("cuda") == text("cpu")


def test_a_texts_score_is_that_on_the_cpu(any_device):
    config = sizes(any_device)[0]
    tokens = TOKENS[: 20 * config.context_length]
    scores = [evaluate(GPT(config, seed=3, device=where), tokens, batch_size=3) for where in ("cuda", "cpu")]
    assert scores[0].tokens == scores[1].tokens
    assert scores[0].nll == pytest.approx(scores[1].nll, rel=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (2, 3, 5, 7), (5, 1001)])
@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_a_mask_has_the_bits_of_the_hosts(shape, seed, any_device):
    masks = Dropout(seed, step=2**40, first_row=3)
    mask = draw_mask(masks.lazy_mask(site=7, shape=shape, rate=0.3), any_device.xp.empty((), np.float32))
    assert any_device.get(mask).tobytes() == masks.mask(7, shape, 0.3, np.float32).tobytes()


GPT2 = [(8192, 768, 2304), (8192, 768, 3072), (8192, 3072, 768), (1024, 768, 50257)]  # rows, width in, width out


@pytest.mark.parametrize("sizes_of_product", GPT2, ids=str)
@pytest.mark.parametrize("name", ["float32", "tf32", "bfloat16"])
def test_products_of_gpt2s_shapes(sizes_of_product, name, any_device):
    """On the device that is none a 64th of each length."""
    pytest.importorskip("ml_dtypes")
    N, I, O = (max(1, n // 64) if hasattr(any_device, "emulator") else n for n in sizes_of_product)  # noqa: E741
    kind = "bfloat16" if name == "bfloat16" else "float32"
    x, w, dy = (normal(seed, shape).astype(kind) for seed, shape in enumerate([(N, I), (I, O), (N, O)]))
    away = {"float32": 1e-5, "tf32": 2e-3, "bfloat16": 1e-2}[name]
    with precision(name):
        products = {
            "forward": (lambda a, b, _: gemm(a, b), x[:64].astype(np.float32) @ w.astype(np.float32)),
            "dx": (lambda _, b, dy: gemm(dy, b.T), dy[:64].astype(np.float32) @ w.astype(np.float32).T),
            "dw": (lambda a, _, dy: gemm(a.T, dy), x[:, :64].astype(np.float32).T @ dy.astype(np.float32)),
        }
        for product, want in products.values():
            got = any_device.get(product(*(any_device.asarray(array) for array in (x, w, dy))))[:64].astype(np.float64)
            assert np.linalg.norm(got - want) <= away * np.linalg.norm(want)
