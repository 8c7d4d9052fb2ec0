"""The laws of writing and reading: no failed save, power cut, kill or damaged file loses a good checkpoint.

Every operation of a save is made to fail in turn, as in SQLite's tests.
"""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tinygrad_gpt.laws.checkpoints.faults import (
    FAULT_MODES,
    FaultMode,
    FaultyOS,
    folders_after_kills,
    folders_after_power_cuts,
    replace_os,
)
from tinygrad_gpt.laws.checkpoints.runs import (
    FolderImage,
    Observation,
    folder_image,
    is_same_run,
    new_folder,
    observe,
    require_same_run,
    resume_run,
    start_run,
    write_image,
)
from tinygrad_gpt.laws.checkpoints.under_test import CheckpointUnderTest
from tinygrad_gpt.laws.law import Case, LawBroken, cases, law
from tinygrad_gpt.laws.strategies import fractions, seeds

_CODES = ("EIO", "ENOSPC", "EDQUOT")
_FIRST_BYTES = 16  # a file is cut, and bits are flipped, at each of its first bytes; at later bytes at random


def _seed_and_earlier(sut: CheckpointUnderTest) -> st.SearchStrategy[Case]:
    """A run's seed, and the number of checkpoints before the save that meets a fault."""
    return cases(seed=seeds(), earlier=st.integers(1, min(3, sut.max_steps - 1)))


@dataclass(frozen=True)
class _Save:
    """A save to repeat with faults: the run, the folder before it, the old and the new state, and its operations."""

    sut: CheckpointUnderTest
    run: Any
    folder: Path
    before: FolderImage
    old: Observation
    new: Observation
    undisturbed: FaultyOS
    after: FolderImage

    def _save_with_fault(self, fail_at: int, mode: FaultMode, code: int) -> tuple[FaultyOS, Exception | None]:
        """Save into the folder as it was, with the n-th operation failing; returns the log and the error of save."""
        write_image(self.before, self.folder)
        files = FaultyOS(self.folder, fail_at, mode, code)
        with replace_os(files, self.sut.modules):
            try:
                self.sut.save(self.run, self.folder)
            except Exception as error:
                return files, error
        return files, None

    def faults(self, modes: Sequence[FaultMode], code: int) -> Iterator[tuple[str, FaultyOS, Exception | None]]:
        """Every operation failing in turn, in every mode: (the fault, the log, the error of save)."""
        for mode in modes:
            for n in count(1):
                files, error = self._save_with_fault(n, mode, code)
                if files.count < n:
                    break
                if files.failed:
                    yield f"operation {n} ({files.failed[0]}) failing {mode}", files, error

    def require(self, what: str, image: FolderImage | None, *allowed: Observation) -> None:
        """Raise LawBroken unless a folder with this content loads as one of the allowed states."""
        if image is not None:
            write_image(image, self.folder)
        wanted = f"the {' or the '.join('new' if state is self.new else 'old' for state in allowed)} checkpoint"
        try:
            found = observe(self.sut, resume_run(self.sut, self.folder))
        except Exception as error:
            files = {name: data if data is None else len(data) for name, data in folder_image(self.folder).items()}
            raise LawBroken(f"{what}: {type(error).__name__}: {error}; files {files}", wanted) from error
        if not any(is_same_run(found, state) for state in allowed):
            which = "the old checkpoint" if is_same_run(found, self.old) else "another state"
            raise LawBroken(f"{what}: {which} is loaded", wanted)


@contextmanager
def watched_save(sut: CheckpointUnderTest, seed: int, earlier: int) -> Iterator[_Save]:
    """A save after this many earlier saves, which are on the disk.  It ran once without a fault.

    The old and the new state are what load returns.  The laws of resuming check whether they are right.
    """
    with new_folder() as folder:
        run = start_run(sut, seed)
        for _ in range(earlier):
            run = sut.step(run)
            sut.save(run, folder)
        before = folder_image(folder)
        old = observe(sut, resume_run(sut, folder))
        write_image(before, folder)
        run = sut.step(run)
        files = FaultyOS(folder)
        with replace_os(files, sut.modules):
            sut.save(run, folder)
        if not any(operation.kind == "write" for operation in files.log):
            modules = ", ".join(module.__name__ for module in sut.modules)
            raise LawBroken("a save that writes nothing there", f"writes through the names os or open of {modules}")
        after = folder_image(folder)
        new = observe(sut, resume_run(sut, folder))
        yield _Save(sut, run, folder, before, old, new, files, after)


