"""The training loop: a generator of reports.  The caller prints, evaluates, saves and stops."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.checks import at_least_one, check_has, not_negative, number, whole_number
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.optim import Optimizer
from tinygrad_gpt.training.step import Stopwatch, no_stopwatch, update


class StepBatches(Protocol):
    """A source of batches: a pure function of the step, counted from 1."""

    def batch(self, step: int) -> tuple[Array, Array]:
        """Inputs and targets of this step, each (B, T) of int."""
        ...


@dataclass(frozen=True)
class StepReport:
    """The result of one training step."""

    step: int
    loss: Array  # mean nats per token of this step's batch, before the update; on the model's device
    lr: float
    grad_norm: float | Array  # before clipping; on the model's device
    tokens: int  # number of targets in this step's batch
    skipped: str | None = None  # if the step changed nothing: the loss or the gradient that was not finite

    def check(self) -> None:
        """Raise FloatingPointError, with the step, if its loss or a gradient was not finite.  Waits for a GPU."""
        loss, norm = float(self.loss), float(self.grad_norm)
        if self.skipped is None and not (math.isfinite(loss) and math.isfinite(norm)):
            what = "which is not finite" if math.isfinite(norm) else f"the gradients' norm is {norm}"
            raise FloatingPointError(f"step {self.step}: loss {loss:.4g}, {what}")


_CHECK_EVERY_STEPS = 32  # steps; their reports are checked together, because each check waits for a GPU
MAX_CONSECUTIVE_SKIPS = 10  # with on_nonfinite="skip"; more in a row means that training has diverged


def train(
    model: GPT,
    optimizer: Optimizer,
    batches: StepBatches,
    *,
    steps: int,
    schedule: Callable[[int], float] | None = None,
    clip_norm: float | None = 1.0,
    accumulation: int = 1,
    seed: int = 0,
    start_step: int = 1,
    on_nonfinite: Literal["raise", "skip"] = "raise",
    skipped_before: int = 0,
    stopwatch: Stopwatch = no_stopwatch,
) -> Iterator[StepReport]:
    """Train from step start_step to step `steps`, both included, and yield a report after each step.

    To continue a run after step n for k more steps, use start_step=n + 1, steps=n + k.

    schedule(step) is the learning rate of a step (default: the optimizer's own); clip_norm limits the gradients' global
    norm (None: no limit).  Each batch is computed in `accumulation` parts, one after the other: the same step in less
    memory, dropout included.  All random numbers are a function of (seed, step), so nothing that the caller does
    between two reports (evaluate, sample, save, stop) changes them.  Building a batch and the update run inside
    stopwatch("batch") and stopwatch("optimizer"), for a profile.

    Raises FloatingPointError, with the step, if the loss or a gradient is not finite; then nothing was updated.
    debug.find_nonfinite finds the op that it came from.  With on_nonfinite="skip" such a step changes nothing and is
    reported as skipped; after MAX_CONSECUTIVE_SKIPS skipped steps in a row the next one raises.  skipped_before is the
    number of steps that were skipped directly before start_step.

    A step does not wait for a GPU.  There, too, a loss or a gradient that is not finite changes nothing, because the
    device itself checks it.  But the program learns of it only when it reads the results.  `train` reads them every 32
    steps and after the last step (with "skip" in every step).  The caller can read them at any time, by a report's
    `check` or from its loss or grad_norm.  Later steps may have run by then.  So call `check` before you save or stop
    early.
    """
    check_has("model", model, "loss", "parameters")
    check_has("optimizer", optimizer, "step", "zero_grad", "parameters")
    check_has("batches", batches, "batch")
    if set(optimizer.parameters.values()).isdisjoint(model.parameters().values()):
        raise ValueError("optimizer must hold parameters of the model that is trained; it holds none of them")
    if clip_norm is not None:
        number("clip_norm", clip_norm, "positive, or None for no bound", lambda norm: norm > 0)
    if schedule is not None and not callable(schedule):
        raise TypeError(f"schedule must be a function of the step, or None for the optimizer's lr; got {schedule!r}")
    whole_number("steps", steps, 0)
    if at_least_one("start_step", start_step) > steps + 1:
        raise ValueError(f"start_step must be at most steps + 1, {steps + 1}: steps is the last step; got {start_step}")
    at_least_one("accumulation", accumulation)
    if on_nonfinite not in ("raise", "skip"):
        raise ValueError(f"on_nonfinite must be one of raise, skip; got {on_nonfinite!r}")
    return _run_steps(
        model,
        optimizer,
        batches,
        range(start_step, steps + 1),
        schedule,
        clip_norm,
        accumulation,
        seed,
        on_nonfinite == "skip",
        skipped_before,
        stopwatch,
    )


def _run_steps(
    model: GPT,
    optimizer: Optimizer,
    batches: StepBatches,
    steps: range,
    schedule: Callable[[int], float] | None,
    clip_norm: float | None,
    accumulation: int,
    seed: int,
    skip: bool,
    consecutive_skips: int,
    stopwatch: Stopwatch,
) -> Iterator[StepReport]:
    unchecked: list[StepReport] = []
    for step in steps:
        with stopwatch("batch"):
            ids, targets = batches.batch(step)
        lr = optimizer.lr if schedule is None else not_negative(f"schedule({step})", schedule(step))
        try:
            loss, norm = update(model, optimizer, ids, targets, step, lr, clip_norm, accumulation, seed, stopwatch)
            report = StepReport(step, loss, lr, norm, targets.size)
            unchecked.append(report)
            if skip or step == steps[-1] or len(unchecked) == _CHECK_EVERY_STEPS:
                _check_all(unchecked)
            consecutive_skips = 0
        except FloatingPointError as error:
            if not skip:
                raise
            consecutive_skips += 1
            if consecutive_skips > MAX_CONSECUTIVE_SKIPS:
                raise FloatingPointError(f"{error}; the {MAX_CONSECUTIVE_SKIPS} steps before it were skipped") from None
            report = StepReport(step, np.float32(np.nan), lr, math.nan, targets.size, str(error))
        yield report


def _check_all(reports: list[StepReport]) -> None:
    """Check the reports in order, and remove them from the list."""
    while reports:
        reports.pop(0).check()
