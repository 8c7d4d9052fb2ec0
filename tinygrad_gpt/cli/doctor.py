"""tinygrad-gpt doctor: what this machine has, and which model fits it."""

import os
import platform
import shutil
import textwrap
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

import numpy as np

from tinygrad_gpt.backend import array_module, first_line, to_device, why_no_cuda
from tinygrad_gpt.cli.parsing import parse
from tinygrad_gpt.cli.terminal import human_number
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.kernels import default_num_threads, use_threads
from tinygrad_gpt.kernels.limits import core_count, cores_allowed, cpu_quota, memory_limit_bytes
from tinygrad_gpt.kernels.threads import threads_variable
from tinygrad_gpt.nn import PRESETS, GPTConfig, count_parameters
from tinygrad_gpt.nn.cost import training_bytes, training_flops
from tinygrad_gpt.text.gpt2 import VOCAB_BPE_SHA256, merge_table
from tinygrad_gpt.version import __version__

_LIBRARIES = ("numpy", "tiktoken", "tyro", "threadpoolctl", "tqdm", "matplotlib")
MATRIX_SIDE = 384  # rows and columns; a product takes a millisecond or two
_MIN_COLUMNS = 60
_MIN_CPU_SHARE = 0.8  # of a thread's time; with less, other programs use the processor
SMALL_BATCH, SHORT_CONTEXT = 2, 64  # smaller ones are not worth training with
MANUAL_TOKENS, MANUAL_VOCABULARY = 86_000, 5_100  # of Python 3.11's reference manual, compact
_TRAINING_EFFICIENCY = 0.4  # training speed / speed of matrix products, in the default run; larger models reach more
_PATIENCE_MINUTES = 30


@dataclass(frozen=True)
class Doctor:
    """Show what this machine has, and which model fits it."""


def main(argv: Sequence[str]) -> int:
    """Look, measure, print; the exit code."""
    parse(Doctor, argv, "tinygrad-gpt doctor")
    width = max(_MIN_COLUMNS, shutil.get_terminal_size().columns)
    for name, value in _findings():
        line = f"{name:<12} {value}"
        print(line if name == "suggestion" else _fold_line(line, width), flush=True)  # a command to copy stays whole
    return 0


def _fold_line(line: str, width: int) -> str:
    return textwrap.fill(line, width, subsequent_indent=" " * 15, break_long_words=False, break_on_hyphens=False)


def _findings() -> Iterator[tuple[str, str]]:
    """The lines to print, as name and value, quick ones first."""
    yield "tinygrad-gpt", __version__
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    yield "libraries", ", ".join(f"{name} {_version_in_words(name)}" for name in _LIBRARIES)
    yield "cores", _cores_in_words()
    here = memory_limit_bytes()
    yield "memory", "unknown" if here is None else human_number(here, "B")
    yield "BLAS", _blas_in_words()
    yield "threads", _threads_in_words()
    yield "GPU", _gpu_in_words()
    yield "tokenizer", _tokenizer_in_words()
    speed = matmul_speed()
    yield (
        "speed",
        f"{human_number(speed.flops, 'FLOP/s')}, multiplying matrices of {MATRIX_SIDE} x {MATRIX_SIDE} in float32",
    )
    if speed.share < _MIN_CPU_SHARE:
        yield "", f"other programs are busy, this one had {speed.share:.0%} of the time: training would take longer now"
    yield from _presets(speed)


def _version_in_words(package: str) -> str:
    """The version that is installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "is missing"


def _cores_in_words() -> str:
    """How many cores this process may use, and what limits them."""
    n, allowed, there, quota = core_count(), cores_allowed(), os.cpu_count(), cpu_quota()
    if quota is not None and n < allowed:
        return f"{n} of {there}: the container's CPU quota is {quota:g}"
    return str(n) if there is None or allowed >= there else f"{n} of {there}: this process may not run on the others"


def _blas_in_words() -> str:
    """The library that multiplies NumPy's matrices."""
    config: Any = np.show_config(mode="dicts")
    found = config.get("Build Dependencies", {}).get("blas", {})
    return f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()


def _threads_in_words() -> str:
    """How many threads the commands use, why, and which BLAS multiplies in each."""
    from threadpoolctl import threadpool_info

    libraries = sorted({pool["internal_api"] for pool in threadpool_info() if pool["user_api"] == "blas"})
    variable = threads_variable()
    why = "one per core" if variable is None else f"{variable} says so"
    return f"{default_num_threads()} ({why}), each with {' and '.join(libraries) or 'a BLAS of unknown name'}"


def _gpu_in_words() -> str:
    """The GPU and CuPy's version, or why there is none."""
    reason = why_no_cuda()
    if reason is not None:
        return f"none: {reason}"
    try:
        return _gpu_name()
    except Exception as error:  # out of memory, or in use by another process: CUDA has its own errors
        return f"there is one, but it cannot be used: {first_line(error)}"


