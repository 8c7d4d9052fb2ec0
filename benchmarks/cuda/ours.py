"""Our training step on a GPU, which nobody waits for."""

from typing import Any

from benchmarks.ours import Contender, OneBatch, Weights
from benchmarks.settings import BETAS, CLIP_NORM, EPS, LR, WEIGHT_DECAY
from tinygrad_gpt import GPT, AdamW, no_grad, train
from tinygrad_gpt.kernels import cuda
from tinygrad_gpt.nn import GPTConfig

FOR_EVER = 10**9  # steps


def contender(config: GPTConfig, weights: Weights, precision: str, **settings: Any) -> Contender:
    """The loss of a batch; a step on it, always the same batch."""
    model = GPT(config, weights=weights, device="cuda", **settings)
    optimizer = AdamW(model.parameters(), LR, BETAS, EPS, WEIGHT_DECAY)
    batches = OneBatch(None, None)
    reports = train(model, optimizer, batches, steps=FOR_EVER, clip_norm=CLIP_NORM)

    def loss(ids: Any, targets: Any) -> float:
        with cuda.precision(precision), no_grad():
            return model.loss(ids, targets).item()

    def step(ids: Any, targets: Any) -> Any:
        batches.pair = ids, targets
        with cuda.precision(precision):
            return next(reports).loss

    return loss, step


def checkpointing(config: GPTConfig, weights: Weights, precision: str) -> Contender:
    """With activation checkpointing."""
    return contender(config, weights, precision, activation_checkpointing=True)
