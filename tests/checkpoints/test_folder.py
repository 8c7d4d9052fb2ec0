"""A run's checkpoints: which stay, which is found again, and what is said of those that cannot be read."""

import errno
import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.checkpoints import CheckpointError, Checkpoints, load_checkpoint, save_checkpoint
from tinygrad_gpt.checkpoints import folder as checkpoints
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.optim import AdamW

TINY = GPTConfig(vocab_size=3, context_length=2, emb_dim=2, n_heads=1, n_layers=1)
MODEL = GPT(TINY)
OPTIMIZER = AdamW(MODEL.parameters())
LOSSES = st.none() | st.sampled_from([1.0, 2.0, 2.5, math.nan, math.inf, -math.inf]) | st.floats()


def name(step):
    return f"checkpoint-{step:08}.safetensors"


def steps_in(folder):
    return [int(file[11:19]) for file in sorted(os.listdir(folder))]


def flip(path, place=-1):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@given(st.integers(2, 4), st.lists(st.tuples(LOSSES, st.integers(1, 3), st.booleans()), min_size=1, max_size=8))
def test_the_newest_few_and_the_best_stay(tmp_path_factory, keep, saves):
    folder = tmp_path_factory.mktemp("run")
    kept = Checkpoints(folder, keep=keep)
    step, losses = 0, {}
    for loss, further, in_a_new_process in saves:
        step += further
        if in_a_new_process:
            kept = Checkpoints(folder, keep=keep)
        path = kept.save(MODEL, OPTIMIZER, step=step, val_loss=loss)
        assert path == folder / name(step)
        losses[step] = loss if loss is not None and math.isfinite(loss) else math.inf
        best = min(sorted(losses, reverse=True), key=losses.get)
        losses = {step: losses[step] for step in losses if step in sorted(losses)[-keep:] or step == best}
        assert steps_in(folder) == sorted(losses)
        assert kept.newest()[0].step == step
        if losses[best] < math.inf:
            assert kept.best()[0].step == Checkpoints(folder).best()[0].step == best


def test_what_was_saved_is_found(tmp_path):
    model = GPT(TINY, seed=5)
    optimizer = AdamW(model.parameters())
    for p in model.parameters().values():
        p.grad = np.ones_like(p.data)
    optimizer.step()
    Checkpoints(str(tmp_path)).save(model, optimizer, step=10, val_loss=0.1 + 0.2, metadata={"seed": "5"})
    found, skipped = Checkpoints(tmp_path).newest()
    assert (found.step, found.metadata, skipped) == (10, {"seed": "5", "val_loss": repr(0.1 + 0.2)}, [])
    again = AdamW(found.model.parameters())
    found.resume(again)
    for key, p in model.parameters().items():
        assert found.model.parameters()[key].data.tobytes() == p.data.tobytes()
        assert again.v[key].tobytes() == optimizer.v[key].tobytes()


def test_what_cannot_be_read_is_skipped_and_said(tmp_path):
    kept = Checkpoints(tmp_path, keep=5)
    for step in (1, 2, 3, 4):
        kept.save(MODEL, OPTIMIZER, step=step, val_loss=step)
    os.truncate(tmp_path / name(4), 100)
    flip(tmp_path / name(3))
    flip(tmp_path / name(1))
    for found, skipped in (kept.newest(), Checkpoints(tmp_path).best()):
        assert found.step == 2
        assert [line.split(": ")[0] for line in skipped[:2]] == [
            f"cannot read {str(tmp_path / name(step))!r}" for step in (4, 3)
        ]
        assert "cut short" in skipped[0]
        assert "SHA-256" in skipped[1]
    flip(tmp_path / name(2))
    with pytest.raises(CheckpointError, match=r"holds no whole checkpoint; .*0004.*0003.*0002.*0001") as caught:
        kept.newest()
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="holds no whole checkpoint with a validation loss"):
        Checkpoints(tmp_path).best()


def test_damaged_ones_do_not_count_among_those_that_stay(tmp_path):
    Checkpoints(tmp_path).save(MODEL, OPTIMIZER, step=1)
    Checkpoints(tmp_path).save(MODEL, OPTIMIZER, step=2)
    flip(tmp_path / name(2))
    kept = Checkpoints(tmp_path)
    kept.save(MODEL, OPTIMIZER, step=3)
    assert steps_in(tmp_path) == [1, 2, 3]
    kept.save(MODEL, OPTIMIZER, step=4)
    assert steps_in(tmp_path) == [3, 4]


def test_a_file_without_its_digest_is_not_whole(tmp_path):
    Checkpoints(tmp_path).save(MODEL, OPTIMIZER, step=1)
    Checkpoints(tmp_path).save(MODEL, OPTIMIZER, step=2)
    content = (tmp_path / name(2)).read_bytes()
    (tmp_path / name(2)).write_bytes(content.replace(b"file_sha256", b"file_sha257"))
    Checkpoints(tmp_path).save(MODEL, OPTIMIZER, step=3)
    assert steps_in(tmp_path) == [1, 2, 3]