@law(
    "F1",
    "an error loses no checkpoint",
    area="checkpoint",
    case=lambda sut: cases(
        seed=seeds(), earlier=st.integers(1, min(3, sut.max_steps - 1)), code=st.sampled_from(_CODES)
    ),
    needs=("modules",),
    mutants=("writes-in-place", "deletes-the-old-one-first", "ignores-short-writes", "swallows-the-error"),
    cites=("Lightning-AI/pytorch-lightning#19970", "CanReader/FastNN#13"),
    examples=3,
)
def errors_lose_nothing(sut: CheckpointUnderTest, seed: int, earlier: int, code: str) -> None:
    """If any file operation of a save fails (once, or from then on, or a write is cut short), the old or the new
    checkpoint loads. If save returned, it is the new one; if save raised, its error is a declared one.
    """
    with watched_save(sut, seed, earlier) as save:
        for what, _, error in save.faults(FAULT_MODES, getattr(errno, code)):
            if error is not None and not isinstance(error, sut.save_errors):
                declared = " or ".join(error.__name__ for error in sut.save_errors)
                raise LawBroken(f"{what}: {type(error).__name__}: {error}", declared) from error
            allowed = (save.new,) if error is None else (save.old, save.new)
            save.require(f"{what}, save {'returned' if error is None else 'raised'}", None, *allowed)


@law(
    "F2",
    "an error leaves no extra files",
    area="checkpoint",
    case=_seed_and_earlier,
    needs=("modules",),
    mutants=("leaves-its-draft",),
    cites=("PrimeIntellect-ai/prime-rl#2992",),
    examples=3,
)
def no_litter(sut: CheckpointUnderTest, seed: int, earlier: int) -> None:
    """After a file operation failed once, the folder has only files from before the save and files of a save without a
    fault, unless the operation was a removal.
    """
    with watched_save(sut, seed, earlier) as save:
        for what, files, _ in save.faults(("once",), errno.ENOSPC):
            strange = sorted(folder_image(save.folder).keys() - save.before.keys() - save.after.keys())
            if strange and files.failed != ["unlink"]:
                raise LawBroken(f"{what}: {', '.join(strange)} is left", "no file but complete checkpoints")


@law(
    "F3",
    "a power cut loses no checkpoint",
    area="checkpoint",
    case=_seed_and_earlier,
    needs=("modules",),
    mutants=("deletes-the-old-one-first", "writes-in-place", "no-fsync-and-one-file"),
    examples=3,
)
def power_cuts_lose_nothing(sut: CheckpointUnderTest, seed: int, earlier: int) -> None:
    """After a power cut at any operation of a save, the old or the new checkpoint loads, whatever happens to names and
    bytes that were not fsynced.
    """
    with watched_save(sut, seed, earlier) as save:
        for n, image in folders_after_power_cuts(save.undisturbed, range(len(save.undisturbed.log) + 1)):
            save.require(f"power cut after {_last_operations(save.undisturbed, n)}", image, save.old, save.new)


@law(
    "F4",
    "a returned save is on the disk",
    area="checkpoint",
    case=_seed_and_earlier,
    needs=("modules",),
    mutants=("no-fsync", "no-fsync-of-the-folder"),
    cites=("Lightning-AI/pytorch-lightning#688",),
    examples=3,
)
def saved_is_saved(sut: CheckpointUnderTest, seed: int, earlier: int) -> None:
    """After a power cut after save has returned, the new checkpoint loads: its bytes and its name were fsynced."""
    with watched_save(sut, seed, earlier) as save:
        for n, image in folders_after_power_cuts(save.undisturbed, [len(save.undisturbed.log)]):
            save.require(f"power cut after save: {_last_operations(save.undisturbed, n)}", image, save.new)


