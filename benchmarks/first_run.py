"""The first run on a machine with a GPU, within a few minutes: `python -m benchmarks.first_run --minutes 8`.

Its parts run one after the other, the most telling first: the doctor, the CUDA tests, the tables.  Each is a process
with a time limit of its own; one that fails or takes too long does not stop the next.  What a part has printed is in
FOLDER/first_run.md as soon as it has ended, with its times and ends in FOLDER/first_run.json.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

LEAST_SECONDS = 5  # a part that would have less is left out
LONGEST_OUTPUT = 60_000  # characters of a part in the page


@dataclass(frozen=True)
class Part:
    """A command, and the seconds after which it is ended."""

    name: str
    command: tuple[str, ...]
    limit: float


@dataclass(frozen=True)
class Outcome:
    """What became of a part."""

    name: str
    end: str  # "ok", "failed", "out of time", "left out"
    seconds: float
    code: int | None = None


def python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, *arguments)


def section(name: str, *options: str, limit: float) -> Part:
    """A section of the GPU's benchmarks."""
    return Part(name, python("-m", "benchmarks", "--device", "cuda", name, *options), limit)


# The quick files first: if time runs out, most kernels have been compared.
_TESTED = (
    *("launcher", "gemm", "rows", "ops", "optimizer"),
    *("dropout", "attention", "bfloat16", "decode", "on_device"),
)
TEST_FILES = tuple(f"tests/cuda/test_{name}.py" for name in _TESTED)
PARTS = (
    Part("doctor", python("-m", "tinygrad_gpt", "doctor"), 30),
    Part("tests", python("-m", "pytest", "-m", "cuda", "-n", "0", "-v", "--no-header", *TEST_FILES), 150),
    section("launch", "--rounds", "10", limit=45),
    section("gemm", "--rounds", "10", limit=45),
    section("kernels", "--rounds", "10", limit=90),
    section("training", "--batch-sizes", "8", "--rounds", "3", limit=240),
    section("decoding", "--rounds", "3", limit=90),
)


def run(parts: Sequence[Part], seconds: float, folder: Path) -> list[Outcome]:
    """Run the parts within the seconds given, and write the page and the record after each."""
    folder.mkdir(parents=True, exist_ok=True)
    page, record = folder / "first_run.md", folder / "first_run.json"
    page.write_text(f"# First run, {time.strftime('%Y-%m-%d %H:%M')}\n", "utf-8")
    end, outcomes = time.monotonic() + seconds, []
    for part in parts:
        left = end - time.monotonic()
        outcome, printed = one(part, min(part.limit, left)) if left >= LEAST_SECONDS else (left_out(part), "")
        outcomes.append(outcome)
        heading = f"\n## {part.name}: {outcome.end}, {outcome.seconds:.0f} s\n\n    {' '.join(part.command)}\n"
        with page.open("a", encoding="utf-8") as file:
            file.write(f"{heading}\n{printed[-LONGEST_OUTPUT:]}\n")
        record.write_text(json.dumps([asdict(found) for found in outcomes], indent=1), "utf-8")
        print(f"{part.name}: {outcome.end}, {outcome.seconds:.0f} s", flush=True)
    return outcomes


def left_out(part: Part) -> Outcome:
    return Outcome(part.name, "left out", 0.0)


def one(part: Part, limit: float) -> tuple[Outcome, str]:
    """A part, ended after `limit` seconds with all processes that it has started; and what it printed."""
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            part.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return Outcome(part.name, "failed", 0.0), str(error)
    try:
        printed, _ = process.communicate(timeout=limit)
        end = "failed" if process.returncode else "ok"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, _ = process.communicate()
        end = "out of time"
    return Outcome(part.name, end, time.monotonic() - started, process.returncode), printed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_run", description="The first run on a GPU.")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all parts together (default: 8)")
    parser.add_argument("--folder", type=Path, default=Path("first-run"), help="for the results (default: first-run)")
    options = parser.parse_args()
    if not options.minutes > 0:
        parser.error(f"--minutes must be above 0; got {options.minutes}")
    outcomes = run(PARTS, 60 * options.minutes, options.folder)
    sys.exit(any(outcome.end != "ok" for outcome in outcomes))


if __name__ == "__main__":
    main()
