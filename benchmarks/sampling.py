"""From logits to the next tokens: milliseconds for a batch, beside Hugging Face's warpers with torch.multinomial.

Logits are normal numbers of deviation 2, as flat as those of a model that has hardly been trained; float32 for both.
Before the timing, both compute the probabilities, which must agree.
"""

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_gpt import probabilities, sample
from tinygrad_gpt.kernels import default_num_threads, keep_freed_memory

VOCAB_SIZE = 50257
BATCH_SIZES = (1, 64)
ROUNDS = 15
SETTINGS: dict[str, dict[str, Any]] = {
    "temperature 0.8": {"temperature": 0.8},
    "temperature 0.8, top-k 50": {"temperature": 0.8, "top_k": 50},
    "temperature 0.8, top-p 0.9": {"temperature": 0.8, "top_p": 0.9},
    "temperature 0.8, min-p 0.05": {"temperature": 0.8, "min_p": 0.05},
}


def run() -> str:
    """The table."""
    keep_freed_memory()
    rival = importlib.util.find_spec("transformers") is not None
    head = ["ms", *(f"ours, {B} rows" for B in BATCH_SIZES)]
    if rival:
        head += [cell for B in BATCH_SIZES for cell in (f"Hugging Face, {B}", f"ours / this, {B}")]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for title, settings in SETTINGS.items():
        ours, theirs = [], []
        for B in BATCH_SIZES:
            rng = np.random.default_rng(B)
            logits = (2 * rng.normal(size=(B, VOCAB_SIZE))).astype(np.float32)
            u = rng.random(B)
            contenders: list[Callable[[], object]] = [lambda x=logits, u=u, s=settings: sample(x, u, **s)]
            if rival:
                contenders.append(hugging_face(logits, settings))
            times = in_turn(contenders)
            ours.append(f"{1000 * times[0]:.2f}")
            if rival:
                theirs += [f"{1000 * times[1]:.2f}", f"{times[0] / times[1]:.2f}"]
        lines.append("| " + " | ".join([title, *ours, *theirs]) + " |")
    return "\n".join(lines)


def in_turn(contenders: list[Callable[[], object]]) -> list[float]:
    """The median seconds of each, after a first call that is not counted."""
    times: list[list[float]] = [[] for _ in contenders]
    for n in range(ROUNDS + 1):
        for contender, own in zip(contenders, times, strict=True):
            started = time.perf_counter()
            contender()
            if n:
                own.append(time.perf_counter() - started)
    return [statistics.median(own) for own in times]


def hugging_face(logits: Any, settings: dict[str, Any]) -> Callable[[], object]:
    """transformers' warpers in the order in which its generate applies them, softmax and multinomial."""
    import torch
    from transformers import LogitsProcessorList
    from transformers.generation import logits_process as warpers

    torch.set_num_threads(default_num_threads())
    chosen: list[Any] = [warpers.TemperatureLogitsWarper(settings["temperature"])]
    if "top_k" in settings:
        chosen.append(warpers.TopKLogitsWarper(settings["top_k"]))
    if "top_p" in settings:
        chosen.append(warpers.TopPLogitsWarper(settings["top_p"]))
    if "min_p" in settings:
        chosen.append(warpers.MinPLogitsWarper(settings["min_p"]))
    process, scores = LogitsProcessorList(chosen), torch.from_numpy(logits)

    def distribution() -> Any:
        return torch.softmax(process(None, scores.clone()), dim=-1)

    apart = np.abs(distribution().numpy() - probabilities(logits, **settings)).max()
    if apart > 1e-4:
        raise ValueError(f"no time is printed: the probabilities differ by {apart}")
    return lambda: torch.multinomial(distribution(), 1)
