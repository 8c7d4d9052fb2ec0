"""The folder of one run, while the run is prepared and trained."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tinygrad_gpt.checkpoints.folder import DRAFT as CHECKPOINT_DRAFT
from tinygrad_gpt.checkpoints.folder import NAME as CHECKPOINT
from tinygrad_gpt.runs.lock import RunLock
from tinygrad_gpt.runs.names import (
    CHECKPOINTS,
    CONFIG,
    CRASH,
    CRASH_FILES,
    LOCK,
    NEW_TOKENS,
    RESULTS,
    TOKENS,
    RunError,
    is_draft,
    is_of_a_run,
)

_PROBE_BYTES = 2**16


class RunFolder:
    """A folder for one run, as a context manager.  At the end it releases the lock.  If the run never started, it also
    removes everything that it made.

    `RunFolder(out, ...)` only looks; `create()` makes the folder, takes the lock and checks that files can be written;
    `start()` removes the files of the run that is replaced (overwrite).  With resume the existing run continues.
    Without out the folder is runs/NAME-N, with the lowest N that is free.

    All three raise RunError if the folder cannot be used (it is a file, in use, not empty, not writable), and OSError
    if the system refuses.
    """

    def __init__(self, out: str | None, name: str, *, overwrite: bool = False, resume: bool = False) -> None:
        self.name, self.is_named, self.overwrite, self.resume = name, out is not None, overwrite, resume
        self.path = _next_free(name) if out is None else Path(out)
        self.lock = RunLock(self.file(LOCK), self.label)
        self.made: list[Path] = []  # files and folders that did not exist before, oldest first
        self.created = self.started = False
        self.tokens: tuple[str, ...] = ()  # the names of this run's token files until it starts
        if out == "":
            raise RunError(f"{'--resume' if resume else '--out'} must name a folder; got ''")
        self.check()

    @property
    def label(self) -> str:
        """The option that named the folder, and its value, for errors."""
        return f"{'--resume' if self.resume else '--out'} {str(self.path)!r}"

    def file(self, name: str) -> Path:
        """The path of one of the run's files."""
        return self.path / name

    def check(self) -> None:
        """Raise RunError if the run cannot use what is there now.  Writes nothing."""
        path = self.path
        existing = next(folder for folder in (path, *path.absolute().parents) if os.path.lexists(folder))
        if not existing.is_dir():
            raise RunError(f"{self.label}: {str(existing)!r} is a file, not a folder")
        for folder in (existing, self.file(CHECKPOINTS)):
            if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
                raise RunError(f"{self.label}: {str(folder)!r} cannot be written")
        if self.resume:
            self._check_run()
        if not path.exists():
            return
        self.lock.check_free()
        there = [name for name in sorted(os.listdir(path)) if not self.lock.is_held or name != LOCK]
        if self.resume:
            return
        if there and not self.overwrite:
            raise RunError(f"{self.label} is not empty: choose another folder, or --overwrite the run in it")
        if foreign := [name for name in there if not is_of_a_run(name)]:
            raise RunError(f"{self.label} holds {foreign[0]!r}, which no run wrote: choose another folder")

    def _check_run(self) -> None:
        if not self.path.is_dir():
            raise RunError(f"{self.label} is not a folder: give the one that train has made")
        if not self.file(CONFIG).is_file():
            raise RunError(f"{self.label} is not a run folder: it has no {CONFIG}")

    def create(self) -> None:
        """Make the folder, take its lock, and check that files can be written.  The second call does nothing."""
        if self.created:
            return
        if not self.is_named:
            self.path = _next_free(self.name)  # another run may have taken the folder that was free
            self.lock = RunLock(self.file(LOCK), self.label)
        self.check()  # again: reading the text took time
        for folder in reversed([self.path, *self.path.parents]):
            if not folder.exists():
                folder.mkdir(exist_ok=True)
                self.made.append(folder)
        self.lock.take()
        self.check()  # with the lock held, no other run changes the folder
        self._probe()
        self.created = True

    def _probe(self) -> None:
        """Raise OSError if the disk cannot take a file."""
        path = self.file(f".{LOCK}.{os.urandom(8).hex()}.tmp")
        try:
            with open(path, "xb") as file:
                file.write(bytes(_PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        finally:
            path.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Bytes that the run can fill: the free space of the disk, and the files of the run that is there now.

        Token files do not count: they stay until the run starts.
        """
        files = [path for path in self.path.rglob("*") if path.is_file() and path.name not in (*TOKENS, *NEW_TOKENS)]
        return shutil.disk_usage(self.path).free + sum(path.stat().st_size for path in files)

    def tokens_file(self) -> Path:
        """Where to write the tokens of a text that is too large for memory; never over those of an earlier run."""
        self.create()
        self.tokens = NEW_TOKENS if any(self.file(name).exists() for name in TOKENS) else TOKENS
        self.made += map(self.file, self.tokens)
        return self.file(self.tokens[0])

    def start(self) -> None:
        """Remove what an earlier run has left, unless it is resumed.  From now on the folder belongs to this run."""
        self.create()
        for path in self.path.iterdir():
            if is_draft(path.name):
                path.unlink(missing_ok=True)
        if not self.resume:
            self._remove_run()
        self._rename_tokens()
        _remove_files(self.file(CRASH), CRASH_FILES.__contains__)
        self.file(CHECKPOINTS).mkdir(exist_ok=True)
        self.started = True

    def _remove_run(self) -> None:
        for name in (*RESULTS, *TOKENS):
            if name not in self.tokens:
                self.file(name).unlink(missing_ok=True)
        _remove_files(self.file(CHECKPOINTS), _is_checkpoint)

    def _rename_tokens(self) -> None:
        """Give this run's token files their final names; remove those that a killed process prepared."""
        for written, name in zip(self.tokens, TOKENS, strict=False):
            os.replace(self.file(written), self.file(name))
        for name in NEW_TOKENS:
            self.file(name).unlink(missing_ok=True)

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *error: object) -> None:
        self.lock.release()
        if self.started:
            return
        for path in reversed(self.made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)


def _is_checkpoint(name: str) -> bool:
    """Whether this is the name of a checkpoint, whole or half-written."""
    return bool(CHECKPOINT.fullmatch(name) or CHECKPOINT_DRAFT.fullmatch(name))


def _remove_files(folder: Path, are_ours: Callable[[str], bool]) -> None:
    """Remove our files from a folder, and the folder if it is empty then."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if are_ours(path.name):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _next_free(name: str) -> Path:
    """runs/NAME-N with the lowest N that does not exist yet."""
    n = 1
    while os.path.lexists(path := Path("runs", f"{name}-{n}")):
        n += 1
    return path