def test_the_one_just_saved_stays_even_if_others_claim_to_be_newer(tmp_path):
    for step in (100, 200, 1):
        Checkpoints(tmp_path).save(MODEL, OPTIMIZER, step=step)
    assert steps_in(tmp_path) == [1, 100, 200]


def test_a_step_may_be_saved_again(tmp_path):
    kept = Checkpoints(tmp_path)
    for loss in (1.0, 3.0):
        kept.save(MODEL, OPTIMIZER, step=7, val_loss=loss)
    assert steps_in(tmp_path) == [7]
    assert kept.newest()[0].metadata == {"val_loss": "3.0"}


def test_a_file_under_another_s_name_is_skipped(tmp_path):
    Checkpoints(tmp_path).save(MODEL, OPTIMIZER, step=1)
    (tmp_path / name(9)).write_bytes((tmp_path / name(1)).read_bytes())
    found, skipped = Checkpoints(tmp_path).newest()
    assert found.step == 1
    assert "it holds step 1, not 9" in skipped[0]


def test_steps_of_more_digits_are_newer(tmp_path):
    for step in (10**8 - 1, 10**8):
        Checkpoints(tmp_path).save(MODEL, OPTIMIZER, step=step)
    assert Checkpoints(tmp_path).newest()[0].step == 10**8


def test_other_files_are_left_alone_and_drafts_of_killed_saves_are_not(tmp_path):
    others = ["model.safetensors", "checkpoint-1.safetensors", "checkpoint-00000001.safetensors.bak", ".notes.tmp"]
    draft = f".{name(1)}.0123456789abcdef.tmp"
    for file in [*others, draft]:
        (tmp_path / file).write_bytes(b"")
    Checkpoints(tmp_path).save(MODEL, OPTIMIZER, step=2)
    assert sorted(os.listdir(tmp_path)) == sorted([*others, name(2)])


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir(), lambda folder: folder.touch()])
def test_a_folder_without_checkpoints_is_one_line(tmp_path, make):
    make(tmp_path / "run")
    for find in (Checkpoints(tmp_path / "run").newest, Checkpoints(tmp_path / "run").best):
        with pytest.raises(CheckpointError, match="run'"):
            find()


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Checkpoints(tmp_path / "run").save(MODEL, OPTIMIZER, step=1)


@pytest.mark.parametrize("paranoid", [False, True])
def test_small_files_are_read_again_before_they_count_and_large_ones_on_demand(tmp_path, monkeypatch, paranoid):
    kept = Checkpoints(tmp_path, paranoid=paranoid)
    kept.save(MODEL, OPTIMIZER, step=1)

    def written_wrong(file, tensors, metadata):
        file.write(b"nonsense")

    monkeypatch.setattr("tinygrad_gpt.checkpoints.checkpoint.write", written_wrong)
    with pytest.raises(OSError, match="was not written as it should be"):
        kept.save(MODEL, OPTIMIZER, step=2)
    assert steps_in(tmp_path) == [1]
    monkeypatch.setattr(checkpoints, "_SMALL_FILE_BYTES", 10)
    if paranoid:
        with pytest.raises(OSError, match="was not written as it should be"):
            kept.save(MODEL, OPTIMIZER, step=2)
    else:
        kept.save(MODEL, OPTIMIZER, step=2)
    assert Checkpoints(tmp_path).newest()[0].step == 1


def test_a_file_that_cannot_be_deleted_stays_and_the_save_counts(tmp_path, monkeypatch):
    kept = Checkpoints(tmp_path)
    for step in (1, 2):
        kept.save(MODEL, OPTIMIZER, step=step)

    def refuse(path):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        kept.save(MODEL, OPTIMIZER, step=3)
    assert steps_in(tmp_path) == [1, 2, 3]
    kept.save(MODEL, OPTIMIZER, step=4)
    assert steps_in(tmp_path) == [3, 4]


def test_wrong_arguments_are_refused(tmp_path):
    for keep, error in ((1, ValueError), (0, ValueError), (2.5, TypeError)):
        with pytest.raises(error, match="keep must be"):
            Checkpoints(tmp_path, keep=keep)
    with pytest.raises(ValueError, match="val_loss must be given by this name"):
        Checkpoints(tmp_path).save(MODEL, OPTIMIZER, step=1, metadata={"val_loss": "3"})


def test_a_single_file_may_be_saved_and_verified_too(tmp_path):
    save_checkpoint(tmp_path / "model", MODEL, verify=True)
    assert load_checkpoint(tmp_path / "model").step == 0


def test_one_may_be_removed_and_more_may_stay(tmp_path):
    kept = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        assert kept.save(MODEL, OPTIMIZER, step=step, more=1) == kept.path_of(step)
    kept.remove(2)
    kept.remove(7)  # there is none
    assert steps_in(tmp_path) == [1, 3]
    kept.save(MODEL, OPTIMIZER, step=4)
    assert steps_in(tmp_path) == [3, 4]
