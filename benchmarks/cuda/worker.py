"""A contender alone on the GPU: `python -m benchmarks.cuda.worker NAME SETTING WEIGHTS ROUNDS` prints what it took."""

import importlib
import json
import statistics
import sys
from dataclasses import asdict, dataclass, field

from safetensors.numpy import load_file

from benchmarks.cuda.clock import Clock, CupyClock, TorchClock, seconds_each
from benchmarks.settings import CUDA_CONTENDERS, SETTINGS, Setting

IN_A_ROW = 5  # steps of a round


@dataclass
class Measured:
    """What a contender took."""

    name: str
    loss: float = float("nan")  # of the weights that all begin with
    seconds: list[float] = field(default_factory=list)  # per step, of each round
    peak: int = 0  # bytes of the GPU, of which a pool gives nothing back before it must
    failed: str = ""  # why there is nothing

    @property
    def median(self) -> float:
        """Seconds per step."""
        return statistics.median(self.seconds)


def measure(name: str, setting: Setting, weights: str, rounds: int, clock: Clock) -> Measured:
    """The loss, then the steps."""
    module, function = CUDA_CONTENDERS[name].split(":")
    make, before, batch = getattr(importlib.import_module(module), function), clock.memory(), setting.batch()
    loss, step = make(setting.config, load_file(weights), precision_of(name))
    at_equal_weights = loss(*batch)
    seconds = seconds_each(clock, lambda: step(*batch), rounds, IN_A_ROW)
    return Measured(name, at_equal_weights, seconds, clock.memory() - before)


def precision_of(name: str) -> str:
    """The last word of a contender's name."""
    return name.rsplit(", ", 1)[1]


def main(name: str, setting_name: str, weights: str, rounds: str) -> None:
    clock = CupyClock() if name.startswith("ours") else TorchClock()
    print(json.dumps(asdict(measure(name, SETTINGS[setting_name], weights, int(rounds), clock))))


if __name__ == "__main__":
    main(*sys.argv[1:])
