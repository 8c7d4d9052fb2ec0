"""The model, its training, its score and its text on the stand-in, computed by the reference ops: as on NumPy's arrays.

Nothing but the batch goes to the device in a pass there and back, and nothing comes from it before the loss is read.
"""

import numpy as np
import pytest

from tests.cuda.standin import Transfer
from tinygrad_gpt import GPT, GPTConfig
from tinygrad_gpt.checkpoints import load_checkpoint, save_checkpoint
from tinygrad_gpt.kernels import reference_only
from tinygrad_gpt.optim import AdamW
from tinygrad_gpt.sampling import generate
from tinygrad_gpt.tape import Tensor
from tinygrad_gpt.text import Batches
from tinygrad_gpt.training import evaluate, train

TINY = {"vocab_size": 13, "context_length": 6, "emb_dim": 8, "n_heads": 2, "n_layers": 2}
TOKENS = np.arange(200) ** 2 % 13
HALVES = np.arange(6, dtype=np.float32) / 2
VARIANTS = [
    {},
    {"tie_weights": True, "activation_checkpointing": True},
    {"qkv_bias": True, "drop_rate": 0.2, "accumulation": 2},
    {"tie_weights": True, "drop_rate": 0.2, "activation_checkpointing": True, "accumulation": 3},
]


@pytest.fixture(autouse=True)
def no_kernels():
    with reference_only():
        yield


def tiny(device="cpu", activation_checkpointing=False, dtype="float32", **config):
    config = GPTConfig(**TINY | {"drop_rate": 0.0} | config)
    return GPT(config, seed=3, device=device, dtype=dtype, activation_checkpointing=activation_checkpointing)


def batches():
    return Batches(TOKENS, context_length=6, batch_size=4, seed=5)


def trained(device, accumulation=1, steps=3, **variant):
    """A model after a few steps, and its losses."""
    model = tiny(device, **variant)
    optimizer = AdamW(model.parameters(), lr=1e-2)
    reports = train(model, optimizer, batches(), steps=steps, clip_norm=0.5, accumulation=accumulation, seed=7)
    return model, [float(report.loss) for report in reports]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_training_follows_that_on_the_cpu(variant, device):
    model, losses = trained("cuda", **variant)
    same, wanted = trained("cpu", **variant)
    assert losses == pytest.approx(wanted, rel=1e-6)
    for name, tensor in model.parameters().items():
        assert isinstance(tensor.data, device.xp.ndarray)
        np.testing.assert_allclose(device.get(tensor.data), same.parameters()[name].data, atol=2e-5, err_msg=name)


def test_a_model_takes_over_arrays_of_the_device(device):
    model = tiny("cuda")
    weights = {name: tensor.data for name, tensor in model.parameters().items()}
    copy = GPT(model.config, device="cuda", weights=weights)
    other = GPT(model.config, seed=9, device="cuda")
    other.load(weights)
    here = GPT(model.config, weights=weights)
    for name, array in weights.items():
        want = device.get(array)
        for taken in (copy, other):
            mine = taken.parameters()[name].data
            assert isinstance(mine, device.xp.ndarray)
            assert device.get(mine).tobytes() == want.tobytes()
            mine += 1  # its own
            assert device.get(array).tobytes() == want.tobytes()
        assert here.parameters()[name].data.tobytes() == want.tobytes()


@pytest.mark.parametrize("variant", VARIANTS[:2], ids=str)
def test_a_pass_there_and_back_moves_the_batch_alone(variant, device):
    model = tiny("cuda", **variant)
    ids, targets = batches().batch(1)
    device.transfers.clear()
    loss = model.loss(ids, targets)
    loss.backward()
    assert device.transfers == [Transfer("to device", ids.nbytes), Transfer("to device", targets.nbytes)]
    loss.item()
    assert device.transfers[2:] == [Transfer("to host", 4)]


def test_a_number_beside_a_tensor_is_no_upload(device):
    x = Tensor(device.asarray(HALVES), requires_grad=True)
    y = ((2 * x + 1) / 4 - 0.5) ** 2
    y.sum().backward()
    assert device.transfers == []
    assert device.get(y.data).tolist() == (((2 * HALVES + 1) / 4 - 0.5) ** 2).tolist()
    assert device.get(x.grad).tolist() == ((2 * HALVES + 1) / 4 - 0.5).tolist()


def test_the_reference_step_reads_nothing_but_numbers(device):
    """It does read: the loss, to know that it is finite, each gradient's square, and the parameters' step counts."""
    model = tiny("cuda", drop_rate=0.2)
    optimizer = AdamW(model.parameters())
    device.transfers.clear()
    for report in train(model, optimizer, batches(), steps=2, clip_norm=0.5):
        assert {moved.kind for moved in device.transfers} == {"to device", "to host"}
        assert max(moved.nbytes for moved in device.transfers if moved.kind == "to host") == 8 * len(
            optimizer.parameters
        )
        assert isinstance(report.loss, device.xp.ndarray)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_texts_score_is_that_on_the_cpu(dtype, device):
    scores = [evaluate(tiny(where, dtype=dtype), TOKENS, stride=4, batch_size=3) for where in ("cuda", "cpu")]
    assert scores[0].tokens == scores[1].tokens
    assert scores[0].nll == pytest.approx(scores[1].nll, rel=1e-6)


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 1.0},
        {"temperature": 0.8, "top_k": 5, "ties": "all"},
        {"temperature": 1.3, "top_p": 0.7, "min_p": 0.1},
    ],
    ids=str,
)
def test_text_is_that_of_the_cpu_for_the_same_seed(settings, use_cache, device):
    prompts = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 11, 12]]  # one longer than the context
    texts = [
        [
            ids.tolist()
            for ids in generate(tiny(where), prompts, 7, seed=11, stop_tokens=[0], use_cache=use_cache, **settings)
        ]
        for where in ("cuda", "cpu")
    ]
    assert texts[0] == texts[1]


def test_a_run_goes_on_from_a_file(device, tmp_path):
    model, _ = trained("cuda", steps=2)
    optimizer = AdamW(model.parameters(), lr=1e-2)
    list(train(model, optimizer, batches(), steps=3, start_step=3))
    save_checkpoint(tmp_path / "run.safetensors", model, optimizer, step=3)
    found = load_checkpoint(tmp_path / "run.safetensors", device="cuda")
    again = AdamW(found.model.parameters(), lr=1e-2)
    again.load_state(found.optimizer_state)
    runs = (model, optimizer), (found.model, again)
    losses = [[float(r.loss) for r in train(*run, batches(), steps=5, start_step=4)] for run in runs]
    assert losses[0] == losses[1]
    for name, tensor in model.parameters().items():
        assert device.get(tensor.data).tobytes() == device.get(found.model.parameters()[name].data).tobytes()
