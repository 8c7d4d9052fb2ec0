"""Runs and folders for the laws of checkpoints: train, observe, save, resume, compare."""

import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_gpt.laws.assertions import require_same
from tinygrad_gpt.laws.checkpoints.under_test import CheckpointUnderTest
from tinygrad_gpt.laws.law import LawBroken

Observation = Mapping[str, Any]
FolderImage = Mapping[str, bytes | None]  # bytes of a folder's files by relative path; None for a folder in it


@contextmanager
def new_folder() -> Iterator[Path]:
    """A temporary folder, empty, deleted after the block."""
    with tempfile.TemporaryDirectory(prefix="laws-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def config(sut: CheckpointUnderTest) -> dict[str, Any]:
    """The settings for start and load."""
    return {name: value for name, (value, _) in sut.config.items()}


def start_run(sut: CheckpointUnderTest, seed: int, steps: int = 0) -> Any:
    """A new run after this many steps."""
    return train_run(sut, sut.start(seed, **config(sut)), steps)


def resume_run(sut: CheckpointUnderTest, folder: Path) -> Any:
    """The run, loaded from the newest checkpoint."""
    return sut.load(folder, **config(sut))


def train_run(sut: CheckpointUnderTest, run: Any, steps: int) -> Any:
    """The run this many steps later."""
    for _ in range(steps):
        run = sut.step(run)
    return run


def observe(sut: CheckpointUnderTest, run: Any) -> Observation:
    """What must be the same after resuming, as copies, since a run may train in place."""
    return {name: value if isinstance(value, str) else np.array(value) for name, value in sut.observe(run).items()}


def observe_steps(sut: CheckpointUnderTest, seed: int, steps: int) -> list[Observation]:
    """The observations of an uninterrupted run after 0, 1, ... steps.

    Raises LawBroken if a step changes none of them: such a run would pass every law.
    """
    run = start_run(sut, seed)
    seen = [observe(sut, run)]
    for step in range(1, steps + 1):
        run = sut.step(run)
        seen.append(observe(sut, run))
        if is_same_run(seen[-1], seen[-2]):
            raise LawBroken(
                f"step {step} changes nothing that observe returns", "parameters and a step count that change"
            )
    return seen


def require_same_run(when: str, got: Observation, want: Observation) -> None:
    """Raise LawBroken unless both observations are equal, bit by bit."""
    if got.keys() != want.keys():
        raise LawBroken(f"{when}: {sorted(got)}", f"{sorted(want)}")
    for name in want:
        if not isinstance(got[name], str) and not isinstance(want[name], str):
            require_same(f"{when}: {name}", got[name], want[name])
        elif not isinstance(got[name], type(want[name])) or got[name] != want[name]:
            raise LawBroken(f"{when}: {name} is {got[name]!r}", f"{want[name]!r}")


def is_same_run(got: Observation, want: Observation) -> bool:
    """Whether both observations are equal, bit by bit."""
    try:
        require_same_run("", got, want)
    except LawBroken:
        return False
    return True


@contextmanager
def another_process(sut: CheckpointUnderTest, seed: int) -> Iterator[None]:
    """Imitates a new process within this one: other random states, and another run in between.

    A run that uses a global variable or a global generator then differs.
    """
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed + 1)
    np.random.seed((seed + 1) % 2**32)  # noqa: NPY002
    try:
        start_run(sut, (seed + 1) % 2**64, steps=1)
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002


def folder_image(folder: Path) -> FolderImage:
    """The content of a folder."""
    found = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in found}


def write_image(image: FolderImage, folder: Path) -> None:
    """Make the folder's content that of the image."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    for name, data in image.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(data)
