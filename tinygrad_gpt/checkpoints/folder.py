"""The checkpoints of a run: a file per step in one folder, of which the newest few and the best stay.

A new checkpoint never replaces an older one, and an older one goes only when enough newer ones are whole.  So whatever
happens while one is written, the one before it loads.
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
DRAFT = re.compile(r"\.checkpoint-\d{8,18}\.safetensors\.[0-9a-f]{16}\.tmp")  # what `replacing` writes first
_SMALL_FILE = 2**26  # bytes of parameters; reading that much again takes a fraction of a second
_VAL_LOSS = "val_loss"


class Checkpoints:
    """A folder's checkpoints, `checkpoint-<step>.safetensors`; other files in it are left alone.

    After each save the newest `keep` whole ones stay, and the one with the lowest validation loss.  One process at a
    time may save.  Raises ValueError for keep below 2: the newest alone would be lost with the disk block it is on.
    """

    def __init__(self, folder: str | os.PathLike[str], *, keep: int = 2, paranoid: bool = False) -> None:
        self.folder, self.keep, self.paranoid = Path(folder), at_least_one("keep", keep), paranoid
        if keep < 2:
            raise ValueError(f"keep must be at least 2; got {keep}")
        self.losses: dict[Path, float] = {}  # validation losses of the files known to be whole; inf for none

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
        """Write a checkpoint, and delete those that are no longer needed.  The file is whole and on the disk then.

        After this save so many more than `keep` stay.
        A small one is read again before it gets its name (any, if paranoid).  Files that cannot be deleted stay until
        the next time.  Raises OSError if it cannot be written: the checkpoints are then as they were, or this one is
        there as well.
        """
        if _VAL_LOSS in metadata:
            raise ValueError("val_loss must be given by this name, not in the metadata")
        self.remove_drafts()
        path = self.path_of(step)
        loss = math.inf if val_loss is None or not math.isfinite(val_loss) else float(val_loss)
        known = {} if loss == math.inf else {_VAL_LOSS: repr(loss)}
        size = sum(p.data.nbytes for p in model.parameters().values())
        self.losses.pop(path, None)
        verify = self.paranoid or size <= _SMALL_FILE
        save_checkpoint(path, model, optimizer, step=step, metadata={**metadata, **known}, verify=verify)
        self.losses[path] = loss
        self.prune(path, self.keep + more)
        return path

    def path_of(self, step: int) -> Path:
        """Where the checkpoint of a step is, or would be."""
        return self.folder / f"checkpoint-{step:08}.safetensors"

    def remove(self, step: int) -> None:
        """Delete the checkpoint of a step, if there is one; one that cannot be deleted stays until the next time."""
        self.discard(self.path_of(step))

    def discard(self, path: Path) -> None:
        """Delete a file, if that can be, and forget it."""
        with suppress(OSError):
            os.unlink(path)
        self.losses.pop(path, None)

    def newest(self, *, device: str = "cpu", with_optimizer: bool = True) -> tuple[Checkpoint, list[str]]:
        """The newest checkpoint that is whole, and a line for each newer one that is not and was skipped.

        Raises CheckpointError if there is none.
        """
        return self.first_whole(self.found(), device, with_optimizer)

    def best(self, *, device: str = "cpu", with_optimizer: bool = True) -> tuple[Checkpoint, list[str]]:
        """The whole checkpoint with the lowest validation loss, and a line for each file that was skipped.

        Raises CheckpointError if there is none.
        """
        skipped: list[str] = []
        losses: dict[Path, float] = {}
        for path in self.found():
            try:
                losses[path] = self.loss(path)
            except CheckpointError as error:
                skipped.append(str(error))
        scored = sorted((path for path in losses if losses[path] < math.inf), key=losses.__getitem__)
        checkpoint, more = self.first_whole(scored, device, with_optimizer, " with a validation loss")
        return checkpoint, skipped + more

    def paths(self) -> list[Path]:
        """The files that have a checkpoint's name, the newest first.  Raises OSError if the folder cannot be read."""
        paths = [self.folder / name for name in os.listdir(self.folder) if NAME.fullmatch(name)]
        return sorted(paths, key=step_of, reverse=True)

    def found(self) -> list[Path]:
        """The same for reading: raises CheckpointError."""
        try:
            return self.paths()
        except OSError as error:
            raise CheckpointError(f"cannot read {str(self.folder)!r}: {error.strerror}") from error

    def first_whole(
        self, paths: Iterable[Path], device: str, with_optimizer: bool, which: str = ""
    ) -> tuple[Checkpoint, list[str]]:
        """The first of these that can be loaded, and why those before it cannot."""
        skipped: list[str] = []
        for path in paths:
            try:
                return load_step(path, device=device, with_optimizer=with_optimizer), skipped
            except CheckpointError as error:
                skipped.append(str(error))
        raise CheckpointError("; ".join([f"{str(self.folder)!r} holds no whole checkpoint{which}", *skipped]))

    def prune(self, newest: Path, keep: int) -> None:
        """Delete all that is older than the newest `keep` whole checkpoints, but for the best and the one just made."""
        whole = [path for path in self.paths() if self.is_whole(path)]
        kept = {newest, *whole[:keep], min(whole, key=self.losses.__getitem__)}
        for path in self.paths():
            if path not in kept and len(whole) >= keep and step_of(path) < step_of(whole[keep - 1]):
                self.discard(path)

    def is_whole(self, path: Path) -> bool:
        """Whether this file verifies; one that did is believed from then on."""
        try:
            self.loss(path)
        except CheckpointError:
            return False
        return True

    def loss(self, path: Path) -> float:
        """A checkpoint's validation loss, inf if it has none.  Raises CheckpointError if the file is not whole."""
        if path not in self.losses:
            with open_safetensors(path, with_digest=True) as file:
                loss = float(file.metadata.get(_VAL_LOSS, "inf"))
                self.losses[path] = loss if math.isfinite(loss) else math.inf
        return self.losses[path]

    def remove_drafts(self) -> None:
        """Delete what a save that was killed has left: each is as large as a checkpoint."""
        for name in os.listdir(self.folder):
            if DRAFT.fullmatch(name):
                with suppress(OSError):
                    os.unlink(self.folder / name)


def load_step(path: Path, *, device: str = "cpu", with_optimizer: bool = True) -> Checkpoint:
    """The checkpoint in a file.  Raises CheckpointError if it is of another step than the file's name says, too."""
    found = load_checkpoint(path, device=device, with_optimizer=with_optimizer)
    if found.step != step_of(path):
        raise CheckpointError(f"cannot read {str(path)!r}: it holds step {found.step}, not {step_of(path)}")
    return found


def step_of(path: Path) -> int:
    """The step in a checkpoint's file name."""
    found = NAME.fullmatch(path.name)
    assert found is not None
    return int(found[1])
