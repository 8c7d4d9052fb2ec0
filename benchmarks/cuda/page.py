"""All of it on a GPU, section by section."""

import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

from benchmarks.cuda import decoding, gemm, kernels, launching, roof, training
from benchmarks.cuda.arrays import cupy
from benchmarks.cuda.clock import CupyClock
from benchmarks.settings import CUDA_CONTENDERS, GPT2, SETTINGS
from tinygrad_gpt.kernels.cuda import PRECISIONS

KERNELS_BATCH = 8
STEPS = [name for name in CUDA_CONTENDERS if "checkpointing" not in name]


def machine() -> str:
    """Where this was measured.  Raises UnavailableDeviceError without a GPU."""
    return described(cupy().cuda.runtime, driver())


def described(runtime: Any, driver: str) -> str:
    """Device, driver, versions."""
    properties = runtime.getDeviceProperties(0)
    device = f"{properties['name'].decode()}, {properties['totalGlobalMem'] / 2**30:.0f} GiB"
    used, known = (version(n) for n in (runtime.runtimeGetVersion(), runtime.driverGetVersion()))
    return (
        f"{time.strftime('%Y-%m-%d')}, {device}, driver {driver} (up to CUDA {known}); CUDA {used}; "
        f"Python {platform.python_version()}, {', '.join(packages())}."
    )


def packages() -> list[str]:
    """Names and versions of what takes part, as installed: CuPy's name tells for which CUDA it is."""
    versions = {d.name: d.version for d in metadata.distributions()}
    names = [*sorted(name for name in versions if name.startswith("cupy")), "numpy", "torch", "transformers"]
    return [f"{name} {versions[name]}" for name in names if name in versions]


def version(number: int) -> str:
    """13.0 of 13000, as CUDA counts."""
    return f"{number // 1000}.{number % 1000 // 10}"


def driver() -> str:
    """The driver's version, which nvidia-smi alone knows."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def training_tables(rounds: int, batch_sizes: Sequence[int]) -> str:
    """A table for each batch size."""
    settings = {f"gpu-{rows}": SETTINGS[f"gpu-{rows}"] for rows in batch_sizes}
    tables = (f"{s.title}.\n\n{training.table(s, training.run(name, STEPS, rounds))}" for name, s in settings.items())
    return "\n\n".join(tables)


def memory(rounds: int, batch_sizes: Sequence[int]) -> str:
    """Of all contenders, checkpointing too."""
    return training.memory_table({rows: training.run(f"gpu-{rows}", list(CUDA_CONTENDERS), 1) for rows in batch_sizes})


def kernel_tables(rounds: int, batch_sizes: Sequence[int]) -> str:
    """A table for each precision, and what the shares refer to."""
    clock = CupyClock()
    of_gpu = roof.measured(clock, rounds)
    tables = [str(of_gpu)]
    for precision in PRECISIONS:
        tables.append(f"{precision}, batch {KERNELS_BATCH}:")
        tables.append(kernels.table(clock, GPT2, KERNELS_BATCH, precision, of_gpu, rounds))
    return "\n\n".join(tables)


# In this order: what the later ones leave in this process's pools, the processes of the first two would lack.
SECTIONS: dict[str, tuple[str, Callable[[int, Sequence[int]], str]]] = {
    "training": ("A training step of GPT-2 124M", training_tables),
    "memory": ("What a training step holds of the GPU", memory),
    "kernels": ("Each kernel beside its floor", kernel_tables),
    "gemm": ("Matrix products", lambda rounds, batch_sizes: gemm.table(CupyClock(), GPT2, KERNELS_BATCH, rounds)),
    "launch": ("What a call costs the host", lambda rounds, batch_sizes: launching.table(CupyClock(), GPT2, rounds)),
    "decoding": ("Generation", lambda rounds, batch_sizes: decoding.table(CupyClock(), rounds)),
}
