"""A training run: steps, and after some of them an evaluation, a checkpoint, a sample.

What happens after a step depends only on the step and, without --checkpoint-every, on the time.  A checkpoint holds the
state right after the step, before any of that.  So a resumed run first repeats what follows the checkpoint's step, and
its log, samples and model are those of a run that never stopped.
"""

import time

import numpy as np

from tinygrad_gpt.backend import synchronize
from tinygrad_gpt.cli.errors import CommandFailed, note
from tinygrad_gpt.cli.terminal import StopFlag, StopRequested
from tinygrad_gpt.cli.train.console import SIGPIPE, Console
from tinygrad_gpt.cli.train.crash import crash_message
from tinygrad_gpt.cli.train.evaluation import Evaluation, finite_or_none
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.cli.train.plan import Plan
from tinygrad_gpt.cli.train.recorder import Recorder, write_inputs
from tinygrad_gpt.cli.train.report import HEADINGS, Outcome, header, plot_title, sample_paragraph, summary, table_row
from tinygrad_gpt.cli.train.report import duration_in_words as in_words
from tinygrad_gpt.cli.train.resume import ResumedRun, notes_on_the_machine
from tinygrad_gpt.cli.train.saver import Saver
from tinygrad_gpt.cli.train.spikes import Spikes
from tinygrad_gpt.cli.train.steps import TimedSteps
from tinygrad_gpt.cli.train.time_spent import TimeSpent
from tinygrad_gpt.runs.folder import RunFolder
from tinygrad_gpt.runs.log import RunLog, skipped_last
from tinygrad_gpt.runs.names import LOG
from tinygrad_gpt.training import StepReport


def train_run(options: Train, plan: Plan, folder: RunFolder, stop: StopFlag, resumed: ResumedRun | None) -> int:
    """Train a run to its end or to a stop, from its first step or from where it stopped; the exit code."""
    stop.at_once = False  # from here on there is something to save
    write_inputs(options, plan.corpus.tokenizer, folder)
    log = RunLog(folder.file(LOG), [] if resumed is None else resumed.records)
    try:
        return Session(options, plan, folder, stop, resumed, log).run()
    finally:
        log.close()


