"""What it costs the host to ask a GPU for something: nothing here waits for the GPU."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.cuda import ours
from benchmarks.cuda.arrays import cupy, numbers, torch_has_a_gpu
from benchmarks.cuda.clock import CupyClock
from tinygrad_gpt import ops
from tinygrad_gpt.kernels import cuda
from tinygrad_gpt.nn import GPTConfig
from tinygrad_gpt.nn.initial_weights import initial_weights
from tinygrad_gpt.ops.gelu import A, C
from tinygrad_gpt.tape import Tensor, apply

CALLS = 200  # in a row: fewer than a GPU keeps in its queue
SIDE = 32  # of arrays so small that the GPU is done before the next call


def table(clock: CupyClock, config: GPTConfig, rounds: int) -> str:
    """Microseconds of each."""
    calls = our_calls()
    if torch_has_a_gpu():
        calls |= their_calls("cuda")
    lines = ["| | µs of the host's time |", "|---|---|"]
    for name, call in calls.items():
        lines.append(f"| {name} | {1e6 * host_seconds(clock, call, rounds, CALLS):,.1f} |")
    seconds = host_seconds(clock, a_step(config), rounds, 1)
    lines.append(f"| a training step of one row of {config.context_length} | {1e6 * seconds:,.0f} |")
    return "\n".join(lines)


def host_seconds(clock: CupyClock, call: Callable[[], Any], rounds: int, calls: int) -> float:
    """Of one call, until it returns; median of rounds, after one that is not counted."""
    times = []
    for _ in range(rounds + 1):
        clock.wait()
        started = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - started) / calls)
    clock.wait()
    return statistics.median(times[1:])


def our_calls() -> dict[str, Callable[[], Any]]:
    """The ways in which we ask."""
    xp, x, y = cupy(), numbers(SIDE, SIDE), numbers(SIDE, SIDE)
    how: dict[str, Any] = {"grid": 1, "block": 256, "defines": {"T": "float", "C": C, "A": A}}
    recorded = Tensor(x, True)
    return {
        "launch of a kernel": lambda: cuda.launch("gelu.cu", "gelu_forward", x, y, x.size, **how),
        "gemm": lambda: cuda.gemm(x, y),
        "an op on the tape (gelu)": lambda: apply(ops.gelu, recorded),
        "CuPy ufunc": lambda: xp.exp(x),
        "CuPy empty": lambda: xp.empty((SIDE, SIDE), "float32"),
    }


def their_calls(device: str) -> dict[str, Callable[[], Any]]:
    """Their like in PyTorch."""
    import torch
    import torch.nn.functional as F

    x = torch.rand((SIDE, SIDE), device=device)
    recorded = torch.rand((SIDE, SIDE), device=device, requires_grad=True)
    return {
        "PyTorch mm": lambda: torch.mm(x, x),
        "PyTorch gelu, recorded": lambda: F.gelu(recorded, approximate="tanh"),
        "PyTorch exp": lambda: torch.exp(x),
        "PyTorch empty": lambda: torch.empty((SIDE, SIDE), device=device),
    }


def a_step(config: GPTConfig) -> Callable[[], Any]:
    """Training on one row."""
    _, step = ours.contender(config, initial_weights(config, 0, "float32"), "float32")
    ids = np.arange(config.context_length)[None] % config.vocab_size
    return lambda: step(ids, ids)
