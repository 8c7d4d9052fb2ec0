"""Files: what was saved comes back bit by bit, what is no checkpoint is one line, what failed leaves the old file."""

import errno
import json
import os
import pickle
import re
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load, load_file, save

import tinygrad_gpt
from tinygrad_gpt.checkpoints import CheckpointError, load_checkpoint, load_gpt2, save_checkpoint
from tinygrad_gpt.checkpoints.checkpoint import RESERVED_KEYS
from tinygrad_gpt.checkpoints.environment import describe_processor
from tinygrad_gpt.checkpoints.safetensors_file import DIGEST, open_safetensors, write
from tinygrad_gpt.kernels import num_threads
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.optim import AdamW
from tinygrad_gpt.text import Batches
from tinygrad_gpt.training import train

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
    with pytest.raises(ValueError, match="optimizer state must have the optimizer's parameters; "):
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
def test_a_damaged_file_is_one_line(folder, content, data):
    damaged = bytearray(content)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3, unique=True)):
        damaged[place] ^= data.draw(st.integers(1, 255))
    path = folder / "damaged"
    path.write_bytes(bytes(damaged))
    one_line(path)


def rewritten(path, content, change=None, spoil=None):
    """Write a whole file with other metadata (None: without) and other tensors."""
    path.write_bytes(content)
    with open_safetensors(path) as file:
        tensors = {name: file.tensor(name) for name in file.tensors}
        metadata = {name: value for name, value in (file.metadata | (change or {})).items() if value is not None}
    if spoil is not None:
        spoil(tensors)
    del metadata[DIGEST]
    with open(path, "wb") as file:
        write(file, tensors, metadata)
    return path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "pt"}, "its format is 'pt', not 'tinygrad_gpt 2'$"),
        ({"format": "tinygrad_gpt 3"}, "its format is 'tinygrad_gpt 3', not 'tinygrad_gpt 2': a newer version"),
        ({"format": None}, "its format is None"),
        ({"config": None}, "'config' is missing"),
        ({"config": "[1]"}, "a JSON object was expected, not list"),
        ({"config": "{"}, ""),
        ({"config": "[" * 100_000}, "its JSON is nested too deeply"),
        ({"config": '{"colour": 1}'}, "colour"),
        ({"config": '{"n_layers": 1, "n_layers": 2}'}, "'n_layers' is given twice"),
        ({"config": '{"drop_rate": NaN}'}, "NaN is not a JSON value"),
        ({"config": '{"vocab_size": 1%s}' % ("0" * 5000)}, "a number has 5001 digits"),
        ({"config": json.dumps(SMALL | {"n_heads": 3})}, "n_heads must divide emb_dim 4; got 3"),
        ({"config": json.dumps(SMALL | {"n_layers": 2})}, "h.1.ln_1.weight is missing"),
        (
            {"config": json.dumps(SMALL | {"n_layers": 10**9})},
            "it has 48 tensors, too few for a model of 1000000000 layers",
        ),
        ({"config": json.dumps(SMALL | {"vocab_size": 8})}, r"wte.weight has shape \(7, 4\), not \(8, 4\)"),
        ({"step": "three"}, "step must be a whole number of at least 0; got 'three'"),
        ({"step": "-1"}, "got '-1'"),
        ({"step": "٣"}, "got '٣'"),
        ({"step": None}, "'step' is missing"),
        ({"environment": None}, "'environment' is missing"),
        ({"environment": "1"}, "a JSON object was expected, not int"),
        ({"optimizer_steps": "[]"}, "a JSON object was expected, not list"),
        ({"optimizer_steps": "{}"}, "optimizer.m.wte.weight is unexpected"),
        ({"optimizer_steps": None}, "optimizer.m.wte.weight is unexpected"),
        ({"optimizer_steps": '{"colour": 1}'}, "optimizer_steps has colour, which is not a parameter"),
        ({"optimizer_steps": '{"wte.weight": true}'}, "optimizer_steps of wte.weight must be a whole number"),
    ],
)
def test_odd_metadata_is_one_line(folder, content, change, reason):
    assert re.search(reason, one_line(rewritten(folder / "odd", content, change)))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda t: t.pop("wpe.weight"), "wpe.weight is missing"),
        (lambda t: t.pop("optimizer.v.wpe.weight"), "optimizer.v.wpe.weight is missing"),
        (lambda t: t.update({"extra": np.zeros(1, np.float32)}), "extra is unexpected"),
        (lambda t: t.update({"optimizer.m.wpe.weight": np.zeros(3, np.float32)}), r"has shape \(3,\), not \(4, 4\)"),
        (lambda t: t.update({"wpe.weight": t["wpe.weight"].astype(np.float64)}), "its tensors are of dtype F32, F64"),
        (lambda t: t.update({"\x1b[2J\n\ud800": np.zeros(1, np.float32)}), "[?] is unexpected"),
        (lambda t: t.update({"x" * 2000: np.zeros(1, np.float32)}), r"xxx \.\.\.$"),
    ],
)
def test_odd_tensors_are_one_line(folder, content, spoil, reason):
    text = one_line(rewritten(folder / "odd", content, spoil=spoil))
    assert re.search(reason, text)
    assert text.isprintable()


