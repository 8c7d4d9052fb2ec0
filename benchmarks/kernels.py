"""What each kernel gains: the op as its own file has it beside the kernel, at the book's shapes."""

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_gpt import ops
from tinygrad_gpt.kernels import cpu, default_num_threads, keep_freed_memory, use_threads
from tinygrad_gpt.ops.adamw import adamw_step

B, T, C, H, V = 2, 256, 768, 12, 50257


def run() -> str:
    """The table: medians of 9 calls, with the threads that BLAS has by default on the left, ours on the right."""
    keep_freed_memory()
    lines = ["| | forward, ms: op | kernel | backward, ms: op | kernel |", "|---|---|---|---|---|"]
    for name, (op, kernel, arrays, settings) in cases().items():
        slow = timed(op, arrays, settings)
        with use_threads(default_num_threads()):
            fast = timed(kernel, arrays, settings)
        forward, backward = ([f"{1000 * t[i]:.2f}" for t in (slow, fast)] for i in (0, 1))
        lines.append(f"| {name} | {' | '.join(forward)} | {' | '.join(backward)} |")
    p, dp, m, v = (numbers(20_000_000) for _ in range(4))
    settings = {"step": 3, "lr": 1e-9, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.1, "scale": 0.9}
    v = abs(v)
    slow_step = median(functools.partial(adamw_step, p, dp, m, v, **settings))
    with use_threads(default_num_threads()):
        fast_step = median(functools.partial(cpu.adamw_step, p, dp, m, v, **settings))
    lines.append(f"| AdamW, 20 million numbers | {1000 * slow_step:.0f} | {1000 * fast_step:.0f} | | |")
    return "\n".join(lines)


def numbers(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def cases() -> dict[str, Any]:
    """name -> (op, kernel, arrays, settings)"""
    x, targets = numbers(B, T, C), np.arange(B * T).reshape(B, T)
    dropout_mask = (numbers(B, H, T, T) > -1.28).astype(np.float32) / np.float32(0.9)
    return {
        "linear, 768 to 3072": (ops.linear, cpu.linear, (x, numbers(C, 4 * C), numbers(4 * C)), {}),
        "gelu, 3072 wide": (ops.gelu, cpu.gelu, (numbers(B, T, 4 * C),), {}),
        "layer_norm": (ops.layer_norm, cpu.layer_norm, (x, numbers(C), numbers(C)), {}),
        "causal_attention": (ops.causal_attention, cpu.causal_attention, (numbers(B, T, 3 * C),), {"n_heads": H}),
        "the same with dropout": (
            ops.causal_attention,
            cpu.causal_attention,
            (numbers(B, T, 3 * C), dropout_mask),
            {"n_heads": H},
        ),
        "linear_cross_entropy": (
            ops.linear_cross_entropy,
            cpu.linear_cross_entropy,
            (x, numbers(V, C) * np.float32(0.02), targets),
            {},
        ),
    }


def timed(op: Callable[..., Any], arrays: Any, settings: Any) -> tuple[float, float]:
    """Seconds forward and backward."""
    y, vjp = op(*arrays, **settings)
    dy = np.ones_like(y)
    return median(lambda: op(*arrays, **settings)), median(lambda: vjp(dy))


def median(call: Callable[[], Any], n: int = 9) -> float:
    times = []
    call()
    for _ in range(n):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
