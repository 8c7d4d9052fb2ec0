"""Tokens per second, one row, greedy, on a GPU: with and without the cache, beside Hugging Face's generate."""

import importlib.util
import statistics
from collections.abc import Callable, Sequence

from benchmarks.cuda.arrays import torch_has_a_gpu
from benchmarks.cuda.clock import Clock
from benchmarks.generation import CONFIG, PROMPT, hugging_face
from tinygrad_gpt import GPT, generate
from tinygrad_gpt.kernels import cuda

COUNTS = (50, 200, 800)
MOST_UNCACHED = 200  # tokens
Continue = Callable[[int], list[int]]  # how many tokens -> they


def table(clock: Clock, rounds: int) -> str:
    """Speeds, and how long each text is that of ours in float32."""
    model = GPT(CONFIG, seed=0, device="cuda")
    contenders = {
        f"ours, {how}, {precision}": ours(model, PROMPT, precision, use_cache=use_cache)
        for how, use_cache in (("cached", True), ("without the cache", False))
        for precision in ("float32", "bfloat16")
    }
    if torch_has_a_gpu() and importlib.util.find_spec("transformers") is not None:
        for precision in ("float32", "bfloat16"):
            contenders[f"Hugging Face generate, {precision}"] = hugging_face(model, "cuda", precision)
    return compared(clock, contenders, COUNTS, rounds)


def compared(clock: Clock, contenders: dict[str, Continue], counts: Sequence[int], rounds: int) -> str:
    """The table.  Roundings differ on a GPU, and where two tokens are nearly as likely a text may go another way."""
    counted = " | ".join(map(str, counts))
    lines = [f"| tokens/s over the first | {counted} tokens | the same text up to |", "|---" * (2 + len(counts)) + "|"]
    first: list[int] = []
    for name, contender in contenders.items():
        speeds, text = [], contender(3)  # warm
        for n in counts:
            if "without the cache" in name and n > MOST_UNCACHED:
                speeds.append("")
                continue
            times = []
            for _ in range(rounds):
                start = clock.mark()
                text = contender(n)
                times.append(clock.seconds(start, clock.mark()))
            speeds.append(f"{n / statistics.median(times):,.1f}")
        first = first or text
        lines.append(f"| {name} | {' | '.join(speeds)} | {in_common(first, text)} of {min(len(first), len(text))} |")
    return "\n".join(lines)


def ours(model: GPT, prompt: Sequence[int], precision: str, *, use_cache: bool) -> Continue:
    """Our own generation."""

    def continued(n: int) -> list[int]:
        with cuda.precision(precision):
            return [int(ids[0]) for ids in generate(model, [prompt], n, use_cache=use_cache)]

    return continued


def in_common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    pairs = zip(a, b, strict=False)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))
