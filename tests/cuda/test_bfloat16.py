"""Activations in bfloat16, all the rest in float32: a whole model, beside the same one in float32.

How far apart they may be.  A number stored in bfloat16 is off by at most U = 2⁻⁹ of itself, by U/√3 on average.  On the
way through a block and back some 26 arrays are stored so: what comes out of two layer norms, four linear layers,
attention and GELU, the weights of attention, copies of four matrices, and the gradients of each on the way back.  Their
errors are independent of each other, so they add up as a random walk does: √n steps of one error.  Layers whose
weights are as at the start do not amplify them.
"""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinygrad_gpt import ops
from tinygrad_gpt.kernels import op_hook
from tinygrad_gpt.kernels.cuda import precision
from tinygrad_gpt.laws.strategies import normal, seeds
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.optim import AdamW
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.tape import Tensor, apply
from tinygrad_gpt.text import Batches
from tinygrad_gpt.training import train

ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 is a dtype of ml_dtypes")

FEW = settings(max_examples=4, suppress_health_check=list(HealthCheck))
CONFIG = GPTConfig(vocab_size=19, context_length=8, emb_dim=32, n_heads=2, n_layers=2, drop_rate=0.1, qkv_bias=True)
U = 2.0**-9
# Arrays on the longest way: the last layer norm, the head and the logits beside blocks.
ROUNDED = 26 * CONFIG.n_layers + 3
BOUND = 2 * math.sqrt(ROUNDED) * U
TIED = (False, True)


def model(seed, tied=False):
    return GPT(GPTConfig(**{**vars(CONFIG), "tie_weights": tied}), seed=seed, device="cuda")


def batch(seed):
    """ids and targets (2, 7)."""
    tokens = np.random.Generator(np.random.Philox(key=seed)).integers(0, CONFIG.vocab_size, (2, 8))
    return tokens[:, :-1], tokens[:, 1:]


def loss_and_gradients(device, gpt, seed, name):
    """On the host, of a forward and a backward pass in this precision."""
    ids, targets = batch(seed)
    for tensor in gpt.parameters().values():
        tensor.grad = None
    with precision(name):
        loss = gpt.loss(ids, targets, dropout=Dropout(seed, 1))
        loss.backward()
    assert loss.dtype == np.float32
    assert all(tensor.grad.dtype == tensor.dtype == np.float32 for tensor in gpt.parameters().values())
    return device.get(loss.data), {name: device.get(tensor.grad) for name, tensor in gpt.parameters().items()}


@FEW
@given(seed=seeds(), tied=st.sampled_from(TIED))
def test_loss_and_gradients_are_those_of_float32(seed, tied, device):
    """To within a random walk of roundings: each parameter's gradient, and the loss; with the very same dropout."""
    gpt = model(seed, tied)
    loss, gradients = loss_and_gradients(device, gpt, seed, "float32")
    narrow_loss, narrow = loss_and_gradients(device, gpt, seed, "bfloat16")
    assert 0 < abs(narrow_loss - loss) < BOUND * loss
    for name, exact in gradients.items():
        assert 0 < np.linalg.norm(narrow[name] - exact) < BOUND * np.linalg.norm(exact), name


def test_the_precision_ends_with_its_block(device):
    gpt = model(0)
    before = loss_and_gradients(device, gpt, 0, "float32")
    loss_and_gradients(device, gpt, 0, "bfloat16")
    after = loss_and_gradients(device, gpt, 0, "float32")
    assert before[0] == after[0]
    assert all(before[1][name].tobytes() == after[1][name].tobytes() for name in before[1])


def test_what_is_stored_how(device):
    """Activations in bfloat16; the stream that they are added to, embeddings and the loss in float32."""
    stored = {}

    def noting(op, chosen):
        def run(*arrays, **settings):
            out, vjp = chosen(*arrays, **settings)
            stored.setdefault(op.__name__, set()).add(out.dtype.name)
            return out, vjp

        return run

    with precision("bfloat16"), op_hook(noting):
        model(0).loss(*batch(0), dropout=Dropout(0, 1))
    narrow = {name for name, dtypes in stored.items() if dtypes == {"bfloat16"}}
    assert narrow == {"layer_norm", "linear", "causal_attention", "gelu"}
    assert {name: stored[name] for name in ("add", "embedding", "linear_cross_entropy")} == {
        "add": {"float32"},
        "embedding": {"float32"},
        "linear_cross_entropy": {"float32"},
    }
    assert stored["dropout"] == {"float32", "bfloat16"}  # of the embeddings, and of what each half of a block adds


def losses(device, name, seed, steps):
    """Of a training run in this precision."""
    gpt = model(seed)
    tokens = np.tile(np.arange(4), 30)  # a text that is soon learned
    optimizer = AdamW(gpt.parameters(), lr=5e-3)
    with precision(name):
        reports = train(
            gpt, optimizer, Batches(tokens, context_length=6, batch_size=2, seed=seed), steps=steps, seed=seed
        )
        return np.array([float(report.loss) for report in reports])


@settings(FEW, max_examples=2)
@given(seed=seeds())
def test_a_training_run_follows_the_one_in_float32(seed, device):
    """Nothing but the context manager: the losses fall, and alike."""
    exact, narrow = (losses(device, name, seed, steps=6) for name in ("float32", "bfloat16"))
    assert exact[-1] < exact[0] - 0.5
    assert 0 < abs(narrow - exact).max() < BOUND * (exact[0] - exact[-1])


def test_the_same_bits_under_every_schedule(device):
    gpt = model(5)
    first = loss_and_gradients(device, gpt, 5, "bfloat16")
    for schedule in range(1, 6):
        with device.schedule(schedule):
            again = loss_and_gradients(device, gpt, 5, "bfloat16")
        assert again[0] == first[0]
        assert all(again[1][name].tobytes() == first[1][name].tobytes() for name in first[1])


def test_what_has_no_kernel_says_so(device):
    x = Tensor(device.asarray(normal(0, (2, 3)).astype(ml_dtypes.bfloat16)))
    with pytest.raises(TypeError, match="exp has no kernel for bfloat16; cast to float32 first"):
        apply(ops.exp, x)
