"""Our own training step, as `tinygrad-gpt train` takes it."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from benchmarks.settings import BETAS, CLIP_NORM, EPS, LR, WEIGHT_DECAY
from tinygrad_gpt import GPT, AdamW, no_grad, reference_only, train
from tinygrad_gpt.kernels import default_num_threads, keep_freed_memory, set_num_threads
from tinygrad_gpt.nn import GPTConfig
from tinygrad_gpt.rng import Dropout

Weights = dict[str, Any]
Contender = tuple[Callable[..., float], Callable[..., float]]


class OneBatch:
    """The same batch at every step."""

    def __init__(self, ids: Any, targets: Any) -> None:
        self.pair = ids, targets

    def batch(self, step: int) -> tuple[Any, Any]:
        """Always the pair."""
        return self.pair


def contender(config: GPTConfig, weights: Weights, **settings: Any) -> Contender:
    set_num_threads(default_num_threads())
    keep_freed_memory()
    return functions(GPT(config, weights=weights, **settings), nullcontext)


def own_loop(config: GPTConfig, weights: Weights) -> Contender:
    """A user's loop over the public names, who sets neither threads nor memory."""
    model = GPT(config, weights=weights)
    optimizer = AdamW(model.parameters(), LR, BETAS, EPS, WEIGHT_DECAY)
    taken = 0

    def loss(ids: Any, targets: Any) -> float:
        with no_grad():
            return model.loss(ids, targets).item()

    def step(ids: Any, targets: Any) -> float:
        nonlocal taken
        taken += 1
        optimizer.zero_grad()
        loss = model.loss(ids, targets, dropout=Dropout(0, taken))
        loss.backward()
        optimizer.step(max_norm=CLIP_NORM)
        return loss.item()

    return loss, step


def checkpointing(config: GPTConfig, weights: Weights) -> Contender:
    return contender(config, weights, activation_checkpointing=True)


def plain(config: GPTConfig, weights: Weights) -> Contender:
    return functions(GPT(config, weights=weights), reference_only)


def functions(model: GPT, around: Callable[[], Any]) -> Contender:
    optimizer = AdamW(model.parameters(), LR, BETAS, EPS, WEIGHT_DECAY)
    taken = 0

    def loss(ids: Any, targets: Any) -> float:
        with around(), no_grad():
            return model.loss(ids, targets).item()

    def step(ids: Any, targets: Any) -> float:
        nonlocal taken
        taken += 1
        with around():
            (report,) = train(
                model, optimizer, OneBatch(ids, targets), steps=taken, start_step=taken, clip_norm=CLIP_NORM
            )
            return float(report.loss)

    return loss, step
