"""A step of generation on the device: the cache of keys and values, and what is transferred."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinygrad_gpt.kernels import cuda, kernel_for
from tinygrad_gpt.laws.strategies import normal, seeds
from tinygrad_gpt.nn import GPT, Cache, GPTConfig
from tinygrad_gpt.ops.kv_cache import NewTokens, append_and_attend, append_kv
from tinygrad_gpt.sampling import generate

FEW = settings(max_examples=8, suppress_health_check=list(HealthCheck))
CONFIG = GPTConfig(vocab_size=11, context_length=9, emb_dim=8, n_heads=2, n_layers=2, drop_rate=0.1, qkv_bias=True)
LENGTH = CONFIG.context_length
rows = st.lists(st.lists(st.integers(0, 10), min_size=1, max_size=LENGTH), min_size=1, max_size=3)
ROUNDING = {"float32": 1e-6, "bfloat16": 2.0**-8}


@pytest.fixture(params=list(ROUNDING))
def dtype(request):
    return np.dtype(np.float32 if request.param == "float32" else pytest.importorskip("ml_dtypes").bfloat16)


@st.composite
def steps(draw, D=40):
    """qkv (B, T, 3C), keys and values (2, B, H, L, D), first and counts (B) of a step, and which tokens are real."""
    B, T, H = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    counts = np.array(draw(st.lists(st.integers(1, T), min_size=B, max_size=B)))
    first = np.array(draw(st.lists(st.integers(0, 70), min_size=B, max_size=B)))
    seed, L = draw(seeds()), int((first + counts).max()) + draw(st.integers(0, 3))
    qkv = np.asarray(normal(seed, (B, T, 3 * H * D)), np.float32)
    cache = np.asarray(normal(seed // 2, (2, B, H, L, D)), np.float32)
    return qkv, cache, first, counts


def on_host(qkv, cache, first, counts):
    """y of the real tokens and the cache, by the function that the kernel stands in for, in float64."""
    new = NewTokens(np.zeros(qkv.shape[:2]), counts, first, np.stack([first, counts]))
    keys, values = cache.astype(float)
    y = append_and_attend(qkv.astype(float), keys, values, new)
    return y[new.token_index[:2]], np.stack([keys, values])


def there(device, qkv, cache, first, counts):
    """The arguments on the device."""
    keys_and_values = device.asarray(cache)
    new = NewTokens(np.zeros(qkv.shape[:2]), counts, first, device.asarray(np.stack([first, counts])))
    return (device.asarray(qkv), *keys_and_values, new), keys_and_values


@FEW
@given(steps())
def test_a_step_attends_to_all_that_was_seen(dtype, device, step):
    """Rows of any lengths: cache entries beyond a row's tokens have no effect, and the new ones are stored."""
    qkv, cache, first, counts = step
    qkv = qkv.astype(dtype)
    want, want_cache = on_host(qkv, cache, first, counts)
    real, found = np.arange(qkv.shape[1]) < counts[:, None], set()
    for schedule in range(6):
        arguments, changed = there(device, qkv, cache, first, counts)
        with device.schedule(schedule):
            y = device.get(cuda.append_and_attend(*arguments))
        assert y.dtype == dtype
        np.testing.assert_allclose(y[real].astype(float), want, atol=8 * ROUNDING[dtype.name])
        assert not y[~real].any()
        np.testing.assert_array_equal(device.get(changed), want_cache.astype(np.float32))
        found.add(y.tobytes())
    assert len(found) == 1


@FEW
@given(steps())
def test_appending_alone(dtype, device, step):
    qkv, cache, first, counts = step
    qkv = qkv.astype(dtype)
    arguments, changed = there(device, qkv, cache, first, counts)
    cuda.append_kv(*arguments)
    np.testing.assert_array_equal(device.get(changed), on_host(qkv, cache, first, counts)[1].astype(np.float32))


