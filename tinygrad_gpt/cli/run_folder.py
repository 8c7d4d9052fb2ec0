"""The folder that a training run writes, and that generate and evaluate read.

model.safetensors  tokenizer.json   what was trained, and the tokens it knows
config.toml                         the options: tinygrad-gpt train --config RUN/config.toml runs it again
log.jsonl  loss.png  sample.txt     how it went
checkpoints/                        what the run can be resumed from: tinygrad-gpt train --resume RUN
crash/                              a step that gave a number that is not finite, to look at it again
tokens.bin  tokens.bin.json         the text's tokens, if it was too large for memory
tokens.new.bin  tokens.new.bin.json the same of the run that replaces this one, until it starts
run.lock                            there while the run goes on: whose it is
"""

import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from tinygrad_gpt.checkpoints import CheckpointError, Checkpoints
from tinygrad_gpt.checkpoints.folder import DRAFT as CHECKPOINT_DRAFT
from tinygrad_gpt.checkpoints.folder import NAME as CHECKPOINT
from tinygrad_gpt.checkpoints.folder import step_of
from tinygrad_gpt.cli.errors import UserError, note, user_input
from tinygrad_gpt.cli.terminal import human_number
from tinygrad_gpt.debug.crash import CRASH_FILES
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.runs import run as runs
from tinygrad_gpt.runs.lock import is_lockable, owner_of
from tinygrad_gpt.runs.run import CHECKPOINTS as CHECKPOINTS
from tinygrad_gpt.runs.run import MODEL as MODEL
from tinygrad_gpt.runs.run import TOKENIZER as TOKENIZER
from tinygrad_gpt.text import Tokenizer

CONFIG, LOG, PLOT, SAMPLE = "config.toml", "log.jsonl", "loss.png", "sample.txt"
TOKENS, LOCK = ("tokens.bin", "tokens.bin.json"), "run.lock"
_NEW_TOKENS = ("tokens.new.bin", "tokens.new.bin.json")
CRASH = "crash"  # a folder, as checkpoints is
RESULTS = (MODEL, TOKENIZER, CONFIG, LOG, PLOT, SAMPLE)
_ALL_FILES = (*RESULTS, *TOKENS, *_NEW_TOKENS, LOCK)
_DRAFT_NAME = re.compile(
    rf"\.({'|'.join(map(re.escape, _ALL_FILES))})\.[0-9a-f]{{16}}\.tmp"
)  # left by a process that was killed
_PROBE_BYTES = 2**16  # bytes


