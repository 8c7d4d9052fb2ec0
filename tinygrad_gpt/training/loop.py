"""The training loop: a generator of reports.  Printing, evaluating, saving and stopping are the caller's."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.checks import at_least_one
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.optim import AdamW, grad_norm
from tinygrad_gpt.rng import Dropout


class StepBatches(Protocol):
    """Where batches come from: a pure function of the step, counted from 1."""

    def batch(self, step: int) -> tuple[Array, Array]:
        """Inputs and targets of this step, each (B, T) of int."""
        ...


@dataclass(frozen=True)
class StepReport:
    """What one training step did."""

    step: int
    loss: Array  # mean nats per token of this step's batch, before the update; on the model's device still
    lr: float
    grad_norm: float  # before clipping
    tokens: int  # trained on in this step


Stopwatch = Callable[[str], AbstractContextManager[None]]


def no_stopwatch(name: str) -> AbstractContextManager[None]:
    """Nobody wants to know."""
    return nullcontext()


def train(
    model: GPT,
    optimizer: AdamW,
    batches: StepBatches,
    *,
    steps: int,
    schedule: Callable[[int], float] | None = None,
    clip_norm: float | None = 1.0,
    accumulation: int = 1,
    seed: int = 0,
    start_step: int = 1,
    stopwatch: Stopwatch = no_stopwatch,
) -> Iterator[StepReport]:
    """Train from start_step to steps, yielding a report after each.

    schedule gives the learning rate of a step (the optimizer's own by default); clip_norm bounds the gradient's global
    norm (None: no bound).  Each batch is computed in `accumulation` parts, one after the other: the same step in less
    memory, dropout included.  Everything random is a function of (seed, step), so what the caller does between two
    reports (evaluate, sample, save, stop) changes nothing.  The parts of a step that are no ops run inside
    stopwatch(name), see profiling.

    Raises FloatingPointError, naming the step, if the loss or a gradient is not finite: nothing was updated then.
    """
    at_least_one("accumulation", accumulation)

    def one_step(step: int) -> StepReport:
        with stopwatch("batch"):
            ids, targets = batches.batch(step)
        lr = optimizer.lr if schedule is None else schedule(step)
        loss, norm = update(model, optimizer, ids, targets, step, lr, clip_norm, accumulation, seed, stopwatch)
        return StepReport(step, loss, lr, norm, targets.size)

    return (one_step(step) for step in range(start_step, steps + 1))


def update(
    model: GPT,
    optimizer: AdamW,
    ids: Array,
    targets: Array,
    step: int,
    lr: float,
    clip_norm: float | None,
    accumulation: int,
    seed: int,
    stopwatch: Stopwatch,
) -> tuple[Array, float]:
    """One step: forward, backward, clip, update.  The loss and the gradient's norm.

    The gradient of a mean over all tokens is the sum of the parts' gradients of (their sum / all tokens): a mean of
    the parts' means would weigh a short last part too much.
    """
    optimizer.zero_grad()
    total: Array = 0.0
    for rows in np.array_split(np.arange(len(ids)), accumulation):
        if not len(rows):
            continue  # more parts than rows
        part = slice(rows[0], rows[-1] + 1)
        masks = Dropout(seed, step, first_row=int(rows[0]))
        loss = model.loss(ids[part], targets[part], dropout=masks, reduction="sum") / targets.size
        loss.backward()
        total = total + loss.data
    try:
        if not math.isfinite(total):
            grad_norm(optimizer.parameters)  # raises, naming the parameter; but gradients can be finite all the same
            raise FloatingPointError("which is not finite")
        with stopwatch("optimizer"):
            norm = optimizer.step(lr, max_norm=math.inf if clip_norm is None else clip_norm)
    except FloatingPointError as error:
        raise FloatingPointError(f"step {step}: loss {float(total):.4g}, {error}") from None
    return total, norm