class Session:
    """One run in this process.  Nothing that it does between two steps changes the training.

    It logs the loss and the norm of each step when the step ends, so on a GPU it waits for every step.  `train` does
    not.
    """

    def __init__(
        self, options: Train, plan: Plan, folder: RunFolder, stop: StopFlag, resumed: ResumedRun | None, log: RunLog
    ) -> None:
        self.options, self.plan, self.folder, self.stop, self.resumed = options, plan, folder, stop, resumed
        checkpoint, records = (None, []) if resumed is None else (resumed.checkpoint, resumed.records)
        self.first_step = self.step = 0 if checkpoint is None else checkpoint.step
        self.log = log
        self.spent = TimeSpent()  # on what follows the steps
        self.console = Console(stop, self.step)
        self.recorder = Recorder(folder, log, self.console)
        self.saver = Saver(options.run, plan, folder, log, self.console, self.spent, checkpoint)
        self.evaluation = Evaluation(options, plan, stop, self.spent)
        self.steps = TimedSteps(options, plan, self.step, skipped_last(records))
        self.spikes = Spikes()
        self.last_evaluation = (self.step, 0.0)  # its step, and the seconds in steps until then
        seconds = [record["seconds"] for record in log.of("evaluation")]
        self.started = time.perf_counter() - (seconds[-1] if seconds else 0.0)
        self.diverged: str | None = None
        self.is_complete = False  # all steps are done, and what follows the last one

    def run(self) -> int:
        """Train to the end, or to a stop; the exit code."""
        if self.resumed is not None:
            for line in self.resumed.notes + notes_on_the_machine(self.resumed.checkpoint):
                note(line)
            self.recorder.write_samples()
        self.console.say(header(self.options, self.plan, self.first_step))
        self.console.say(HEADINGS)
        for record in self.log.of("evaluation"):
            self.console.say(table_row(record))
        with np.errstate(all="ignore"):
            self.train_all()
            code = self.end()
        if self.steps.profile is not None and self.step > self.first_step:
            self.console.say("\n" + self.steps.profile.table(self.step - self.first_step, self.steps.seconds))
            beside = ", ".join(f"{name} {in_words(seconds)}" for name, seconds in self.spent.seconds.items())
            self.console.say(f"beside the steps: {beside}")
        return code

    def train_all(self) -> None:
        """All steps that are left, each with what follows it."""
        done, total = self.plan.tokens_seen(self.step), self.plan.tokens_seen(self.plan.steps)
        with self.console.bar(done, total, shown=self.options.report.progress) as bar:
            try:
                self.after_step()
                for report in self.steps:
                    self.record_step(report)
                    bar.update(report.tokens)
                    self.stop.check()
                    self.after_step()
                self.is_complete = True
            except StopRequested:
                pass
            except FloatingPointError as error:
                self.diverged = str(error)

    def record_step(self, report: StepReport) -> None:
        """Count a step and log it.  Raises FloatingPointError if it was not finite, as `train` does on a CPU."""
        report.check()
        self.step = self.console.step = report.step
        loss, norm = finite_or_none(float(report.loss)), finite_or_none(float(report.grad_norm))
        self.spikes.watch(self.step, loss, norm)
        record = {"event": "step", "step": self.step, "loss": loss, "lr": report.lr, "grad_norm": norm}
        if report.skipped is not None:
            record["skipped"] = report.skipped
            self.console.warn(f"skipped: {report.skipped}")
        self.recorder.write(**record)

    def after_step(self) -> None:
        """Do everything that is due after this step.  Raises StopRequested if a stop is requested meanwhile."""
        is_last = self.step == self.plan.steps
        if is_last or self.step % self.plan.eval_every == 0:
            self.evaluate()
        if self.saver.is_due(self.step):
            self.saver.save_checkpoint(self.step, self.val_loss())
        if is_last or self.ends_epoch():
            if is_last or self.saver.has_time(self.step):
                self.saver.save_model(self.step)
            with self.spent.on("sampling"):
                self.sample()

    def ends_epoch(self) -> bool:
        """Whether an epoch ends with this step.  Of short epochs, at most one for each row of the table counts."""
        epoch, every = self.plan.steps_per_epoch, self.plan.eval_every
        return self.step > 0 and self.step % epoch == 0 and self.step // every > (self.step - epoch) // every

    def evaluate(self) -> None:
        """Score both parts of the text; print a row and log it."""
        synchronize()
        step, seconds = self.last_evaluation
        n_trained = self.plan.tokens_seen(self.step) - self.plan.tokens_seen(step)
        record = self.evaluation.measure(self.step) | {
            "tokens_per_second": n_trained / (self.steps.seconds - seconds) if n_trained else None,
            "seconds": time.perf_counter() - self.started,
        }
        self.last_evaluation = self.step, self.steps.seconds
        self.recorder.write(event="evaluation", **record)
        self.console.say(table_row(record))

    def val_loss(self) -> float | None:
        """The validation loss after this step; None if there is none, or no time to compute it."""
        evaluations = self.log.of("evaluation")
        if evaluations and evaluations[-1]["step"] == self.step:
            loss: float | None = evaluations[-1]["val_loss"]
            return loss
        return None if self.stop.requested else self.evaluation.score(self.plan.val_tokens)

    def sample(self) -> None:
        """Continue the prompt; print the text, and add it to the samples."""
        if not self.options.report.sample_tokens:
            return
        try:
            text = self.evaluation.sample()
        except ValueError as error:  # logits that are not finite: the next step will report it
            self.console.say(f"        no sample: {error}")
            return
        self.recorder.write(event="sample", step=self.step, epoch=self.step / self.plan.steps_per_epoch, text=text)
        self.recorder.write_samples()
        self.console.say(sample_paragraph(text))

    def end(self) -> int:
        """Save everything, and print how the run went; the exit code."""
        if self.diverged:
            self.saver.save_model(self.step)
            message = crash_message(self.options, self.plan, self.step + 1, self.diverged, self.folder, self.console)
            self.plot()
            raise CommandFailed(message)
        if not self.is_complete:
            if self.saver.saved != self.step:
                is_stop = not self.saver.is_planned(self.step)
                self.saver.save_checkpoint(self.step, None if is_stop else self.val_loss(), is_stop=is_stop)
            self.saver.save_model(self.step)
        self.plot()
        if self.is_complete:
            self.recorder.write(event="end", step=self.step)
        self.recorder.sync()
        if self.console.unwritten:
            failed = "; ".join(f"{name}: {why}" for name, why in self.console.unwritten.items())
            raise CommandFailed(f"could not save everything of step {self.step} in {self.folder.path}: {failed}")
        self.console.say(summary(self.plan, self.folder.path, self.outcome()))
        return 0 if self.is_complete and self.stop.signal != SIGPIPE else self.stop.exit_code

    def plot(self) -> None:
        """Draw the losses over the epochs; a single evaluation would be a dot."""
        if len(self.log.of("evaluation")) > 1:
            with self.spent.on("plotting"):
                self.recorder.plot(plot_title(self.plan))

    def outcome(self) -> Outcome:
        """What the summary reports."""
        warmup_steps = int(self.plan.settings["warmup_steps"])
        return Outcome(
            step=self.step,
            evaluations=self.log.of("evaluation"),
            seconds=time.perf_counter() - self.started,
            n_skipped=self.log.n_skipped,
            spike=self.spikes.worst_in_words(self.options.training.clip_norm, warmup_steps),
            is_stopped=not self.is_complete,
            shares={"training": self.steps.seconds / (self.spent.total() or 1.0), **self.spent.shares()},
        )