class RunFolder:
    """A folder for one run, as a context: on the way out the lock goes, and after bad input everything it made.

    `RunFolder(out, ...)` only looks; `create()` makes the folder, takes the lock and shows that it can be written;
    `start()` removes the files of the run that --overwrite replaces.  With resume the run that is there goes on.

    Raises UserError if out is no place for a run: a file, in use, not empty, or not writable.
    """

    def __init__(self, out: str | None, name: str, *, overwrite: bool = False, resume: bool = False) -> None:
        self.name, self.is_named, self.overwrite, self.resume = name, out is not None, overwrite, resume
        self.path = _next_free(name) if out is None else Path(out)
        self.made: list[Path] = []  # files and folders that were not there before, in the order of their making
        self.created = self.started = False
        self.tokens: tuple[str, ...] = ()  # what the files of this run's tokens are called until it starts
        self.lock: int | None = None  # the lock's open file
        if out == "":
            raise UserError(f"{'--resume' if resume else '--out'} must name a folder; got ''")
        with user_input():
            self.check()

    def check(self) -> None:
        """Raise UserError if what is there forbids a run; writes nothing."""
        path = self.path
        existing = next(folder for folder in (path, *path.absolute().parents) if os.path.lexists(folder))
        if not existing.is_dir():
            raise UserError(f"{self.told}: {str(existing)!r} is a file, not a folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise UserError(f"{self.told}: {str(existing)!r} cannot be written")
        if self.resume:
            self.check_run()
        if not path.exists():
            return
        self.check_unlocked()
        there = [name for name in sorted(os.listdir(path)) if self.lock is None or name != LOCK]
        if self.resume:
            return
        if there and not self.overwrite:
            raise UserError(f"{self.told} is not empty: choose another folder, or --overwrite the run in it")
        if foreign := [name for name in there if not _is_of_a_run(name)]:
            raise UserError(f"{self.told} holds {foreign[0]!r}, which no run wrote: choose another folder")

    def check_run(self) -> None:
        """Raise UserError if there is no run in the folder that could go on."""
        if not self.path.is_dir():
            raise UserError(f"{self.told} is not a folder: give the one that train has made")
        if not self.file(CONFIG).is_file():
            raise UserError(f"{self.told} is not a run folder: it has no {CONFIG}")

    @property
    def told(self) -> str:
        """The option that named the folder, and its value."""
        return f"{'--resume' if self.resume else '--out'} {str(self.path)!r}"

    def check_unlocked(self) -> None:
        """Raise UserError if a run that is still going holds the folder."""
        if self.lock is not None:
            return
        try:
            file = os.open(self.path / LOCK, os.O_RDONLY)
        except OSError:
            return
        try:
            self.check_owner(file, alone=is_lockable(file, shared=True))
        finally:
            os.close(file)

    def check_owner(self, file: int, *, alone: bool) -> None:
        """Raise UserError if the process that a lock names has it still.  alone: no process here holds the file."""
        owner = owner_of(file)
        if owner is None and alone:
            return
        pid, host = owner or (0, platform.node())  # 0: it has just been taken, and its owner is not in it yet
        if host != platform.node() or not alone:
            unknown = f"; if that run has ended, delete {self.file(LOCK)}" if alone else ""
            raise UserError(f"{self.told} is in use by the run of process {pid} on {host}{unknown}")

    def take_lock(self) -> None:
        """Make the lock ours.  It is the kernel's, so a process that was killed holds it no longer."""
        path = self.path / LOCK
        while self.lock is None:
            was_there = path.exists()
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self.check_owner(file, alone=is_lockable(file))
                if not os.path.exists(path) or not os.path.samestat(os.fstat(file), os.stat(path)):
                    os.close(file)  # its owner removed it when we had opened it
                    continue
            except BaseException:
                os.close(file)
                raise
            if not was_there:
                self.made.append(path)
            self.lock = file
            os.ftruncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, json.dumps({"pid": os.getpid(), "host": platform.node()}).encode())

    def create(self) -> None:
        """Make the folder and the lock in it, and see whether it can be written; the second time nothing."""
        if self.created:
            return
        if not self.is_named:
            self.path = _next_free(self.name)  # another run may have taken the one that was free
        with user_input():
            self.check()  # once more: reading the text took its time
            for folder in reversed([self.path, *self.path.parents]):
                if not folder.exists():
                    folder.mkdir(exist_ok=True)
                    self.made.append(folder)
            self.take_lock()
            self.check()  # with the lock nothing changes any more
            self.probe()
        self.created = True

    def probe(self) -> None:
        """Raise OSError if the disk takes no file."""
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

    def check_space(self, needed: int) -> None:
        """Raise UserError if the disk has less room than needed bytes; what the run there takes is counted as free."""
        files = [path for path in self.path.rglob("*") if path.is_file() and path.name not in (*TOKENS, *_NEW_TOKENS)]
        free = shutil.disk_usage(self.path).free + sum(path.stat().st_size for path in files)
        if free < needed:
            raise UserError(
                f"the disk of {str(self.path)!r} has {human_number(free, 'B')} free, "
                f"the run needs about {human_number(needed, 'B')} for its checkpoints: "
                "make room, use a smaller --keep, or another --out"
            )

    def tokens_file(self) -> Path:
        """Where to write the tokens of a text that is too large for memory: beside those of the run that is there."""
        self.create()
        self.tokens = _NEW_TOKENS if any(self.file(name).exists() for name in TOKENS) else TOKENS
        self.made += map(self.file, self.tokens)
        return self.file(self.tokens[0])

    def start(self) -> None:
        """From here on the run is in the folder: what an earlier one left goes, but for the one to resume."""
        self.create()
        with user_input():
            for path in self.path.iterdir():
                if _DRAFT_NAME.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            if not self.resume:
                self.remove_run()
            self.keep_tokens()
            _remove_files(self.file(CRASH), CRASH_FILES.__contains__)
            self.file(CHECKPOINTS).mkdir(exist_ok=True)
        self.started = True

    def remove_run(self) -> None:
        """Remove the files of the run that was here."""
        for name in (*RESULTS, *TOKENS):
            if name not in self.tokens:
                self.file(name).unlink(missing_ok=True)
        _remove_files(self.file(CHECKPOINTS), _is_checkpoint)

    def keep_tokens(self) -> None:
        """Give this run's tokens their name; those that a killed process has prepared for another run go."""
        for written, name in zip(self.tokens, TOKENS, strict=False):
            os.replace(self.file(written), self.file(name))
        for name in _NEW_TOKENS:
            self.file(name).unlink(missing_ok=True)

    def file(self, name: str) -> Path:
        """Where a file of the run lies."""
        return self.path / name

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *error: object) -> None:
        if self.lock is not None:
            with suppress(PermissionError):  # Windows removes no open file
                self.file(LOCK).unlink(missing_ok=True)
            os.close(self.lock)
            if sys.platform == "win32":
                self.file(LOCK).unlink(missing_ok=True)
        if self.started:
            return
        for path in reversed(self.made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)