def test_a_file_whose_digest_was_taken_out_is_one_line(folder, content):
    path = rewritten(folder / "odd", content)
    with open_safetensors(path) as file:
        metadata = {name: value for name, value in file.metadata.items() if name != DIGEST}
    path.write_bytes(save(load(content), metadata))
    assert "its digest is missing" in one_line(path)


def test_a_file_of_format_1_is_read(folder, content):
    path = rewritten(folder / "old", content)
    with open_safetensors(path) as file:
        metadata = {name: value for name, value in file.metadata.items() if name not in (DIGEST, "environment")}
    path.write_bytes(save(load(content), metadata | {"format": "tinygrad_gpt 1"}))
    old = load_checkpoint(path)
    path.write_bytes(content)
    new = load_checkpoint(path)
    assert (old.step, old.model.config, old.metadata, old.environment) == (new.step, new.model.config, {}, {})
    assert bits(old.model, resumed(old)) == bits(new.model, resumed(new))


def resumed(checkpoint):
    optimizer = AdamW(checkpoint.model.parameters())
    checkpoint.resume(optimizer)
    return optimizer


def test_a_device_that_is_not_there_is_no_fault_of_the_file(folder, content):
    with pytest.raises(ValueError, match="device must be one of") as caught:
        load_checkpoint(folder / "whole", device="tpu")
    assert not isinstance(caught.value, CheckpointError)


# What else a checkpoint holds


@given(st.dictionaries(st.text().filter(lambda name: name not in RESERVED_KEYS), st.text()))
def test_metadata_come_back(folder, metadata):
    model, optimizer = trained(GPTConfig(**SMALL))
    save_checkpoint(folder / "noted", model, optimizer, step=4, metadata=metadata)
    assert load_checkpoint(folder / "noted").metadata == metadata


