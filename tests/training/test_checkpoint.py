"""Files: what was saved comes back bit by bit, what is no checkpoint is one line, what failed leaves the old file."""

import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.optim import AdamW
from tinygrad_gpt.text import Batches
from tinygrad_gpt.training import CheckpointError, load_checkpoint, load_gpt2, save_checkpoint, train

SEEDS = st.integers(0, 2**64 - 1)
TOKENS = np.arange(60) * 5 % 7
SMALL = {"vocab_size": 7, "context_length": 4, "emb_dim": 4, "n_heads": 2, "n_layers": 1}


def trained(config, seed=0, dtype="float32", steps=1):
    model = GPT(config, seed=seed, dtype=dtype)
    optimizer = AdamW(model.parameters(), lr=0.01)
    for _ in train(model, optimizer, batches(seed), steps=steps, seed=seed):
        pass
    return model, optimizer


def batches(seed):
    return Batches(TOKENS, context_length=4, batch_size=2, seed=seed)


def bits(model, optimizer):
    state = optimizer.state()
    return (
        {name: (p.dtype, p.data.tobytes()) for name, p in model.parameters().items()},
        {name: (entry["step"], entry["m"].tobytes(), entry["v"].tobytes()) for name, entry in state.items()},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


@given(SEEDS, st.sampled_from(["float32", "float64"]), st.booleans(), st.booleans(), st.integers(0, 10**12))
def test_what_was_saved_comes_back(folder, seed, dtype, tied, bias, step):
    config = GPTConfig(**SMALL, tie_weights=tied, qkv_bias=bias, drop_rate=0.25)
    model, optimizer = trained(config, seed, dtype)
    save_checkpoint(folder / "model", model, optimizer, step=step)
    found = load_checkpoint(folder / "model")
    fresh = AdamW(found.model.parameters())
    found.resume(fresh)
    assert (found.model.config, found.step) == (config, step)
    assert bits(found.model, fresh) == bits(model, optimizer)


@given(SEEDS, st.integers(0, 3))
def test_resuming_is_training_in_one_go(folder, seed, stop):
    config = GPTConfig(**SMALL)
    whole = trained(config, seed, steps=3)
    half, optimizer = trained(config, seed, steps=stop)
    save_checkpoint(str(folder / "half"), half, optimizer, step=stop)
    found = load_checkpoint(str(folder / "half"))
    again = AdamW(found.model.parameters(), lr=0.01)
    found.resume(again)
    for _ in train(found.model, again, batches(seed), start_step=found.step + 1, steps=3, seed=seed):
        pass
    assert bits(found.model, again) == bits(*whole)


def test_a_model_may_be_saved_without_its_optimizer(tmp_path):
    model, _ = trained(GPTConfig(**SMALL))
    save_checkpoint(tmp_path / "model", model)
    found = load_checkpoint(tmp_path / "model")
    assert (found.step, found.optimizer_state) == (0, None)
    with pytest.raises(ValueError, match="the file holds no optimizer state"):
        found.resume(AdamW(found.model.parameters()))


def test_another_model_s_optimizer_is_refused(tmp_path):
    save_checkpoint(tmp_path / "model", *trained(GPTConfig(**SMALL)))
    other = GPT(GPTConfig(**SMALL | {"n_layers": 2}))
    with pytest.raises(ValueError, match="optimizer state differs in"):
        load_checkpoint(tmp_path / "model").resume(AdamW(other.parameters()))


def test_saving_leaves_the_model_as_it_was(tmp_path):
    model, optimizer = trained(GPTConfig(**SMALL))
    before = bits(model, optimizer)
    save_checkpoint(tmp_path / "model", model, optimizer)
    assert bits(model, optimizer) == before
    assert os.listdir(tmp_path) == ["model"]


# What is no checkpoint


def one_line(path, reader=load_checkpoint):
    """Reading the file is a CheckpointError of one line that names the file."""
    with pytest.raises(CheckpointError, match=re.escape(repr(str(path)))) as caught:
        reader(path)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture(scope="module")
def content(folder):
    save_checkpoint(folder / "whole", *trained(GPTConfig(**SMALL)), step=3)
    return (folder / "whole").read_bytes()


def test_a_file_cut_short_is_one_line(folder, content):
    path = folder / "short"
    header = 8 + int.from_bytes(content[:8], "little")
    for length in [*range(0, 40), *range(40, header, 211), header - 1, header, header + 1, len(content) - 1]:
        path.write_bytes(content[:length])
        one_line(path)


@given(st.data())
def test_a_damaged_file_is_read_or_is_one_line(folder, content, data):
    header = 8 + int.from_bytes(content[:8], "little")
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, header))] = data.draw(st.integers(0, 255))
    path = folder / "damaged"
    path.write_bytes(bytes(damaged))
    reason = ""
    try:
        load_checkpoint(path)
    except CheckpointError as error:
        reason = str(error)
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "pt"}, "its format is 'pt', not 'tinygrad_gpt 1'"),
        ({"format": None}, "its format is None"),
        ({"config": None}, "'config' is missing"),
        ({"config": "[1]"}, ""),
        ({"config": "{"}, ""),
        ({"config": "[" * 100_000}, ""),
        ({"config": '{"colour": 1}'}, "colour"),
        ({"config": json.dumps(SMALL | {"n_heads": 3})}, "n_heads must divide emb_dim 4; got 3"),
        ({"config": json.dumps(SMALL | {"n_layers": 2})}, "h.1.ln_1.weight is missing"),
        ({"config": json.dumps(SMALL | {"vocab_size": 8})}, r"wte.weight has shape \(7, 4\), not \(8, 4\)"),
        ({"step": "three"}, "three"),
        ({"step": None}, "'step' is missing"),
        ({"optimizer_steps": "[]"}, ""),
        ({"optimizer_steps": "{}"}, "optimizer.m.wte.weight is unexpected"),
        ({"optimizer_steps": '{"colour": 1}'}, "'optimizer.m.colour' is missing"),
    ],
)
def test_odd_content_is_one_line(folder, content, change, reason):
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    metadata = {k: v for k, v in (header["__metadata__"] | change).items() if v is not None}
    path = folder / "odd"
    path.write_bytes(save(load(content), metadata))
    assert re.search(reason, one_line(path))


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 7, b"GGUF" * 99, b"\xff" * 99, b"{}", (8).to_bytes(8, "little") + b'{"a":1} ']
)
def test_a_foreign_file_is_one_line(tmp_path, content):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    one_line(path)
    one_line(path, load_gpt2)


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        assert "there is no such file" in one_line(path)
        assert "there is no such file" in one_line(path, load_gpt2)