def _is_of_a_run(name: str) -> bool:
    """Whether a run may have written a file or a folder of this name."""
    return name in (*_ALL_FILES, CHECKPOINTS, CRASH) or _DRAFT_NAME.fullmatch(name) is not None


def _is_checkpoint(name: str) -> bool:
    """Whether this is the name of a checkpoint, or of what a killed process has left of one."""
    return bool(CHECKPOINT.fullmatch(name) or CHECKPOINT_DRAFT.fullmatch(name))


def _remove_files(folder: Path, are_ours: Callable[[str], bool]) -> None:
    """Remove our files from a folder, and the folder if nothing else is in it."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if are_ours(path.name):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _next_free(name: str) -> Path:
    """runs/NAME-N with the lowest N that is not there yet."""
    n = 1
    while os.path.lexists(path := Path("runs", f"{name}-{n}")):
        n += 1
    return path


_CHECKPOINT_HELP = (
    "Which of the run's checkpoints to take: best (by its validation loss), newest, or that of a step. Default: the "
    "model as the run has left it, or the newest checkpoint if it has left none yet."
)
WhichCheckpoint = Annotated[str | None, arg(metavar="best|newest|STEP", help=_CHECKPOINT_HELP, help_behavior_hint="")]


def load_run(run: str, device: str, checkpoint: str | None = None) -> tuple[GPT, Tokenizer]:
    """The model and the tokenizer of a run folder.  Notes what is not as one might think.

    Raises UserError if it is none, or has no such checkpoint.
    """
    try:
        runs.step_asked_for(checkpoint)
    except ValueError as error:
        raise UserError(f"--{error}") from error
    with user_input():
        try:
            found = runs.load_run(run, checkpoint=checkpoint, device=device, with_optimizer=False)
        except runs.NotARun as error:
            raise UserError(f"RUN {error}") from error
        except CheckpointError as error:
            raise UserError(f"{error}{'' if checkpoint else _checkpoint_advice(Path(run))}") from error
    for line in found.skipped:
        note(f"skipped: {line}")
    newest = _newest_step(Path(run))
    if checkpoint is None and found.path.name != MODEL:
        note(f"RUN {run!r} has no {MODEL} yet: this is its newest checkpoint, after step {found.step:,}")
    elif checkpoint is None and newest > found.step:
        note(f"{MODEL} is of step {found.step:,}; there is a checkpoint of step {newest:,}: --checkpoint newest")
    return found.model, found.tokenizer


def _newest_step(folder: Path) -> int:
    """The step of the newest checkpoint by name, 0 if there is none."""
    checkpoints = Checkpoints(folder / CHECKPOINTS)
    return step_of(checkpoints.paths()[0]) if checkpoints.folder.is_dir() and checkpoints.paths() else 0


def _checkpoint_advice(folder: Path) -> str:
    """What to take in the place of a model that cannot be read: the newest checkpoint, if one is whole."""
    try:
        checkpoint, _ = Checkpoints(folder / CHECKPOINTS).newest(with_optimizer=False)
    except CheckpointError:
        return ""
    return f"; its checkpoint of step {checkpoint.step:,} is whole: --checkpoint {checkpoint.step}"
