"""Products at the shapes of GPT-2 124M: our way to cuBLAS beside PyTorch's."""

from collections.abc import Callable
from typing import Any

from benchmarks.cuda import floors
from benchmarks.cuda.arrays import numbers, stored, torch_has_a_gpu
from benchmarks.cuda.clock import CupyClock, seconds_of
from tinygrad_gpt.kernels import cuda
from tinygrad_gpt.nn import GPTConfig

Make = Callable[..., Any]  # (rows, columns) -> a matrix
Multiply = Callable[[Any, Any, Any], Any]  # a, b, out
Sizes = tuple[int, int, int]  # M, K, N


def table(clock: CupyClock, config: GPTConfig, batch_size: int, rounds: int) -> str:
    """TFLOP/s of each, in each precision."""
    contenders = {"ours": ours}
    if torch_has_a_gpu():
        contenders["PyTorch"] = theirs
    columns = [(who, precision) for precision in cuda.PRECISIONS for who in contenders]
    lines = [f"| TFLOP/s | M x K x N | {' | '.join(map(', '.join, columns))} |", "|---" * (2 + len(columns)) + "|"]
    for name, transposed, sizes in products(config, batch_size):
        speeds = (speed(clock, *contenders[who](precision), transposed, sizes, rounds) for who, precision in columns)
        lines.append(f"| {name} | {' x '.join(map(str, sizes))} | {' | '.join(f'{s / 1e12:,.0f}' for s in speeds)} |")
    return "\n".join(lines)


def speed(clock: CupyClock, make: Make, multiply: Multiply, transposed: str, sizes: Sizes, rounds: int) -> float:
    """Operations per second."""
    a, b, out = operands(make, transposed, *sizes)
    return floors.gemm(*sizes, e=4).flops / seconds_of(clock, lambda: multiply(a, b, out), rounds)


def products(config: GPTConfig, batch_size: int) -> list[tuple[str, str, Sizes]]:
    """Name, which operand is transposed, (M, K, N), of every kind of product in a step outside of attention."""
    C, N = config.emb_dim, batch_size * config.context_length
    layers = {
        "c_attn": (C, 3 * C, ""),
        "attn.c_proj": (C, C, ""),
        "c_fc": (C, 4 * C, ""),
        "mlp.c_proj": (4 * C, C, ""),
        "head": (C, config.vocab_size, "b"),  # its weight is (V, C)
    }
    found = []
    for name, (inputs, outputs, weight) in layers.items():
        found.append((f"{name}, y", weight, (N, inputs, outputs)))
        found.append((f"{name}, dx", "" if weight else "b", (N, outputs, inputs)))
        rows, columns = (outputs, inputs) if weight else (inputs, outputs)
        found.append((f"{name}, dW", "a", (rows, N, columns)))
    return found


def operands(make: Make, transposed: str, M: int, K: int, N: int) -> tuple[Any, Any, Any]:
    """a (M, K), b (K, N), out (M, N), one of the first two a view of its transpose."""
    a = make(K, M).T if transposed == "a" else make(M, K)
    return a, make(N, K).T if transposed == "b" else make(K, N), make(M, N)


def ours(precision: str) -> tuple[Make, Multiply]:
    """cuda.gemm on CuPy's arrays."""

    def multiply(a: Any, b: Any, out: Any) -> Any:
        with cuda.precision(precision):
            return cuda.gemm(a, b, out)

    return lambda *shape: stored(numbers(*shape), precision), multiply


def theirs(precision: str, device: str = "cuda") -> tuple[Make, Multiply]:
    """torch.matmul on its tensors."""
    import torch

    from benchmarks.cuda.rival_torch import multiply_in

    multiply_in(precision)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32

    def make(*shape: int) -> torch.Tensor:
        return (torch.rand(shape, device=device) - 0.5).to(dtype)

    return make, lambda a, b, out: torch.matmul(a, b, out=out)
