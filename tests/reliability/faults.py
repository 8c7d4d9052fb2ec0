"""Saves that meet a fault: whatever failed, the old or the new checkpoint loads, and the new one if save returned.

The saves are those of a short training run, and the faults those of the laws of checkpoints (F1 to F5), one by one.
"""

import errno
import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from tests.laws.test_checkpoint_laws import ours
from tests.reliability.damage import state
from tests.reliability.tally import Tally
from tinygrad_gpt.checkpoints import Checkpoints, load_checkpoint
from tinygrad_gpt.laws import LawBroken
from tinygrad_gpt.laws.checkpoints.faults import FAULT_MODES, FaultyOS, folders_after_kills, folders_after_power_cuts
from tinygrad_gpt.laws.checkpoints.runs import folder_image, write_image
from tinygrad_gpt.laws.checkpoints.writing import watched_save
from tinygrad_gpt.nn import GPT, GPTConfig
from tinygrad_gpt.optim import AdamW

CODES = (errno.EIO, errno.ENOSPC, errno.EDQUOT)
EARLIER = (1, 2, 3)  # checkpoints there before: the third save deletes one


def saves(full):
    """Saves to be disturbed, in runs of other lengths."""
    for seed in range(5 if full else 1):
        for earlier in EARLIER if full else EARLIER[-1:]:
            with watched_save(ours, seed, earlier) as save:
                yield save


def count(tally, save, what, image, *allowed):
    """Whether the folder, made like the image, loads as one of these."""
    try:
        save.require(what, image, *allowed)
        tally.loaded += 1
    except LawBroken as broken:
        tally.lost.append(str(broken))


def failing_operations(folder: Path, full: bool) -> Tally:
    """Every file operation of a save fails, once or from then on, or writes the half."""
    tally = Tally()
    for save in saves(full):
        for code in CODES if full else CODES[:1]:
            for what, _, error in save.faults(FAULT_MODES, code):
                if error is not None and not isinstance(error, OSError):
                    tally.lost.append(f"{what}: {type(error).__name__}: {error}")
                else:
                    count(tally, save, what, None, *((save.new,) if error is None else (save.old, save.new)))
    return tally


def power_cuts(folder: Path, full: bool) -> Tally:
    """The power fails after every operation of a save, and what was not fsynced is lost, in part, or zeros."""
    tally = Tally()
    for save in saves(full):
        end = len(save.undisturbed.log)
        for n, image in folders_after_power_cuts(save.undisturbed, range(end + 1)):
            count(tally, save, f"power cut after {n} operations", image, *(save.old, save.new))
        for _, image in folders_after_power_cuts(save.undisturbed, [end]):
            count(tally, save, "power cut after the save", image, save.new)
    return tally


def power_cuts_after_failures(folder: Path, full: bool) -> Tally:
    """An operation of a save fails, and then the power."""
    tally = Tally()
    for save in saves(full):
        for what, files, error in save.faults(FAULT_MODES if full else FAULT_MODES[:1], errno.EIO):
            for _, image in folders_after_power_cuts(files, [len(files.log)]):
                allowed = (save.new,) if error is None else (save.old, save.new)
                count(tally, save, f"{what}, then a power cut", image, *allowed)
    return tally


def kills_at_operations(folder: Path, full: bool) -> Tally:
    """The process is killed after every operation of a save, or within a write; every file with a name is whole."""
    tally = Tally()
    for save in saves(full):
        for n, image in folders_after_kills(save.undisturbed):
            count(tally, save, f"killed after {n} operations", image, save.old, save.new)
            for path in Checkpoints(save.folder).paths():
                load_checkpoint(path)
    return tally


@contextmanager
def without_fsync(of):
    """A file system that forgets to fsync files, or folders: what a version without it would be."""
    fsync = FaultyOS.fsync

    def forgetful(self, fd):
        if (self.handles[fd].inode is None) != (of == "folders"):
            fsync(self, fd)

    FaultyOS.fsync = forgetful
    try:
        yield
    finally:
        FaultyOS.fsync = fsync


def versions_without_fsync(folder: Path, full: bool) -> dict[str, Tally]:
    """The power cuts again, on a version that fsyncs no files, and on one that fsyncs no folders: they must lose."""
    found = {}
    for of in ("files", "folders"):
        with without_fsync(of):
            found[of] = power_cuts(folder, full)
    return found


@contextmanager
def disk_of(size):
    """Within the block no file can grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def full_disks(folder: Path, full: bool) -> Tally:
    """No file can be longer than so many bytes, for every length of one byte up to the whole file's."""
    config = GPTConfig(vocab_size=2, context_length=1, emb_dim=2, n_heads=1, n_layers=1)
    model = GPT(config)
    optimizer = AdamW({"ln_f.bias": model.parameters()["ln_f.bias"]})  # of one alone: a short file has few lengths
    kept, tally = Checkpoints(folder), Tally()
    size = kept.save(model, optimizer, step=1).stat().st_size
    before, old = folder_image(folder), state(kept.newest()[0])
    for limit in range(0, size, 1 if full else size // 25):
        try:
            with disk_of(limit):
                kept.save(model, optimizer, step=2)
        except OSError as error:
            if error.errno == errno.EFBIG and folder_image(folder) == before and state(kept.newest()[0]) == old:
                tally.loaded += 1
                continue
        tally.lost.append(f"files of at most {limit} bytes")
        write_image(before, folder)
    return tally


def killed_processes(folder: Path, full: bool) -> Tally:
    """A process that saves one checkpoint after another is killed (SIGKILL) at a random moment."""
    command = [sys.executable, "-m", "tests.reliability.killing", str(folder), str(200 if full else 5)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=600)
    found = json.loads(done.stdout)
    return Tally(loaded=found["loaded"], lost=found["lost"])
