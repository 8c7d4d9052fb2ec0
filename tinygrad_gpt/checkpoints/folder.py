"""The checkpoints of a run: one file per step in a folder; the newest few and the best are kept.

A new checkpoint never replaces an older one, and an older one is deleted only when enough newer ones are whole.  So the
previous checkpoint can be loaded, whatever happens while the next is written.
"""

import math
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from tinygrad_gpt.checkpoints.checkpoint import NO_METADATA, Checkpoint, load_checkpoint, save_checkpoint
from tinygrad_gpt.checkpoints.safetensors_file import CheckpointError, open_safetensors
from tinygrad_gpt.checks import at_least_one
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.optim import Optimizer

NAME = re.compile(r"checkpoint-(\d{8,18})\.safetensors")
DRAFT = re.compile(r"\.checkpoint-\d{8,18}\.safetensors\.[0-9a-f]{16}\.tmp")  # what atomic_write writes first
_SMALL_FILE_BYTES = 2**26  # of parameters; reading that much again takes a fraction of a second
_VAL_LOSS = "val_loss"


class Checkpoints:
    """The files `checkpoint-<step>.safetensors` in a folder; other files are not touched.

    After each save the newest `keep` whole checkpoints stay, and the one with the lowest validation loss.  Only one
    process at a time may save.  Raises ValueError for keep below 2: one damaged disk block could destroy the only one.
    """

    def __init__(self, folder: str | os.PathLike[str], *, keep: int = 2, paranoid: bool = False) -> None:
        self.folder, self.keep, self.paranoid = Path(folder), at_least_one("keep", keep), paranoid
        if keep < 2:
            raise ValueError(f"keep must be at least 2; got {keep}")
        self.losses: dict[Path, float] = {}  # validation losses of the files known to be whole; inf: it has none

    def save(
        self,
        model: GPT,
        optimizer: Optimizer,
        *,
        step: int,
        val_loss: float | None = None,
        metadata: Mapping[str, str] = NO_METADATA,
        more: int = 0,
    ) -> Path:
        """Write a checkpoint, and delete those that are no longer needed; the path of the new file.

        When this returns, the file is whole and on the disk.  A small file is read again before it takes its name; with
        paranoid, any file.  `more` raises `keep` for this save.  Files that cannot be deleted stay until the next save.
        Raises OSError if it cannot be written: then the old checkpoints are unchanged, and the new one may exist.
        """
        if _VAL_LOSS in metadata:
            raise ValueError("val_loss must be given by this name, not in the metadata")
        self._remove_drafts()
        path = self.path_of(step)
        loss = math.inf if val_loss is None or not math.isfinite(val_loss) else float(val_loss)
        known = {} if loss == math.inf else {_VAL_LOSS: repr(loss)}
        size = sum(p.data.nbytes for p in model.parameters().values())
        self.losses.pop(path, None)
        verify = self.paranoid or size <= _SMALL_FILE_BYTES
        save_checkpoint(path, model, optimizer, step=step, metadata={**metadata, **known}, verify=verify)
        self.losses[path] = loss
        self._prune(path, self.keep + more)
        return path

    def path_of(self, step: int) -> Path:
        """The path of the checkpoint of a step, whether or not it exists."""
        return self.folder / f"checkpoint-{step:08}.safetensors"

    def remove(self, step: int) -> None:
        """Delete the checkpoint of a step, if it exists.  If it cannot be deleted, it stays until the next save."""
        self._discard(self.path_of(step))

    def _discard(self, path: Path) -> None:
        """Delete a file, if possible, and forget its loss."""
        with suppress(OSError):
            os.unlink(path)
        self.losses.pop(path, None)

    def newest(self, *, device: str = "cpu", with_optimizer: bool = True) -> tuple[Checkpoint, list[str]]:
        """The newest whole checkpoint, and a line for each damaged one that was skipped.

        Raises CheckpointError if there is none.
        """
        return self._first_whole(self._readable_paths(), device, with_optimizer)

    def best(self, *, device: str = "cpu", with_optimizer: bool = True) -> tuple[Checkpoint, list[str]]:
        """The whole checkpoint with the lowest validation loss, and a line for each damaged one that was skipped.

        Raises CheckpointError if there is none.
        """
        skipped: list[str] = []
        losses: dict[Path, float] = {}
        for path in self._readable_paths():
            try:
                losses[path] = self._loss(path)
            except CheckpointError as error:
                skipped.append(str(error))
        scored = sorted((path for path in losses if losses[path] < math.inf), key=losses.__getitem__)
        checkpoint, more = self._first_whole(scored, device, with_optimizer, " with a validation loss")
        return checkpoint, skipped + more

    def paths(self) -> list[Path]:
        """The files with a checkpoint's name, newest first.  Raises OSError if the folder cannot be read."""
        paths = [self.folder / name for name in os.listdir(self.folder) if NAME.fullmatch(name)]
        return sorted(paths, key=step_of, reverse=True)

    def _readable_paths(self) -> list[Path]:
        """paths() for reading: raises CheckpointError instead of OSError."""
        try:
            return self.paths()
        except OSError as error:
            raise CheckpointError(f"cannot read {str(self.folder)!r}: {error.strerror}") from error

    def _first_whole(
        self, paths: Iterable[Path], device: str, with_optimizer: bool, which: str = ""
    ) -> tuple[Checkpoint, list[str]]:
        """The first checkpoint that can be loaded, and why the ones before it cannot."""
        skipped: list[str] = []
        for path in paths:
            try:
                return load_step(path, device=device, with_optimizer=with_optimizer), skipped
            except CheckpointError as error:
                skipped.append(str(error))
        raise CheckpointError("; ".join([f"{str(self.folder)!r} holds no whole checkpoint{which}", *skipped]))

    def _prune(self, newest: Path, keep: int) -> None:
        """Delete everything older than the newest `keep` whole checkpoints, except the best and the newest file."""
        whole = [path for path in self.paths() if self._is_whole(path)]
        kept = {newest, *whole[:keep], min(whole, key=self.losses.__getitem__)}
        for path in self.paths():
            if path not in kept and len(whole) >= keep and step_of(path) < step_of(whole[keep - 1]):
                self._discard(path)

    def _is_whole(self, path: Path) -> bool:
        """Whether the file is undamaged.  The answer yes is remembered."""
        try:
            self._loss(path)
        except CheckpointError:
            return False
        return True

    def _loss(self, path: Path) -> float:
        """A checkpoint's validation loss, inf if it has none.  Raises CheckpointError if the file is not whole."""
        if path not in self.losses:
            with open_safetensors(path, with_digest=True) as file:
                loss = float(file.metadata.get(_VAL_LOSS, "inf"))
                self.losses[path] = loss if math.isfinite(loss) else math.inf
        return self.losses[path]

    def _remove_drafts(self) -> None:
        """Delete half-written files of saves that were killed: each can be as large as a checkpoint."""
        for name in os.listdir(self.folder):
            if DRAFT.fullmatch(name):
                with suppress(OSError):
                    os.unlink(self.folder / name)


def load_step(path: Path, *, device: str = "cpu", with_optimizer: bool = True) -> Checkpoint:
    """The checkpoint in a file.  Raises CheckpointError, also if the file's name gives another step."""
    found = load_checkpoint(path, device=device, with_optimizer=with_optimizer)
    if found.step != step_of(path):
        raise CheckpointError(f"cannot read {str(path)!r}: it holds step {found.step}, not {step_of(path)}")
    return found


def step_of(path: Path) -> int:
    """The step in a checkpoint's file name."""
    found = NAME.fullmatch(path.name)
    assert found is not None
    return int(found[1])
