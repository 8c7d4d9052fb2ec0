"""The training loop: a generator of reports.  Printing, evaluating, saving and stopping are the caller's."""

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
    grad_norm: float | Array  # before clipping; on the model's device still
    tokens: int  # trained on in this step
    skipped: str | None = None  # why the step changed nothing: its loss or a gradient was not finite

    def check(self) -> None:
        """Raise FloatingPointError, naming the step, if its loss or a gradient was not finite.  Waits for a GPU."""
        loss, norm = float(self.loss), float(self.grad_norm)
        if self.skipped is None and not (math.isfinite(loss) and math.isfinite(norm)):
            what = "which is not finite" if math.isfinite(norm) else f"the gradients' norm is {norm}"
            raise FloatingPointError(f"step {self.step}: loss {loss:.4g}, {what}")


_CHECK_EVERY = 32  # steps whose reports are looked at together, so that a GPU need not be waited for in each
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
    """Train from step start_step to step `steps`, both included, yielding a report after each; a run that goes on after
    step n for k more has start_step=n + 1, steps=n + k.

    schedule gives the learning rate of a step (the optimizer's own by default); clip_norm bounds the gradient's global
    norm (None: no bound).  Each batch is computed in `accumulation` parts, one after the other: the same step in less
    memory, dropout included.  Everything random is a function of (seed, step), so what the caller does between two
    reports (evaluate, sample, save, stop) changes nothing.  The parts of a step that are no ops run inside
    stopwatch(name), see profiling.

    Raises FloatingPointError, naming the step, if the loss or a gradient is not finite: nothing was updated then.
    anomaly.find_nonfinite tells which op it came from.  With on_nonfinite="skip" such a step changes nothing and is
    reported as skipped; it raises after MAX_CONSECUTIVE_SKIPS in a row.  skipped_before is how many steps right before
    start_step were.

    A step does not wait for a GPU.  What is not finite changes nothing there either, by the GPU's own decision, but it
    is noticed only when somebody looks: `train` does every CHECK_EVERY steps and after the last (in every step with
    "skip"), a report's `check` and reading its loss or grad_norm whenever the caller likes.  By then later steps may
    have been made.  A caller who stops early, or saves, calls `check` first.
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
    """The steps, one after the other."""
    unchecked: list[StepReport] = []
    for step in steps:
        with stopwatch("batch"):
            ids, targets = batches.batch(step)
        lr = optimizer.lr if schedule is None else not_negative(f"schedule({step})", schedule(step))
        try:
            loss, norm = update(model, optimizer, ids, targets, step, lr, clip_norm, accumulation, seed, stopwatch)
            report = StepReport(step, loss, lr, norm, targets.size)
            unchecked.append(report)
            if skip or step == steps[-1] or len(unchecked) == _CHECK_EVERY:
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
    """Check reports, the first first, and strike them from the list."""
    while reports:
        reports.pop(0).check()
