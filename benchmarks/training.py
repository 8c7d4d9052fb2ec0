"""Training steps of all contenders, in turn, each in its own process."""

import importlib.util
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from benchmarks.settings import CONTENDERS, SETTINGS, Setting
from tinygrad_gpt import GPT

NEEDS = {"PyTorch": "torch", "torch.compile": "torch", "JAX": "jax", "HIPS": "autograd"}
AGREE = 1e-4  # relative difference of losses at equal weights: float32's rounding, over twelve layers
WARM_UP = 2
REST = 0.5  # seconds: the threads of the last contender wait busily for more work, for a while


@dataclass
class Contender:
    """A process that takes training steps when told to."""

    name: str
    process: subprocess.Popen[str]
    loss: float | None = None
    seconds: list[float] = field(default_factory=list)
    peak: int = 0

    def ask(self, command: str) -> Any:
        """Its answer.  Raises RuntimeError if it has died."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with code {self.process.wait()}")
        return json.loads(line)

    @property
    def median(self) -> float:
        """Seconds per step."""
        return statistics.median(self.seconds)


def installed(name: str) -> bool:
    """Whether what a contender needs is there."""
    needed = next((package for start, package in NEEDS.items() if name.startswith(start)), None)
    return needed is None or importlib.util.find_spec(needed) is not None


def run(setting_name: str, names: Sequence[str], rounds: int) -> list[Contender]:
    """Each contender warmed up, then some steps of each in turn.  Raises ValueError if losses differ."""
    setting = SETTINGS[setting_name]
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        parameters = GPT(setting.config, seed=0).parameters()
        save_file({name: tensor.data for name, tensor in parameters.items()}, weights)
        del parameters
        found = [start(name, setting_name, weights) for name in names if installed(name)]
        try:
            for contender in found:  # one after the other: nobody's start disturbs another's
                contender.loss = contender.ask("loss")
                for _ in range(WARM_UP):
                    contender.ask("step")
            check_losses(found)
            for _ in range(rounds):
                for contender in found:
                    time.sleep(REST)
                    steps = [contender.ask("step") for _ in range(setting.burst)]
                    contender.seconds += steps[1:] or steps
            for contender in found:
                contender.peak = contender.ask("peak")
        finally:
            for contender in found:
                with contender.process as process:  # closes its pipes, waits for its end
                    process.kill()
    return found


def start(name: str, setting_name: str, weights: Path) -> Contender:
    """The contender's process."""
    assert name in CONTENDERS
    command = [sys.executable, "-m", "benchmarks.worker", name, setting_name, str(weights)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return Contender(name, process)


def check_losses(contenders: Sequence[Contender]) -> None:
    """No comparison unless all compute the same."""
    losses = {contender.name: contender.loss for contender in contenders if contender.loss is not None}
    if not losses:
        return
    low, high = min(losses.values()), max(losses.values())
    if not all(map(math.isfinite, losses.values())) or high - low > AGREE * high:
        raise ValueError(f"no ratio is printed: at equal weights the losses differ: {losses}")


def table(setting: Setting, contenders: Sequence[Contender]) -> str:
    """Seconds, ratio to ours, memory."""
    ours = next(contender for contender in contenders if contender.name == "ours")
    lines = ["| | ms per step | tokens/s | ours / this | peak memory |", "|---|---|---|---|---|"]
    for c in contenders:
        tokens = setting.batch_size * setting.length / c.median
        ratio = "" if c is ours else f"{ours.median / c.median:.2f}"
        memory = "" if c.loss is None else f"{c.peak / 1e9:.2f} GB"
        lines.append(f"| {c.name} | {1000 * c.median:,.0f} | {tokens:,.0f} | {ratio} | {memory} |")
    return "\n".join(lines)
