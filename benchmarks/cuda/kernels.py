"""Each kernel's time beside its floor, at the shapes of a training step of GPT-2 124M."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.cuda import floors
from benchmarks.cuda.arrays import ids_below, numbers, stored
from benchmarks.cuda.clock import CupyClock, seconds_of
from benchmarks.cuda.floors import Floor
from benchmarks.cuda.roof import Roof
from tinygrad_gpt import ops
from tinygrad_gpt.kernels import cuda, kernel_for
from tinygrad_gpt.nn import GPTConfig
from tinygrad_gpt.nn.config import parameter_shapes
from tinygrad_gpt.optim import AdamW
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.tape import Tensor

HEADER = "| | shape | ms | GB/s | TFLOP/s | share of the floor |\n|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Case:
    """An op on arrays, and the least that it and its vjp cost."""

    name: str
    op: Callable[..., Any]
    arrays: tuple[Any, ...]
    settings: dict[str, Any]
    floors: floors.Both


def table(clock: CupyClock, config: GPTConfig, batch_size: int, precision: str, roof: Roof, rounds: int) -> str:
    """Rows forward and backward of every kernel of a step in this precision."""
    lines = [HEADER]

    def row(name: str, shape: str, floor: Floor, seconds: float) -> None:
        rates = f"{floor.nbytes / seconds / 1e9:,.0f} | {floor.flops / seconds / 1e12:,.1f}"
        share = roof.share(floor, precision, seconds)
        lines.append(f"| {name} | {shape} | {1000 * seconds:.3f} | {rates} | {100 * share:.0f} % |")

    with cuda.precision(precision):
        for case in cases(config, batch_size, precision):
            shape = "x".join(map(str, case.arrays[0].shape))
            for name, floor, seconds in zip(("", ", backward"), case.floors, timed(clock, case, rounds), strict=True):
                if floor.nbytes:
                    row(case.name + name, shape, floor, seconds)
    if precision == "float32":  # it is the same in all
        optimizer = an_optimizer(config)
        n = sum(p.data.size for p in optimizer.parameters.values())
        seconds = seconds_of(clock, lambda: optimizer.step(max_norm=1.0), rounds)
        row("AdamW, the norm included", f"{n:,} numbers", floors.adamw(n), seconds)
    return "\n".join(lines)


def timed(clock: CupyClock, case: Case, rounds: int) -> tuple[float, float]:
    """Seconds forward and backward."""
    kernel = kernel_for(case.op, *case.arrays, **case.settings)
    y, vjp = kernel(*case.arrays, **case.settings)
    forward = seconds_of(clock, lambda: kernel(*case.arrays, **case.settings), rounds)
    return forward, seconds_of(clock, lambda: vjp(y), rounds)  # any dy of y's kind will do


def cases(config: GPTConfig, batch_size: int, precision: str) -> Iterator[Case]:
    """The ops of a step, one after the other.  Of tf32, those that multiply: the others know no difference."""
    B, T, C, H, V = batch_size, config.context_length, config.emb_dim, config.n_heads, config.vocab_size
    N, e = B * T, 2 if precision == "bfloat16" else 4

    def between(*shape: int) -> Any:
        return stored(numbers(*shape), precision)

    yield linear_case(between(B, T, C), numbers(C, 4 * C), e)
    yield linear_case(between(B, T, 4 * C), numbers(4 * C, C), e)
    attention = floors.causal_attention(B, T, H, C // H, e)
    yield Case("causal_attention", ops.causal_attention, (between(B, T, 3 * C),), {"n_heads": H}, attention)
    mask = Dropout(0, 1).lazy_mask(0, (B, H, T, T), 0.1)
    dropped = "causal_attention with dropout"
    yield Case(dropped, ops.causal_attention, (between(B, T, 3 * C), mask), {"n_heads": H}, attention)
    ids = ids_below(V, B, T)
    head = floors.linear_cross_entropy(N, C, V, e)
    yield Case(
        "linear_cross_entropy", ops.linear_cross_entropy, (between(B, T, C), numbers(V, C) * 0.02, ids), {}, head
    )
    if precision == "tf32":
        return
    yield Case("layer_norm", ops.layer_norm, (numbers(B, T, C), numbers(C), numbers(C)), {}, floors.layer_norm(N, C, e))
    yield Case("gelu", ops.gelu, (between(B, T, 4 * C),), {}, floors.gelu(4 * N * C, e))
    mask = Dropout(0, 1).lazy_mask(0, (B, T, C), 0.1)
    yield Case("dropout", ops.dropout, (between(B, T, C), mask), {}, floors.dropout(N * C, e))
    yield Case("add", ops.add, (numbers(B, T, C), between(B, T, C)), {}, floors.add(N * C, e))
    if precision == "float32":
        yield Case("embedding", ops.embedding, (numbers(V, C), ids), {}, floors.embedding(N, C, V))


def linear_case(x: Any, weight: Any, e: int) -> Case:
    """x (B, T, I), weight (I, O)."""
    rows, (inputs, outputs) = x.shape[0] * x.shape[1], weight.shape
    arrays = x, weight, weight[0].copy()
    floor = floors.linear(rows, inputs, outputs, e)
    return Case(f"linear, {inputs} to {outputs}", ops.linear, arrays, {}, floor)


def an_optimizer(config: GPTConfig) -> AdamW:
    """Of a model's parameters, each with a gradient."""
    parameters = {name: Tensor(numbers(*shape), True) for name, shape in parameter_shapes(config).items()}
    for p in parameters.values():
        p.grad = p.data.copy()
    return AdamW(parameters, lr=1e-6)
