"""Small right checkpoints, in methods that a mutant can override.

The run is a toy: AdamW's arithmetic on a handful of numbers, noise from a generator whose state has to be saved, and an
order of six items that is shuffled anew every three steps.
"""

import hashlib
import json
import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_gpt.laws.checkpoints.under_test import CheckpointUnderTest
from tinygrad_gpt.laws.law import Array

ITEMS, BATCH = 6, 2
CONFIG: dict[str, tuple[Any, Any]] = {"lr": (0.5, 0.25), "width": (4, 3)}


class Unreadable(Exception):  # noqa: N818
    """There is no checkpoint that can be resumed.  The text says why."""


@dataclass
class Run:
    """A training run; step() changes it in place."""

    seed: int
    config: dict[str, Any]
    step: int
    p: Array
    m: Array
    v: Array
    generator: np.random.Generator
    order: list[int]
    place: int  # of the next batch in the epoch
    resumed_at: int = 0


class Right:
    """Training, saving and resuming, in methods that a mutant can override."""

    keep = 2  # so many files stay
    needed: tuple[str, ...] = ("config", "seed", "step", "p", "m", "v", "generator", "order", "place")

    # Training

    def start(self, seed: int, **config: Any) -> Run:
        """A new run."""
        generator = np.random.Generator(np.random.PCG64(seed))
        zeros = np.zeros(config["width"])
        p, order = generator.standard_normal(config["width"]), generator.permutation(ITEMS).tolist()
        return Run(seed, config, 0, p, zeros.copy(), zeros.copy(), generator, order, 0)

    def batch(self, run: Run) -> Array:
        """The items of the next step."""
        return np.array(run.order[run.place * BATCH : (run.place + 1) * BATCH])

    def noise(self, run: Run) -> Array:
        """Random numbers of a step."""
        return run.generator.standard_normal(run.p.shape)

    def step(self, run: Run) -> Run:
        """One step of AdamW's arithmetic."""
        g = run.p - self.batch(run).mean() + 0.1 * self.noise(run)
        run.step += 1
        run.m = 0.9 * run.m + 0.1 * g
        run.v = 0.99 * run.v + 0.01 * g * g
        mhat, vhat = run.m / (1 - 0.9**run.step), run.v / (1 - 0.99**run.step)
        run.p = run.p - run.config["lr"] * mhat / (vhat**0.5 + 0.1)
        run.place += 1
        if run.place * BATCH == ITEMS:
            run.order, run.place = run.generator.permutation(ITEMS).tolist(), 0
        return run

    def observe(self, run: Run) -> dict[str, Any]:
        """All that must be the same after resuming."""
        generator = str(run.generator.bit_generator.state)
        return {"p": run.p, "m": run.m, "v": run.v, "step": run.step, "batch": self.batch(run), "generator": generator}

    def evaluate(self, run: Run) -> float:
        """The loss on all items."""
        return float(sum(((run.p - item) ** 2).sum() for item in range(ITEMS)))

    def sample(self, run: Run) -> Array:
        """An output, drawn from a separate generator."""
        return run.p + np.random.Generator(np.random.PCG64([run.seed, run.step])).standard_normal(run.p.shape)

    # Saving

    def save(self, run: Run, folder: Path) -> None:
        """A new file, then without the oldest."""
        self.write(folder / self.file_name(run), self.encoded(self.pieces_of(run)))
        self.prune(folder)

    def file_name(self, run: Run) -> str:
        """One name per step."""
        return f"step-{run.step:06}.json"

    def files(self, folder: Path) -> list[Path]:
        """Checkpoints, oldest first."""
        return sorted(folder.glob("*.json"))

    def pieces_of(self, run: Run) -> dict[str, Any]:
        """The pieces of a checkpoint."""
        arrays = {name: getattr(run, name).tolist() for name in ("p", "m", "v")}
        plain = {name: getattr(run, name) for name in ("config", "seed", "step", "order", "place")}
        return plain | arrays | {"generator": run.generator.bit_generator.state}

    def encoded(self, pieces: Mapping[str, Any]) -> bytes:
        """A line with the digest of the rest, then JSON."""
        body = json.dumps(pieces).encode()
        return hashlib.sha256(body).hexdigest().encode() + b"\n" + body

    def write(self, path: Path, data: bytes) -> None:
        """Write the file completely and durably, or not at all."""
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            self.write_file(draft, data)
            os.replace(draft, path)
        except BaseException:
            self.clean_up(draft)
            raise
        self.sync_folder(path.parent)

    def write_file(self, path: Path, data: bytes) -> None:
        """All bytes, fsynced."""
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            self.write_bytes(file, data)
            self.sync(file)
        finally:
            os.close(file)

    def write_bytes(self, file: int, data: bytes) -> None:
        """Write all bytes, in as many calls as it takes."""
        while data:
            data = data[os.write(file, data) :]

    def sync(self, file: int) -> None:
        """The file is on the disk."""
        os.fsync(file)

    def clean_up(self, draft: Path) -> None:
        """Remove the draft."""
        with suppress(OSError):
            os.unlink(draft)

    def sync_folder(self, folder: Path) -> None:
        """The names are on the disk."""
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)

    def prune(self, folder: Path) -> None:
        """The newest files stay, and so does a file that cannot be removed."""
        for path in self.files(folder)[: -self.keep]:
            with suppress(OSError):
                os.unlink(path)

    # Resuming

    def load(self, folder: Path, **config: Any) -> Run:
        """The run of the newest complete file."""
        reasons = []
        for path in self.newest_first(folder):
            try:
                pieces = self.decoded(path.read_bytes())
            except Unreadable as error:
                reasons.append(f"{path.name}: {error}")
                continue
            self.check_config(pieces["config"], config)
            return self.restored(pieces, config)
        raise Unreadable("; ".join(reasons) or "there is no checkpoint")

    def newest_first(self, folder: Path) -> list[Path]:
        """Checkpoints in the order in which they are tried."""
        return self.files(folder)[::-1]

    def decoded(self, data: bytes) -> dict[str, Any]:
        """The pieces of a complete file."""
        digest, _, body = data.partition(b"\n")
        if digest != hashlib.sha256(body).hexdigest().encode():
            raise Unreadable("damaged")
        return self.complete(json.loads(body))

    def complete(self, pieces: dict[str, Any]) -> dict[str, Any]:
        """The pieces, if none is missing."""
        missing = [name for name in self.needed if name not in pieces]
        if missing:
            raise Unreadable(f"{', '.join(missing)} is missing")
        return pieces

    def check_config(self, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Refuse another configuration, and say what differs."""
        differences = [f"{name} was {saved[name]}, is {now[name]}" for name in saved if saved[name] != now[name]]
        if differences:
            raise Unreadable("; ".join(differences))

    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        """The run that the pieces are of."""
        run = self.start(pieces["seed"], **config)
        run.step, run.order, run.place = pieces["step"], pieces["order"], pieces["place"]
        run.p, run.m, run.v = (np.array(pieces[name], float) for name in ("p", "m", "v"))
        run.generator.bit_generator.state = pieces["generator"]
        run.resumed_at = run.step
        return run

    def pieces(self, folder: Path) -> list[str]:
        """The names of the pieces of the newest checkpoint."""
        return sorted(json.loads(self.files(folder)[-1].read_bytes().partition(b"\n")[2]))

    def remove(self, folder: Path, piece: str) -> None:
        """Remove a piece from the newest checkpoint."""
        path = self.files(folder)[-1]
        pieces = json.loads(path.read_bytes().partition(b"\n")[2])
        del pieces[piece]
        path.write_bytes(self.encoded(pieces))


def adapted(name: str, kind: type[Right] = Right) -> CheckpointUnderTest:
    """A class as an object under test."""
    right = kind()
    return CheckpointUnderTest(
        name=name,
        start=right.start,
        step=right.step,
        save=right.save,
        load=right.load,
        observe=right.observe,
        batch=right.batch,
        between={"evaluate": right.evaluate, "sample": right.sample},
        pieces=right.pieces,
        remove=right.remove,
        config=CONFIG,
        modules=tuple({sys.modules[__name__], sys.modules[kind.__module__]}),
        verify=lambda path: right.decoded(path.read_bytes()),
        checksum=True,
        load_errors=(Unreadable,),
    )


RIGHT_CHECKPOINT = adapted("right")
