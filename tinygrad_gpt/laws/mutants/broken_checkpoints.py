"""Checkpoints that differ from the small right ones in one piece.  Their stories are in checkpoints.py."""

# ruff: noqa: D101, D102

import json
import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutants.small_checkpoints import BATCH, ITEMS, Right, Run, Unreadable


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
