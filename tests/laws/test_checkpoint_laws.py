"""Our checkpoints under the laws of checkpoints, and the model of a disk that those laws rest on."""

import errno
import os
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import safetensors.numpy

from tinygrad_gpt import files, laws
from tinygrad_gpt.checkpoints import CheckpointError, Checkpoints, load_checkpoint
from tinygrad_gpt.checkpoints import folder as checkpoints
from tinygrad_gpt.checkpoints.safetensors_file import DIGEST, open_safetensors, write
from tinygrad_gpt.laws.checkpoints.faults import FaultyOS, folders_after_power_cuts, replace_os
from tinygrad_gpt.laws.checkpoints.runs import folder_image
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.optim import AdamW
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.sampling import generate
from tinygrad_gpt.text import Batches
from tinygrad_gpt.training import train

TOKENS = np.arange(30) * 7 % 11
CONFIG = {"n_layers": (1, 2), "tokenizer": ("fingerprint", "another")}  # what a resumed run may not change


def run_of(model, seed, step, settings, state=None):
    optimizer = AdamW(model.parameters(), lr=1e-2)
    if state is not None:
        optimizer.load_state(state)
    batches = Batches(TOKENS, context_length=4, batch_size=2, seed=seed)
    return SimpleNamespace(
        model=model, optimizer=optimizer, batches=batches, seed=seed, step=step, settings=settings, checkpoints=None
    )


def start(seed, **settings):
    config = GPTConfig(
        vocab_size=11, context_length=4, emb_dim=4, n_heads=2, drop_rate=0.2, n_layers=settings["n_layers"]
    )
    return run_of(GPT(config, seed=seed), seed, 0, settings)


def step(run):
    run.step += 1
    for _ in train(run.model, run.optimizer, run.batches, steps=run.step, seed=run.seed, start_step=run.step):
        pass
    return run


def save(run, folder):
    if run.checkpoints is None or run.checkpoints.folder != folder:
        run.checkpoints = Checkpoints(folder, keep=2)
    metadata = {"seed": str(run.seed), "tokenizer": run.settings["tokenizer"]}
    run.checkpoints.save(run.model, run.optimizer, step=run.step, val_loss=float(evaluate(run)), metadata=metadata)


def load(folder, **settings):
    found, _ = Checkpoints(folder).newest()
    found.require_same(settings)
    if "seed" not in found.metadata:
        raise CheckpointError("the checkpoint has no seed")
    return run_of(found.model, int(found.metadata["seed"]), found.step, settings, found.optimizer_state)


def observe(run):
    ids, targets = run.batches.batch(run.step + 1)
    arrays = {name: p.data for name, p in run.model.parameters().items()}
    for name, entry in run.optimizer.state().items():
        arrays |= {f"{key} of {name}": value for key, value in entry.items()}
    loss = run.model.loss(ids, targets, dropout=Dropout(run.seed, run.step + 1))
    return arrays | {"step": run.step, "ids": ids, "targets": targets, "loss": loss.data}


def evaluate(run):
    return run.model.loss(*run.batches.batch(1)).data


def sample(run):
    return list(generate(run.model, [[1, 2]], 3, temperature=1.0, seed=run.seed))


def newest_file(folder):
    return Checkpoints(folder).paths()[0]


def pieces(folder):
    with open_safetensors(newest_file(folder)) as file:
        optional = {"val_loss"}  # which resuming does not need
        return [*file.tensors, *(file.metadata.keys() - optional)]


def remove(folder, piece):
    """The same file, whole, without this piece of it."""
    path = newest_file(folder)
    with open_safetensors(path) as file:
        tensors = {name: file.tensor(name) for name in file.tensors if name != piece}
        metadata = {name: value for name, value in file.metadata.items() if name not in (piece, DIGEST)}
    if piece == DIGEST:
        path.write_bytes(safetensors.numpy.save(tensors, metadata))
    else:
        with open(path, "wb") as file:
            write(file, tensors, metadata)


