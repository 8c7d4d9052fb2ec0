"""Runs and folders for the laws of checkpoints: train, look, save, resume, compare."""

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

Observed = Mapping[str, Any]
Image = Mapping[str, bytes | None]  # a folder's files by relative path; None is a folder in it


@contextmanager
def new_folder() -> Iterator[Path]:
    """An empty folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="laws-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def config(sut: CheckpointUnderTest) -> dict[str, Any]:
    """The settings that start and load get."""
    return {name: value for name, (value, _) in sut.config.items()}


def start_run(sut: CheckpointUnderTest, seed: int, steps: int = 0) -> Any:
    """A new run after so many steps."""
    return train_run(sut, sut.start(seed, **config(sut)), steps)


def resume_run(sut: CheckpointUnderTest, folder: Path) -> Any:
    """The run of the newest checkpoint."""
    return sut.load(folder, **config(sut))


def train_run(sut: CheckpointUnderTest, run: Any, steps: int) -> Any:
    """The run so many steps later."""
    for _ in range(steps):
        run = sut.step(run)
    return run


def observe(sut: CheckpointUnderTest, run: Any) -> Observed:
    """What must be the same after resuming, as copies: a run may train in place."""
    return {name: value if isinstance(value, str) else np.array(value) for name, value in sut.observe(run).items()}


def trajectory(sut: CheckpointUnderTest, seed: int, steps: int) -> list[Observed]:
    """What is observed of an uninterrupted run after 0, 1, ... steps.

    Raises LawBroken where a step changes nothing of it: every law would hold of such a run.
    """
    run = start_run(sut, seed)
    seen = [observe(sut, run)]
    for step in range(1, steps + 1):
        run = sut.step(run)
        seen.append(observe(sut, run))
        if is_same_run(seen[-1], seen[-2]):
            raise LawBroken(f"step {step} changes nothing that observe tells", "parameters and a step count that move")
    return seen


def require_same_run(when: str, got: Observed, want: Observed) -> None:
    """Raise LawBroken unless both were observed alike, bit by bit."""
    if got.keys() != want.keys():
        raise LawBroken(f"{when}: {sorted(got)}", f"{sorted(want)}")
    for name in want:
        if not isinstance(got[name], str) and not isinstance(want[name], str):
            require_same(f"{when}: {name}", got[name], want[name])
        elif not isinstance(got[name], type(want[name])) or got[name] != want[name]:
            raise LawBroken(f"{when}: {name} is {got[name]!r}", f"{want[name]!r}")


def is_same_run(got: Observed, want: Observed) -> bool:
    """Whether both were observed alike, bit by bit."""
    try:
        require_same_run("", got, want)
    except LawBroken:
        return False
    return True


@contextmanager
def another_process(sut: CheckpointUnderTest, seed: int) -> Iterator[None]:
    """As much of a new process as one process can give: other random states, and another run in between.

    What a run keeps in a global variable, or draws from a global generator, is not what it was.
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


def image_of(folder: Path) -> Image:
    """All that is in a folder."""
    found = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in found}


def write_image(image: Image, folder: Path) -> None:
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