@law(
    "F5",
    "a file with a checkpoint's name is complete",
    area="checkpoint",
    case=_seed_and_earlier,
    needs=("modules", "verify"),
    mutants=("writes-in-place", "writes-under-the-final-name"),
    cites=("KempnerInstitute/KempnerForge#177", "harvard-edge/cs249r_book#2068"),
    examples=3,
)
def names_mean_whole(sut: CheckpointUnderTest, seed: int, earlier: int) -> None:
    """If the process is killed at any operation of a save, or within a write, every file with the name of a
    checkpoint's file is complete.
    """
    assert sut.verify is not None
    with watched_save(sut, seed, earlier) as save:
        final = save.before.keys() | save.after.keys()
        for n, image in folders_after_kills(save.undisturbed):
            write_image(image, save.folder)
            for name in sorted(name for name in final & image.keys() if image[name] is not None):
                try:
                    sut.verify(save.folder / name)
                except Exception as error:
                    what = (
                        f"killed after {_last_operations(save.undisturbed, n)}: {name}: {type(error).__name__}: {error}"
                    )
                    raise LawBroken(what, "no file of that name, or a complete checkpoint") from error


def _last_operations(files: FaultyOS, n: int) -> str:
    """The last operations of the first n, in words."""
    last = [f"{operation.kind} {operation.target or operation.path}".strip() for operation in files.log[:n]][-3:]
    return f"{n} operation{'s' * (n != 1)} ({'... ' if n > 3 else ''}{', '.join(last)})"


@law(
    "F6",
    "a truncated file is refused",
    area="checkpoint",
    case=lambda sut: cases(seed=seeds(), places=st.lists(fractions(), min_size=1, max_size=8)),
    mutants=("an-empty-file-is-a-new-run", "any-exception-will-do"),
    cites=("ztxz16/fastllm#712", "QuintinShaw/openasr#73"),
    examples=20,
)
def truncated_files(sut: CheckpointUnderTest, seed: int, places: list[float]) -> None:
    """With any file of the only checkpoint truncated, load returns the saved run or raises a declared error."""
    with _saved_once(sut, seed) as (folder, whole, want):
        for name, data in _files_of(whole):
            for size in {*range(min(_FIRST_BYTES, len(data))), *(int(place * (len(data) - 1)) for place in places)}:
                write_image(whole | {name: data[:size]}, folder)
                _require_original(sut, folder, f"{name}, {size} of {len(data)} bytes", want)


@law(
    "F7",
    "a flipped bit is noticed",
    area="checkpoint",
    case=lambda sut: cases(seed=seeds(), places=st.lists(fractions(), min_size=1, max_size=8), bit=st.integers(0, 7)),
    needs=("checksum",),
    mutants=("no-checksum",),
    examples=20,
)
def flipped_bits(sut: CheckpointUnderTest, seed: int, places: list[float], bit: int) -> None:
    """With a bit of any file of the only checkpoint flipped, load returns the saved run or raises a declared error."""
    with _saved_once(sut, seed) as (folder, whole, want):
        for name, data in _files_of(whole):
            for place in {*range(min(_FIRST_BYTES, len(data))), *(int(place * (len(data) - 1)) for place in places)}:
                flipped = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
                write_image(whole | {name: flipped}, folder)
                _require_original(sut, folder, f"{name}, bit {bit} of byte {place} flipped", want)


@contextmanager
def _saved_once(sut: CheckpointUnderTest, seed: int) -> Iterator[tuple[Path, dict[str, bytes | None], Observation]]:
    """A folder with one checkpoint, the folder's content, and the observations of the run."""
    with new_folder() as folder:
        run = start_run(sut, seed, 1)
        sut.save(run, folder)
        yield folder, dict(folder_image(folder)), observe(sut, run)


def _files_of(image: FolderImage) -> list[tuple[str, bytes]]:
    """The files of a folder that are not empty."""
    return [(name, data) for name, data in image.items() if data]


def _require_original(sut: CheckpointUnderTest, folder: Path, what: str, want: Observation) -> None:
    """Raise LawBroken unless load returns the saved run or raises a declared error."""
    try:
        run = resume_run(sut, folder)
    except sut.load_errors:
        return
    except Exception as error:
        declared = " or ".join(error.__name__ for error in sut.load_errors)
        raise LawBroken(f"{what}: {type(error).__name__}: {error}", declared) from error
    require_same_run(what, observe(sut, run), want)


WRITE_LAWS = (
    errors_lose_nothing,
    no_litter,
    power_cuts_lose_nothing,
    saved_is_saved,
    names_mean_whole,
    truncated_files,
    flipped_bits,
)
