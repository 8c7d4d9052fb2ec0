"""A contender in a process of its own: `python -m benchmarks.worker NAME SETTING WEIGHTS` does as told on stdin.

loss    the loss without dropout, on the batch
step    one training step: its seconds
peak    the most memory that this process has held, in bytes
"""

import importlib
import json
import os
import sys
import time

from safetensors.numpy import load_file

from benchmarks.settings import CONTENDERS, SETTINGS
from tinygrad_gpt.cli.process_limits import peak_memory
from tinygrad_gpt.kernels import default_num_threads


def main(name: str, setting_name: str, weights: str) -> None:
    setting = SETTINGS[setting_name]
    if hasattr(os, "sched_setaffinity"):  # as many cores as threads, for all alike
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: default_num_threads()])
    module, function = CONTENDERS[name].split(":")
    make = getattr(importlib.import_module(module), function)
    loss, step = make(setting.config, load_file(weights))
    ids, targets = setting.batch()
    for command in sys.stdin:
        if command == "loss\n":
            answer = None if loss is None else loss(ids, targets)
        elif command == "step\n":
            started = time.perf_counter()
            step(ids, targets)
            answer = time.perf_counter() - started
        else:
            answer = peak_memory()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