def test_a_checkpoint_says_what_wrote_it(tmp_path):
    save_checkpoint(tmp_path / "model", *trained(GPTConfig(**SMALL)))
    assert load_checkpoint(tmp_path / "model").environment == {
        "tinygrad_gpt": tinygrad_gpt.__version__,
        "backend": "numpy",
        "numpy": np.__version__,
        "device": "cpu",
        "threads": num_threads(),
        **describe_processor(),
    }


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"metadata": {"step": "3"}}, ValueError, "metadata may not be named file_sha256, .*; got 'step'"),
        ({"metadata": {"seed": 3}}, TypeError, "metadata must be strings; got 'seed': 3"),
        ({"metadata": {"note": "x" * 2**20}}, ValueError, "a file's header may be at most 1048576 bytes long; 48 tens"),
        ({"step": -1}, ValueError, "step must be a whole number of at least 0; got -1"),
        ({"step": 1.5}, ValueError, "step must be a whole number of at least 0; got 1.5"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        save_checkpoint(tmp_path / "model", *trained(GPTConfig(**SMALL)), **arguments)
    assert not os.listdir(tmp_path)


def test_the_optimizer_of_another_model_is_not_saved(tmp_path):
    other = AdamW({"colour": GPT(GPTConfig(**SMALL)).parameters()["wte.weight"]})
    with pytest.raises(ValueError, match="the optimizer has parameters that the model does not have: colour"):
        save_checkpoint(tmp_path / "model", GPT(GPTConfig(**SMALL)), other)


def test_an_optimizer_of_some_parameters_is_enough(tmp_path):
    model = GPT(GPTConfig(**SMALL))
    some = AdamW({"wte.weight": model.parameters()["wte.weight"]})
    save_checkpoint(tmp_path / "model", model, some)
    assert load_checkpoint(tmp_path / "model").optimizer_state.keys() == {"wte.weight"}


def test_settings_that_differ_are_listed(tmp_path):
    save_checkpoint(tmp_path / "model", *trained(GPTConfig(**SMALL)), metadata={"seed": "7", "text": "a"})
    found = load_checkpoint(tmp_path / "model")
    found.require_same({"seed": 7, "n_layers": 1, "tie_weights": False, "text": "a"})
    found.require_same({})
    with pytest.raises(CheckpointError) as caught:
        found.require_same({"seed": 8, "n_layers": 1, "emb_dim": 8, "colour": "red"})
    assert str(caught.value) == (
        "the checkpoint is of another run: seed is 7 there, 8 here; emb_dim is 4 there, 8 here; "
        "colour is missing there, red here"
    )


def test_a_setting_that_an_older_checkpoint_lacks_is_its_default(tmp_path):
    save_checkpoint(tmp_path / "model", *trained(GPTConfig(**SMALL)), metadata={"seed": "7"})
    found = load_checkpoint(tmp_path / "model")
    found.require_same({"seed": 7, "colour": "red"}, {"seed": 1, "colour": "red", "n_layers": 9})
    with pytest.raises(CheckpointError, match="another run: colour is red there, blue here"):
        found.require_same({"colour": "blue"}, {"colour": "red"})


def test_the_safetensors_library_reads_it(tmp_path):
    model, optimizer = trained(GPTConfig(**SMALL))
    save_checkpoint(tmp_path / "model", model, optimizer, step=3, metadata={"seed": "é"})
    found = load_file(tmp_path / "model")
    assert found.keys() == model.parameters().keys() | {f"optimizer.{m}.{n}" for m in "mv" for n in optimizer.m}
    for name, p in model.parameters().items():
        assert (found[name].dtype, found[name].tobytes()) == (p.dtype, p.data.tobytes())
        assert found[f"optimizer.v.{name}"].tobytes() == optimizer.v[name].tobytes()
    with safe_open(tmp_path / "model", framework="numpy") as file:
        assert file.metadata()["seed"] == "é"


def test_the_same_state_is_the_same_file(tmp_path):
    for name in "ab":
        save_checkpoint(tmp_path / name, *trained(GPTConfig(**SMALL)), step=3)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_saving_and_loading_hold_little_more_than_the_model(tmp_path):
    model = GPT(GPTConfig(vocab_size=1000, context_length=8, emb_dim=256, n_heads=2, n_layers=2))
    optimizer = AdamW(model.parameters())
    save_checkpoint(tmp_path / "warm up", model, optimizer)
    tracemalloc.start()
    try:
        save_checkpoint(tmp_path / "model", model, optimizer, verify=True)
        saving = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        load_checkpoint(tmp_path / "model")
        loading = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    size = (tmp_path / "model").stat().st_size
    assert size > 20e6
    assert saving < 2e6  # the megabyte in which the file is read again, and the header
    assert loading < 1.1 * size  # one tensor is there twice for a moment


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 7, b"GGUF" * 99, b"\xff" * 99, b"{}", (8).to_bytes(8, "little") + b'{"a":1} ']
)
def test_a_foreign_file_is_one_line(tmp_path, content):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    one_line(path)
    one_line(path, load_gpt2)


def zipped(file, name):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, bytes(100))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda file: zipped(file, "model/data.pkl"), "a zip archive, as PyTorch's .pt and NumPy's .npz are"),
        (lambda file: np.savez(file, x=np.zeros(9)), "a zip archive, as PyTorch's .pt and NumPy's .npz are"),
        (lambda file: np.save(file, np.zeros(9)), r"a NumPy array \(.npy\)"),
        (lambda file: file.write(pickle.dumps({"x": [1.0] * 99})), "a pickle, as PyTorch's .pt was"),
        (lambda file: file.write(pickle.dumps({"x": [1.0] * 99}, protocol=2)), "a pickle, as PyTorch's .pt was"),
    ],
)
def test_files_that_can_run_code_are_known_and_refused(tmp_path, make, kind):
    with open(tmp_path / "model.pt", "wb") as file:
        make(file)
    for reader in (load_checkpoint, load_gpt2):
        assert re.search(f"it is {kind}, not safetensors: such files can run code", one_line(file.name, reader))


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    for reader in (load_checkpoint, load_gpt2):
        assert "there is no such file" in one_line(tmp_path / "nothing", reader)
    assert "it is a folder: give the file in it" in one_line(tmp_path)


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


def test_weights_of_float16_are_taken_up_in_float32(tmp_path):
    """Models have been saved in float16, too; nothing is computed in it any more."""
    model = GPT(GPTConfig(**SMALL))
    for p in model.parameters().values():
        p.data = p.data.astype(np.float16)
    save_checkpoint(tmp_path / "half", model)
    found = load_checkpoint(tmp_path / "half").model.parameters()
    for name, p in model.parameters().items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name].data, p.data)
