"""The training steps of a run, and the time that they take."""

import time
from collections.abc import Iterator
from contextlib import nullcontext

from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.cli.train.plan import Plan
from tinygrad_gpt.debug.profile import Profile
from tinygrad_gpt.training import StepReport, train
from tinygrad_gpt.training.step import no_stopwatch


class TimedSteps:
    """Iterates over the reports of the steps after first_step.  seconds is the time spent in them so far."""

    def __init__(self, options: Train, plan: Plan, first_step: int, skipped_before: int) -> None:
        self.options, self.plan, self.first_step, self.skipped_before = options, plan, first_step, skipped_before
        self.profile = Profile() if options.report.profile else None
        self.seconds = 0.0

    def __iter__(self) -> Iterator[StepReport]:
        reports = self._train()
        while True:
            before = time.perf_counter()
            with nullcontext() if self.profile is None else self.profile.of_ops():
                report = next(reports, None)
            self.seconds += time.perf_counter() - before
            if report is None:
                return
            yield report

    def _train(self) -> Iterator[StepReport]:
        t = self.options.training
        return train(
            self.plan.model,
            self.plan.optimizer,
            self.plan.batches,
            steps=self.plan.steps,
            schedule=self.plan.schedule,
            clip_norm=None if t.clip_norm == "none" else t.clip_norm,
            accumulation=t.accumulation,
            seed=t.seed,
            start_step=self.first_step + 1,
            on_nonfinite="skip" if t.on_nonfinite == "skip" else "raise",
            skipped_before=self.skipped_before,
            stopwatch=no_stopwatch if self.profile is None else self.profile.part,
        )