@pytest.mark.parametrize("D", [129, 256, 257])
@settings(FEW, max_examples=2)
@given(data=st.data())
def test_wide_heads(D, dtype, device, data):
    """Up to 256 numbers in one launch; wider ones by the functions that need none."""
    qkv, cache, first, counts = data.draw(steps(D=D))
    qkv = qkv.astype(dtype)
    want, want_cache = on_host(qkv, cache, first, counts)
    real = np.arange(qkv.shape[1]) < counts[:, None]
    for function, name in ((append_and_attend, "attend"), (append_kv, "append")):
        arguments, changed = there(device, qkv, cache, first, counts)
        device.emulator.launches.clear()
        y = kernel_for(function, *arguments)(*arguments)
        assert (name in device.emulator.launches) == (D <= 256)
        np.testing.assert_array_equal(device.get(changed), want_cache.astype(np.float32))
        if y is not None:
            assert y.dtype == dtype
            np.testing.assert_allclose(device.get(y)[real].astype(float), want, atol=8 * ROUNDING[dtype.name])


def models(seed=0):
    """The same model on both sides, with weights at which other tokens matter."""
    host, on_device = GPT(CONFIG, seed=seed), GPT(CONFIG, seed=seed, device="cuda")
    for gpt in (host, on_device):
        for tensor in gpt.parameters().values():
            tensor.data *= 9
    return host, on_device


@FEW
@given(whole=rows, data=st.data())
def test_reading_on_equals_reading_everything(whole, data, device):
    """Each row in as many pieces as it likes, none of a row now and then: the logits are those of the CPU."""
    host, gpt = models()
    cache = Cache(CONFIG, len(whole), LENGTH, gpt.head.data)
    seen = [data.draw(st.integers(1, len(row))) for row in whole]
    for _ in range(3):
        sequences = [row[:n] for row, n in zip(whole, seen, strict=True)]
        logits = device.get(gpt.next_logits(sequences, cache))
        want = np.stack([host(np.array([sequence])).data[0, -1] for sequence in sequences])
        np.testing.assert_allclose(logits, want, rtol=1e-3, atol=1e-3 * abs(want).max())
        seen = [data.draw(st.integers(n, len(row))) for row, n in zip(whole, seen, strict=True)]


def test_generation_with_the_cache_gives_the_tokens_of_the_cpu(device):
    host, gpt = models()
    for settings_ in ({"temperature": 0.0}, {"temperature": 1.0, "top_k": 5, "seed": 3}):
        want = np.stack(list(generate(host, [[1, 2, 3], [4]], 5, **settings_)))
        np.testing.assert_array_equal(np.stack(list(generate(gpt, [[1, 2, 3], [4]], 5, **settings_))), want)


def test_a_step_is_one_launch_of_attention_for_each_block(device):
    _, gpt = models()
    cache = Cache(CONFIG, 2, LENGTH, gpt.head.data)
    gpt.next_logits([[1, 2], [3]], cache)
    device.emulator.launches.clear()
    gpt.next_logits([[1, 2, 5], [3, 4]], cache)
    assert [name for name in device.emulator.launches if name in ("attend", "append")] == ["attend"] * CONFIG.n_layers


@pytest.mark.parametrize("n_layers", [1, 3])
def test_a_pass_moves_ids_and_places_and_no_more(device, n_layers):
    """However many blocks there are: a few whole numbers for each token (the ids, where they belong) and none back."""
    config = GPTConfig(vocab_size=11, context_length=9, emb_dim=8, n_heads=2, n_layers=n_layers)
    gpt = GPT(config, device="cuda")
    cache = Cache(config, 2, LENGTH, gpt.head.data)
    for sequences, T in (([[1, 2], [3]], 2), ([[1, 2, 5], [3, 4]], 1)):
        device.transfers.clear()
        gpt.next_logits(sequences, cache)
        assert {transfer.kind for transfer in device.transfers} == {"to device"}
        assert len(device.transfers) <= 4
        assert max(transfer.nbytes for transfer in device.transfers) <= max(8 * 2 * T, 2 * 8 * 2)