ours = laws.CheckpointUnderTest(
    name="ours",
    start=start,
    step=step,
    save=save,
    load=load,
    observe=observe,
    batch=lambda run: run.batches.batch(run.step + 1)[0],
    between={"evaluate": evaluate, "sample": sample},
    pieces=pieces,
    remove=remove,
    config=CONFIG,
    modules=(files, checkpoints),
    verify=load_checkpoint,
    checksum=True,
    max_steps=4,
    load_errors=(CheckpointError,),
)


def test_every_law_applies_to_ours():
    assert not [law.id for law in laws.laws_of(ours) if not law.applies_to(ours)]


@laws.parametrize_with_laws([ours])
def test_law(sut, law):
    law.check(sut)


def test_an_object_that_brings_the_necessary_only_skips_the_rest():
    least = laws.CheckpointUnderTest(name="least", start=start, step=step, save=save, load=load, observe=observe)
    applying = [law.id for law in laws.laws_of(least) if law.applies_to(least)]
    assert applying == ["R1", "R2", "R3", "R4", "F6"]


def test_a_run_that_stands_still_passes_nothing():
    still = replace(ours, step=lambda run: run)
    with pytest.raises(laws.LawBroken, match="step 1 changes nothing that observe returns"):
        laws.find("R1").check(still)


def test_a_save_that_goes_past_the_modules_is_told():
    past = replace(ours, modules=(ModuleType("elsewhere"),))
    with pytest.raises(laws.LawBroken, match=r"expected.*writes through the names os or open of elsewhere"):
        laws.find("F4").check(past)


@pytest.mark.parametrize("forgotten", ["file", "folder"])
def test_a_version_of_ours_without_an_fsync_is_caught(monkeypatch, forgotten):
    fsync = FaultyOS.fsync

    def of_the_other_alone(self, fd):
        is_folder = self.handles[fd].inode is None
        if is_folder != (forgotten == "folder"):
            fsync(self, fd)

    monkeypatch.setattr(FaultyOS, "fsync", of_the_other_alone)
    with pytest.raises(laws.LawBroken, match="power cut after save"):
        laws.find("F4").check(ours)


def test_a_version_of_ours_that_deletes_first_is_caught(monkeypatch):
    def save_after_pruning(run, folder):
        kept = Checkpoints(folder)
        for path in kept.paths()[1:]:
            checkpoints.os.unlink(path)
        checkpoints.os.unlink(kept.paths()[0]) if kept.paths() else None
        save(run, folder)

    with pytest.raises(laws.LawBroken):
        laws.find("F3").check(replace(ours, save=save_after_pruning))


def test_moments_that_our_own_code_would_forget_are_missed():
    def load_without_moments(folder, **settings):
        run = load(folder, **settings)
        return run_of(run.model, run.seed, run.step, settings)

    with pytest.raises(laws.LawBroken, match="loaded after step 1"):
        laws.find("R1").check(replace(ours, load=load_without_moments))


def test_wrong_adapters_are_refused():
    with pytest.raises(ValueError, match="pieces and remove come together; one is missing in 'ours'"):
        replace(ours, remove=None)
    with pytest.raises(ValueError, match="max_steps must be at least 3, for two resumes and a step; got 2"):
        replace(ours, max_steps=2)


# The model of a disk


def images(watched, n):
    return [image for _, image in folders_after_power_cuts(watched, [n])]


def test_a_power_cut_leaves_any_part_of_what_was_not_fsynced(tmp_path):
    watched = FaultyOS(tmp_path)
    fd = watched.open(tmp_path / "a", os.O_WRONLY | os.O_CREAT)
    watched.write(fd, b"1234")
    assert images(watched, 2) == [{}, {"a": b"1234"}, {"a": b""}, {"a": b"12"}, {"a": b"\0\0\0\0"}]
    watched.fsync(fd)
    watched.close(fd)
    assert images(watched, 3) == [{}, {"a": b"1234"}]
    watched.replace(tmp_path / "a", tmp_path / "b")
    assert images(watched, 4) == [{}, {"a": b"1234"}, {"b": b"1234"}]
    folder = watched.open(tmp_path, os.O_RDONLY)
    watched.fsync(folder)
    watched.close(folder)
    assert images(watched, 5) == [{"b": b"1234"}]
    watched.unlink(tmp_path / "b")
    assert images(watched, 6) == [{"b": b"1234"}, {}]