def _gpu_name() -> str:
    """The GPU and CuPy's version."""
    cupy: Any = array_module(to_device(np.zeros(1), "cuda"))
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    return f"{properties['name'].decode()}, {human_number(properties['totalGlobalMem'], 'B')}, CuPy {cupy.__version__}"


def _tokenizer_in_words() -> str:
    """Whether GPT-2's merge table is undamaged, and its hash."""
    try:
        merge_table()
    except RuntimeError as error:
        return str(error)
    return f"GPT-2's merge table is whole, sha256 {VOCAB_BPE_SHA256[:16]}..."


@dataclass(frozen=True)
class Speed:
    """Speed of matrix products: operations per second, and the share of the processor's time that was ours."""

    flops: float
    share: float


def matmul_speed(seconds: float = 0.5) -> Speed:
    """Multiply float32 matrices for some time, in as many threads as commands use.

    The fastest of each thread's many short products counts: other programs cannot interrupt all of them.
    """
    n = default_num_threads()
    with use_threads(n), ThreadPoolExecutor(n) as pool:
        found = list(pool.map(lambda _: multiply(seconds), range(n)))
    return Speed(sum(2 * MATRIX_SIDE**3 / best for best, _ in found), sum(share for _, share in found) / n)


def multiply(seconds: float) -> tuple[float, float]:
    """Multiply matrices in this thread; the seconds of the fastest product, and the share of time spent computing."""
    a = np.ones((MATRIX_SIDE, MATRIX_SIDE), np.float32)
    out = np.empty_like(a)
    best, begun, computed = np.inf, time.perf_counter(), time.thread_time()
    while True:
        start = time.perf_counter()
        np.matmul(a, a, out=out)
        stop = time.perf_counter()
        best = min(best, stop - start)
        if stop > begun + seconds:
            return best, (time.thread_time() - computed) / (stop - begun)


def _presets(speed: Speed) -> Iterator[tuple[str, str]]:
    """What `train --preset NAME` would take on this CPU, and the largest preset that takes at most half an hour."""
    yield "presets", f"as train has them by default, {Train().training.epochs} epochs of Python's reference manual:"
    here, best, n_tokens = memory_limit_bytes(), "", Train().training.epochs * MANUAL_TOKENS
    for name, preset in PRESETS.items():
        config = preset if name.startswith("gpt2-") else replace(preset, vocab_size=MANUAL_VOCABULARY)
        minutes = training_flops(config, n_tokens) / (_TRAINING_EFFICIENCY * speed.flops) / 60
        fitting = largest_fitting(config, here)
        if fitting is not None and (minutes <= _PATIENCE_MINUTES or not best):
            best = f"tinygrad-gpt train --preset {name}{fitting.flags}"
        size = f"{human_number(count_parameters(config)):>7} parameters"
        yield "", f"{name:<10} {size}, {_time_in_words(minutes)}, {_memory_in_words(config, fitting)}"
    yield "suggestion", best or "none of the presets fits into the memory of this machine"


@dataclass(frozen=True)
class Fitting:
    """The flags with which a preset fits into memory ("" if none are needed), and its bytes then."""

    flags: str
    needed: int


def largest_fitting(config: GPTConfig, here: int | None) -> Fitting | None:
    """How the preset fits into memory: as it is, with smaller batches, or a shorter context too.  None: not at all."""
    batch, context, flags = Train().training.batch_size, config.context_length, ""
    while True:
        needed = training_bytes(replace(config, context_length=context), batch)
        if here is None or needed <= here:
            return Fitting(flags, needed)
        if batch > SMALL_BATCH:
            batch //= 2
        elif context > SHORT_CONTEXT:
            context //= 2
        else:
            return None
        flags = f" --batch-size {batch}" + (f" --context-length {context}" if context < config.context_length else "")


def _memory_in_words(config: GPTConfig, fitting: Fitting | None) -> str:
    """How much memory a preset takes, and the flags that reduce it if there is too little."""
    needed = f"{human_number(training_bytes(config, Train().training.batch_size), 'B')} of memory"
    if fitting is None:
        return f"{needed}, more than there is"
    return needed + (
        f", more than there is; {human_number(fitting.needed, 'B')} with{fitting.flags}" if fitting.flags else ""
    )


def _time_in_words(minutes: float) -> str:
    """About how long."""
    if minutes < 1:
        return "less than a minute"
    if minutes < 90:
        return f"about {minutes:.0f} min"
    return f"about {minutes / 60:.0f} h" if minutes < 60 * 72 else f"about {minutes / 1440:.0f} days"