def test_a_dtype_that_numpy_lacks_is_one_line(tmp_path):
    header = json.dumps({"wte.weight": {"dtype": "BF16", "shape": [1, 1], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "bf16"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    one_line(path)
    one_line(path, load_gpt2)


# Writing


@pytest.mark.parametrize("function", ["replace", "fsync"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, function, error):
    old = trained(GPTConfig(**SMALL))
    save_checkpoint(tmp_path / "model", *old, step=1)
    before = (tmp_path / "model").read_bytes()
    new = trained(GPTConfig(**SMALL), seed=1)

    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with pytest.raises(type(error)):
            save_checkpoint(tmp_path / "model", *new, step=2)
    assert os.listdir(tmp_path) == ["model"]
    assert (tmp_path / "model").read_bytes() == before
    save_checkpoint(tmp_path / "model", *new, step=2)
    assert load_checkpoint(tmp_path / "model").step == 2


def test_the_file_is_whole_and_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    model, optimizer = trained(GPTConfig(**SMALL))
    events = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(file):
        events.append(("fsync", os.fstat(file).st_size))
        fsync(file)

    def watched_replace(old, new):
        events.append(("replace", os.path.getsize(old)))
        assert Path(old).parent == Path(new).parent
        replace(old, new)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    save_checkpoint(tmp_path / "model", model, optimizer)
    size = (tmp_path / "model").stat().st_size
    assert events[:2] == [("fsync", size), ("replace", size)]


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        save_checkpoint(tmp_path / "nowhere" / "model", *trained(GPTConfig(**SMALL)))


# GPT-2's published files

GPT2 = GPTConfig(vocab_size=5, context_length=3, emb_dim=8, n_heads=2, n_layers=2, qkv_bias=True, tie_weights=True)


def published(prefix="", masks=True, dtype=np.float32):
    """A GPT and a file's tensors as Hugging Face publishes them."""
    model = GPT(GPT2, seed=7)
    tensors = {prefix + name: p.data.astype(dtype) for name, p in model.parameters().items()}
    if masks:
        for i in range(GPT2.n_layers):
            tensors[f"{prefix}h.{i}.attn.bias"] = np.tril(np.ones((1, 1, 3, 3), np.float32))
            tensors[f"{prefix}h.{i}.attn.masked_bias"] = np.array(-1e4, np.float32)
    return model, tensors


@pytest.mark.parametrize("prefix", ["", "transformer."])
@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("with_head", [False, True])
def test_a_published_gpt2_loads(tmp_path, prefix, masks, with_head):
    model, tensors = published(prefix, masks)
    if with_head:
        tensors["lm_head.weight"] = tensors[f"{prefix}wte.weight"].copy()
    (tmp_path / "gpt2").write_bytes(save(tensors, {"format": "pt"}))
    found = load_gpt2(tmp_path / "gpt2", n_heads=2)
    assert found.config == GPTConfig(**GPT2.as_dict() | {"drop_rate": 0.1})
    assert {name: p.data.tobytes() for name, p in found.parameters().items()} == {
        name: p.data.tobytes() for name, p in model.parameters().items()
    }
    ids = np.array([[0, 4, 2]])
    assert found(ids).data.tobytes() == model(ids).data.tobytes()


def test_a_head_of_its_own_is_kept(tmp_path):
    _, tensors = published("transformer.")
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"] + 1
    (tmp_path / "gpt2").write_bytes(save(tensors))
    found = load_gpt2(tmp_path / "gpt2", n_heads=2)
    assert not found.config.tie_weights
    np.testing.assert_array_equal(found.parameters()["lm_head.weight"].data, tensors["lm_head.weight"])


def test_half_precision_is_read_as_float32(tmp_path):
    _, tensors = published(dtype=np.float16)
    (tmp_path / "gpt2").write_bytes(save(tensors))
    found = load_gpt2(tmp_path / "gpt2", n_heads=2, drop_rate=0.0)
    assert found.parameters()["wte.weight"].dtype == np.float32
    assert found.config.drop_rate == 0


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda t: t.pop("wte.weight"), "'wte.weight' is missing"),
        (lambda t: t.pop("wpe.weight"), "'wpe.weight' is missing"),
        (lambda t: t.pop("h.1.mlp.c_fc.bias"), "h.1.mlp.c_fc.bias is missing"),
        (lambda t: t.update(extra=np.zeros(1)), "extra is unexpected"),
        (lambda t: t.update({"wte.weight": np.zeros(3)}), ""),
        (lambda t: t.update({"wpe.weight": np.array(3.0)}), ""),
        (lambda t: t.update({"wpe.weight": np.zeros((3, 9))}), r"wpe.weight has shape \(3, 9\), not \(3, 8\)"),
    ],
)
def test_what_is_not_quite_gpt2_is_one_line(tmp_path, spoil, reason):
    _, tensors = published()
    spoil(tensors)
    (tmp_path / "gpt2").write_bytes(save(tensors))
    text = one_line(tmp_path / "gpt2", lambda path: load_gpt2(path, n_heads=2))
    assert " as GPT-2: " in text
    assert re.search(reason, text)
