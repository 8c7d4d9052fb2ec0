"""tinygrad-gpt doctor: what this machine has, and which model fits it."""

import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

import numpy as np

from tinygrad_gpt import __version__
from tinygrad_gpt.backend import why_no_cuda
from tinygrad_gpt.cli.machine import memory_here
from tinygrad_gpt.cli.options import parse
from tinygrad_gpt.cli.prepare import memory_needed
from tinygrad_gpt.cli.terminal import human
from tinygrad_gpt.cli.train_options import Train
from tinygrad_gpt.kernels import default_num_threads
from tinygrad_gpt.nn import PRESETS, GPTConfig, count_parameters
from tinygrad_gpt.text.gpt2 import VOCAB_BPE_SHA256, merge_table

LIBRARIES = ("numpy", "tiktoken", "tyro", "threadpoolctl", "tqdm", "matplotlib")
SIDE = 1024  # of the matrices multiplied
MANUAL_TOKENS, MANUAL_VOCABULARY = 86_000, 5_100  # of Python 3.11's reference manual, compact
EFFICIENCY = 0.4  # of the matrix product's speed that training reaches: the default run's; larger models reach more
PATIENCE = 30  # minutes


@dataclass(frozen=True)
class Doctor:
    """Show what this machine has, and which model fits it."""


def main(argv: Sequence[str]) -> int:
    """Look, measure, print; the exit code."""
    parse(Doctor, argv, "tinygrad-gpt doctor")
    for name, value in findings():
        print(f"{name:<12} {value}", flush=True)
    return 0


def findings() -> Iterator[tuple[str, str]]:
    """What there is to say, line by line, the quick things first."""
    yield "tinygrad-gpt", __version__
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    yield "libraries", ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    yield "cores", str(cores())
    here = memory_here()
    yield "memory", "unknown" if here is None else human(here, "B")
    yield "BLAS", blas()
    yield "threads", threads()
    reason = why_no_cuda()
    yield "GPU", gpu_name() if reason is None else f"none: {reason}"
    yield "tokenizer", tokenizer()
    speed = matmul_flops()
    yield "speed", f"{human(speed, 'FLOP/s')}, multiplying matrices of {SIDE} x {SIDE} in float32"
    yield from presets(speed)


def version(package: str) -> str:
    """The version that is installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "is missing"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blas() -> str:
    """The library that multiplies NumPy's matrices."""
    config: Any = np.show_config(mode="dicts")
    found = config.get("Build Dependencies", {}).get("blas", {})
    return f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()


def threads() -> str:
    """How many threads the commands share their work over, and which BLAS multiplies in each."""
    from threadpoolctl import threadpool_info

    libraries = sorted({pool["internal_api"] for pool in threadpool_info() if pool["user_api"] == "blas"})
    return f"{default_num_threads()}, each with {' and '.join(libraries) or 'a BLAS of unknown name'}"


def gpu_name() -> str:
    """The GPU, and the CuPy that drives it."""
    from tinygrad_gpt.backend import to_device

    cupy: Any = sys.modules[type(to_device(np.zeros(1), "cuda")).__module__.split(".")[0]]
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    return f"{properties['name'].decode()}, {human(properties['totalGlobalMem'], 'B')}, CuPy {cupy.__version__}"


def tokenizer() -> str:
    """Whether GPT-2's merge table is whole, and its hash."""
    try:
        merge_table()
    except RuntimeError as error:
        return str(error)
    return f"GPT-2's merge table is whole, sha256 {VOCAB_BPE_SHA256[:16]}..."


def matmul_flops(seconds: float = 0.5) -> float:
    """Floating-point operations per second of a float32 matrix product: the best of as many as fit in the time."""
    a = np.ones((SIDE, SIDE), np.float32)
    best, end = np.inf, time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        a @ a
        stop = time.perf_counter()
        best = min(best, stop - start)
        if stop > end:
            return 2 * SIDE**3 / best


def presets(speed: float) -> Iterator[tuple[str, str]]:
    """What `train --preset NAME` would take on this CPU, and the largest that is bearable."""
    yield "presets", f"as train has them by default, {Train().training.epochs} epochs of Python's reference manual:"
    here, best = memory_here(), "tiny"
    for name, preset in PRESETS.items():
        config = preset if name.startswith("gpt2-") else replace(preset, vocab_size=MANUAL_VOCABULARY)
        minutes = training_flops(config) / (EFFICIENCY * speed) / 60
        needed = memory_needed(config, Train().training.batch_size)
        fits = here is None or needed < here
        if fits and minutes <= PATIENCE:
            best = name
        memory = f"{human(needed, 'B')} of memory" + ("" if fits else ", more than there is")
        size = f"{human(count_parameters(config)):>7} parameters"
        yield "", f"{name:<10} {size}, {time_in_words(minutes)}, {memory}"
    yield "suggestion", f"tinygrad-gpt train --preset {best}"


def training_flops(config: GPTConfig) -> float:
    """Operations of the default run with this shape: per token 6 for each weight it is multiplied with (2 forward, 4
    backward), and 12 T C per layer for attention."""
    C, T = config.emb_dim, config.context_length
    weights = 12 * config.n_layers * C * C + config.vocab_size * C
    return Train().training.epochs * MANUAL_TOKENS * (6 * weights + 12 * config.n_layers * T * C)


def time_in_words(minutes: float) -> str:
    """About how long."""
    if minutes < 1:
        return "less than a minute"
    if minutes < 90:
        return f"about {minutes:.0f} min"
    return f"about {minutes / 60:.0f} h" if minutes < 60 * 72 else f"about {minutes / 1440:.0f} days"
