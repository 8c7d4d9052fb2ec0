"""Training steps of all contenders on a GPU, one after the other, each alone in a process of its own."""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from safetensors.numpy import save_file

from benchmarks.cuda.worker import Measured, precision_of
from benchmarks.settings import SETTINGS, Setting
from benchmarks.training import installed
from tinygrad_gpt.nn.initial_weights import initial_weights

AGREE = {"float32": 1e-4, "tf32": 5e-4, "bfloat16": 2e-3}  # relative difference from the loss of ours in float32
REFERENCE = "ours, float32"
LONGEST = 160  # letters of a reason


def run(setting_name: str, names: Sequence[str], rounds: int) -> list[Measured]:
    """Each contender's own run.  Raises ValueError if losses differ."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        save_file(initial_weights(SETTINGS[setting_name].config, 0, "float32"), weights)
        found = [told(alone(name, setting_name, weights, rounds)) for name in names if installed(name)]
    check_losses(found)
    return found


def alone(name: str, setting_name: str, weights: Path, rounds: int) -> Measured:
    """What a contender's process measured, or why it ended: for lack of memory, say."""
    command = [sys.executable, "-m", "benchmarks.cuda.worker", name, setting_name, str(weights), str(rounds)]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        last = process.stderr.strip().splitlines()[-1:] or [f"ended with code {process.returncode}"]
        return Measured(name, failed=last[0][:LONGEST].replace("|", "/"))
    return Measured(**json.loads(process.stdout.splitlines()[-1]))


def told(measured: Measured) -> Measured:
    """The same, mentioned on stderr: the rest may take a while."""
    print(f"{measured.name}: {measured.failed or f'{1000 * measured.median:,.1f} ms'}", file=sys.stderr)
    return measured


def check_losses(found: Sequence[Measured]) -> None:
    """No comparison unless all compute the same, each as exactly as its precision allows."""
    losses = {m.name: m.loss for m in found if not m.failed}
    reference = losses.get(REFERENCE, next(iter(losses.values()), 0.0))
    for name, loss in losses.items():
        if not abs(loss - reference) <= AGREE[precision_of(name)] * abs(reference) or not math.isfinite(loss):
            raise ValueError(f"no ratio is printed: at equal weights the losses differ: {losses}")


def table(setting: Setting, found: Sequence[Measured]) -> str:
    """Milliseconds, tokens per second, ratio to ours in the same precision, memory."""
    lines = ["| | ms per step | tokens/s | ours / this | GPU memory |", "|---|---|---|---|---|"]
    ours = {precision_of(m.name): m.median for m in found if m.name.startswith("ours, ") and not m.failed}
    for m in found:
        if m.failed:
            lines.append(f"| {m.name} | {m.failed} | | | |")
            continue
        of_ours = ours.get(precision_of(m.name))
        ratio = "" if of_ours is None or m.name.startswith("ours") else f"{of_ours / m.median:.2f}"
        speed = f"{1000 * m.median:,.1f} | {setting.batch_size * setting.length / m.median:,.0f}"
        lines.append(f"| {m.name} | {speed} | {ratio} | {gigabytes(m)} |")
    return "\n".join(lines)


def memory_table(found: dict[int, list[Measured]]) -> str:
    """Batch size -> what was measured there; a column for each."""
    lines = ["| rows of a batch | " + " | ".join(map(str, found)) + " |", "|---" * (1 + len(found)) + "|"]
    for same in zip(*found.values(), strict=True):
        lines.append(f"| {same[0].name} | " + " | ".join(m.failed or gigabytes(m) for m in same) + " |")
    return "\n".join(lines)


def gigabytes(measured: Measured) -> str:
    """What it took of the GPU."""
    return f"{measured.peak / 1e9:.2f} GB"