def test_a_file_that_was_there_keeps_its_bytes_until_a_sync(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    watched = FaultyOS(tmp_path)
    with watched.open_file(tmp_path / "a", "wb") as file:
        file.write(b"newer")
    assert images(watched, 2) == [{"a": b"newer"}, {"a": b"old"}, {"a": b"ne"}, {"a": b"\0" * 5}]


def test_a_file_can_be_written_out_of_order(tmp_path):
    watched = FaultyOS(tmp_path)
    with watched.open_file(tmp_path / "a", "wb") as file:
        file.write(b"____56")
        assert file.tell() == 6
        assert file.seek(0) == 0
        file.write(b"1234")
        assert file.tell() == 4
        file.seek(0, os.SEEK_END)
        file.write(b"7")
    assert (tmp_path / "a").read_bytes() == b"1234567"
    whole = [image.get("a") for image in images(watched, len(watched.log))]
    assert {b"1234567", b"", b"\0" * 7} <= set(whole)


def test_appending_starts_at_the_end(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    watched = FaultyOS(tmp_path)
    with watched.open_file(tmp_path / "a", "ab") as file:
        file.write(b"er")
    assert images(watched, 1) == [{"a": b"older"}, {"a": b"old"}, {"a": b"olde"}, {"a": b"old\0\0"}]


def test_folders_are_made_and_renamed_with_what_is_in_them(tmp_path):
    watched = FaultyOS(tmp_path)
    watched.makedirs(tmp_path / "draft" / "deep")
    with watched.open_file(tmp_path / "draft" / "deep" / "x", "w", encoding="utf-8") as file:
        file.write("é")
    watched.rename(tmp_path / "draft", tmp_path / "final")
    last = {"final": None, "final/deep": None, "final/deep/x": "é".encode()}
    assert images(watched, len(watched.log))[-4] == last
    assert folder_image(tmp_path) == last


@pytest.mark.parametrize(
    ("mode", "outcome"), [("once", ["ENOSPC", 4]), ("forever", ["ENOSPC", "ENOSPC"]), ("short", [2, 4])]
)
def test_the_nth_operation_fails(tmp_path, mode, outcome):
    broken = FaultyOS(tmp_path, fail_at=2, mode=mode, code=errno.ENOSPC)
    fd = broken.open(tmp_path / "a", os.O_WRONLY | os.O_CREAT)
    written = []
    for _ in range(2):
        try:
            written.append(broken.write(fd, b"1234"))
        except OSError as error:
            written.append(errno.errorcode[error.errno])
    assert written == outcome
    assert broken.failed == ["write"] * (2 if mode == "forever" else 1)
    os.close(fd)


def test_the_modules_have_their_own_names_back_afterwards(tmp_path):
    module = ModuleType("module")
    module.os = os
    watched = FaultyOS(tmp_path)
    with replace_os(watched, [module]):
        assert module.os is watched
        left_open = module.open(tmp_path / "a", "xb")
    assert module.os is os
    assert not hasattr(module, "open")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(left_open.fileno())
    left_open.fd = os.open(tmp_path / "a", os.O_RDONLY)  # or closing it would fail
    left_open.close()


def test_numpy_does_not_write_past_it(tmp_path):
    watched = FaultyOS(tmp_path)
    with watched.open_file(tmp_path / "x.npy", "wb") as file:
        np.save(file, np.arange(3.0))
    assert images(watched, len(watched.log))[1] == {"x.npy": (tmp_path / "x.npy").read_bytes()}
    assert np.load(tmp_path / "x.npy").tolist() == [0, 1, 2]
