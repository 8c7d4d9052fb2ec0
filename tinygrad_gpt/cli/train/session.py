"""A training run as it goes on: steps, and after some of them an evaluation, a checkpoint, a sample.

What happens after a step is a function of the step alone, and a checkpoint holds the state right after the step,
before any of that.  So a run that is resumed does what comes after the checkpoint's step (again), and nothing tells
its log, samples and model from those of a run that never stopped.
"""

import math
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tinygrad_gpt.backend import Array, synchronize
from tinygrad_gpt.checkpoints import Checkpoints, save_checkpoint
from tinygrad_gpt.cli.config_file import to_toml
from tinygrad_gpt.cli.errors import CommandFailed, note, reason_in_words
from tinygrad_gpt.cli.terminal import StopFlag, escape_controls, fold
from tinygrad_gpt.cli.train.crash import Crash
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.cli.train.plan import Plan
from tinygrad_gpt.cli.train.report import HEADINGS, Outcome, duration_in_words, header, plot_title, summary, table_row
from tinygrad_gpt.cli.train.resume import ResumedRun, notes_on_the_machine
from tinygrad_gpt.cli.train.spikes import Spikes
from tinygrad_gpt.cli.train.time_spent import TimeSpent
from tinygrad_gpt.console import discard_output
from tinygrad_gpt.debug.profile import Profile
from tinygrad_gpt.files import atomic_write
from tinygrad_gpt.runs.folder import RunFolder
from tinygrad_gpt.runs.log import RunLog, records_up_to, skipped_last
from tinygrad_gpt.runs.names import CHECKPOINTS, CONFIG, CRASH, LOG, MODEL, PLOT, SAMPLE, TOKENIZER
from tinygrad_gpt.runs.plot import plot_losses
from tinygrad_gpt.sampling import generate
from tinygrad_gpt.text import STDIN, save_tokenizer
from tinygrad_gpt.training import StepReport, evaluate, perplexity, train
from tinygrad_gpt.training.step import no_stopwatch

PROG = "tinygrad-gpt train"
_SIGPIPE = 13  # by this name the signal module has it on Unix alone
_STDOUT = "standard output"
_SAVING_KEY = "saving"
_STOP_KEY = "of_a_stop"  # in the metadata of a checkpoint that a stop alone has made
SHARE_OF_SAVING, SHARE_OF_LOWEST = 0.05, 0.1  # of the time at most; the second for the lowest validation loss yet
_MAX_SECONDS_UNSAVED = 600  # seconds without a checkpoint
SAMPLE_WIDTH, SAMPLE_INDENT = 80, " " * 7


class StopRequested(Exception):  # noqa: N818 (nothing is wrong)
    """A stop was asked for while something was done that the training does not need."""


class Session:
    """One run, from its beginning or from a checkpoint.  Nothing it does between two steps changes the training.

    Each step's loss and norm are written down as it ends, so on a GPU the command line waits for every step; `train`
    itself does not.
    """

    def __init__(
        self, options: Train, plan: Plan, folder: RunFolder, stop: StopFlag, resumed: ResumedRun | None
    ) -> None:
        self.options, self.plan, self.folder, self.stop, self.resumed = options, plan, folder, stop, resumed
        self.first_step = self.step = 0 if resumed is None else resumed.checkpoint.step
        self.checkpoints = Checkpoints(folder.file(CHECKPOINTS), keep=options.run.keep)
        self.saved: int | None = None if resumed is None else self.step  # the newest checkpoint's step
        is_of_a_stop = resumed is not None and _STOP_KEY in resumed.checkpoint.metadata
        self.stop_checkpoint = self.saved if is_of_a_stop else None  # the run that never stopped has it not
        self.profile = Profile() if options.report.profile else None
        self.seconds = 0.0  # in training steps, of this process
        self.spent = TimeSpent()  # on what comes after them
        self.last_report = (self.step, 0.0)  # its step, and the seconds then
        self.failing: dict[str, str] = {}  # files that could not be written the last time, and why
        self.spikes = Spikes()
        self.diverged: str | None = None
        self.is_complete = False  # all steps are done, and what comes after the last
        self.log: RunLog
        self.skipped_before: int  # steps in a row, right before this process
        self.started: float

    def run(self) -> int:
        """Train to the end, or to a stop; the exit code."""
        self.stop.at_once = False  # from here on there is something to save
        self.write_beginnings()
        self.say(header(self.options, self.plan, self.first_step))
        self.say(HEADINGS)
        for record in self.log.of("evaluation"):
            self.say(table_row(record))
        try:
            with np.errstate(all="ignore"):
                self.train_all()
                code = self.end()
        finally:
            self.log.close()
        if self.profile is not None and self.step > self.first_step:
            self.say("\n" + self.profile.table(self.step - self.first_step, self.seconds))
            beside = ", ".join(f"{name} {duration_in_words(seconds)}" for name, seconds in self.spent.seconds.items())
            self.say(f"beside the steps: {beside}")
        return code

    def write_beginnings(self) -> None:
        """What is known before the first step: the options, the tokenizer, and what happened before a stop."""
        texts = tuple(path if path == STDIN else str(Path(path).absolute()) for path in self.options.texts)
        toml = to_toml(self.options, leave_out=("out", "overwrite", "config", "resume"), texts=texts)
        with atomic_write(self.folder.file(CONFIG)) as file:
            file.write(f"# {PROG} --config THIS_FILE runs it again\n\n{toml}".encode())
        save_tokenizer(self.plan.corpus.tokenizer, self.folder.file(TOKENIZER))
        before = [] if self.resumed is None else records_up_to(self.resumed.records, self.step)
        self.skipped_before = skipped_last(before)
        self.log = RunLog(self.folder.file(LOG), before)
        seconds = [record["seconds"] for record in self.log.of("evaluation")]
        self.started = time.perf_counter() - (seconds[-1] if seconds else 0.0)
        if self.resumed is not None:
            for line in self.resumed.notes + notes_on_the_machine(self.resumed.checkpoint):
                note(line)
            self.write_samples()

    def train_all(self) -> None:
        """All steps, each with what comes after it."""
        with self.bar() as bar:
            try:
                self.after_step()
                for report in self.timed(self.steps()):
                    self.record_step(report)
                    bar.update(report.tokens)
                    self.poll()
                    self.after_step()
                self.is_complete = True
            except StopRequested:
                pass
            except FloatingPointError as error:
                self.diverged = str(error)

    def steps(self) -> Iterator[StepReport]:
        """The training steps that are left."""
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
            start_step=self.step + 1,
            on_nonfinite="skip" if t.on_nonfinite == "skip" else "raise",
            skipped_before=self.skipped_before,
            stopwatch=no_stopwatch if self.profile is None else self.profile.part,
        )

    def timed(self, reports: Iterator[StepReport]) -> Iterator[StepReport]:
        """The reports, with the time that the training between them takes."""
        while True:
            before = time.perf_counter()
            with nullcontext() if self.profile is None else self.profile.of_ops():
                report = next(reports, None)
            self.seconds += time.perf_counter() - before
            if report is None:
                return
            yield report

    def bar(self) -> Any:
        """A progress bar in tokens, with tokens/s and the time left; silent where stderr is no terminal."""
        shown = self.options.report.progress and sys.stderr.isatty()
        total, done = self.plan.tokens_seen(self.plan.steps), self.plan.tokens_seen(self.step)
        look = {"unit": "tok", "unit_scale": True, "leave": False, "dynamic_ncols": True}
        return tqdm(total=total, initial=done, disable=not shown, **look)

    def poll(self, *_: object) -> None:
        """Raise StopHere if a stop was asked for."""
        if self.stop.requested:
            raise StopRequested

    def record_step(self, report: StepReport) -> None:
        """Count a step and log it.  Raises FloatingPointError if it was not finite, as `train` does without a GPU."""
        report.check()
        self.step = report.step
        loss, norm = _finite_or_none(float(report.loss)), _finite_or_none(float(report.grad_norm))
        self.spikes.watch(self.step, loss, norm)
        record = {"event": "step", "step": self.step, "loss": loss, "lr": report.lr, "grad_norm": norm}
        if report.skipped is not None:
            record["skipped"] = report.skipped
            self.warn(f"skipped: {report.skipped}")
        self.write_log(**record)

    def is_evaluation_due(self) -> bool:
        """Whether both parts of the text are scored after this step."""
        return self.step % self.plan.eval_every == 0 or self.step == self.plan.steps

    def is_saved_by_all(self) -> bool:
        """Whether this step has a checkpoint in every run, stopped or not, unless there is no time for one."""
        return self.step > 0 and (self.step % self.plan.checkpoint_every == 0 or self.step == self.plan.steps)

    def is_checkpoint_due(self) -> bool:
        """Whether to save after this step.  Without --checkpoint-every the time decides too."""
        if self.step in (0, self.plan.steps):
            return self.step > 0
        is_long_ago = self.options.run.checkpoint_every is None and self.spent.since(_SAVING_KEY) > _MAX_SECONDS_UNSAVED
        return (self.is_saved_by_all() or is_long_ago) and self.has_time_to_save()

    def has_time_to_save(self) -> bool:
        """Whether saving takes a small share of the time, this save included; with --checkpoint-every, always."""
        if self.options.run.checkpoint_every is not None:
            return True
        return self.spent.allows(_SAVING_KEY, SHARE_OF_LOWEST if self.is_lowest() else SHARE_OF_SAVING)

    def is_lowest(self) -> bool:
        """Whether the validation loss after this step is the lowest yet."""
        losses = [(e["val_loss"], e["step"]) for e in self.log.of("evaluation") if e["val_loss"] is not None]
        return bool(losses) and min(losses)[1] == self.step

    def is_sample_due(self) -> bool:
        """Whether an epoch, or the run, ends with this step; of epochs that are short, one for a row of the table."""
        epoch, every = self.plan.steps_per_epoch, self.plan.eval_every
        ends_epoch = self.step % epoch == 0 and self.step // every > (self.step - epoch) // every  # one a row at most
        return self.step > 0 and (ends_epoch or self.step == self.plan.steps)

    def after_step(self) -> None:
        """What comes after a step.  Raises StopHere if a stop is asked for in the midst of it."""
        if self.is_evaluation_due():
            self.report()
        if self.is_checkpoint_due():
            self.save()
        if self.is_sample_due():
            if self.step == self.plan.steps or self.has_time_to_save():
                self.save_model()
            with self.spent.on("sampling"):
                self.sample()

    def report(self) -> None:
        """Score both parts of the text; print a row and log it."""
        synchronize()
        seen = self.plan.tokens_seen(self.step)
        step, seconds = self.last_report
        trained = seen - self.plan.tokens_seen(step)
        record = {
            "step": self.step,
            "epoch": self.step / self.plan.steps_per_epoch,
            "tokens_seen": seen,
            "train_loss": self.score(self.plan.train_tokens),
            "val_loss": self.score(self.plan.val_tokens),
            "eval_tokens": self.plan.eval_tokens,
        }
        loss = record["train_loss"] if record["val_loss"] is None else record["val_loss"]
        record |= {
            "perplexity": None if loss is None else _finite_or_none(perplexity(loss)),
            "tokens_per_second": trained / (self.seconds - seconds) if trained else None,
            "seconds": time.perf_counter() - self.started,
        }
        self.last_report = self.step, self.seconds
        self.write_log(event="evaluation", **record)
        self.say(table_row(record))

    def score(self, tokens: Array) -> float | None:
        """Nats per token over --eval-tokens spread over them; None if there are none, or the loss is not finite."""
        if len(tokens) < 2:
            return None
        limit = self.plan.eval_tokens
        with self.spent.on("evaluating"):
            score = evaluate(self.plan.model, tokens, max_tokens=limit, spread=True, advance=self.poll)
        return _finite_or_none(score.loss)

    def sample(self) -> None:
        """Continue the prompt; print it, and add it to the samples."""
        reports = self.options.report
        if not reports.sample_tokens:
            return
        ids = self.plan.prompt.tolist()
        temperature, seed = reports.sample_temperature, self.options.training.seed
        try:
            for token in generate(self.plan.model, [ids], reports.sample_tokens, temperature=temperature, seed=seed):
                self.poll()
                ids.append(int(token[0]))
        except ValueError as error:  # logits that are not finite: the next step will say so
            self.say(f"        no sample: {error}")
            return
        text = self.plan.corpus.tokenizer.decode(ids)
        epoch = self.step / self.plan.steps_per_epoch
        self.write_log(event="sample", step=self.step, epoch=epoch, text=text)
        self.write_samples()
        self.say(sample_paragraph(text))

    def write_samples(self) -> None:
        """All samples that are in the log, for people."""
        samples = self.log.of("sample")
        texts = [f"--- epoch {s['epoch']:.2f}, step {s['step']} ---\n{s['text']}\n\n" for s in samples]
        with self.going_on(SAMPLE):
            if texts:
                with atomic_write(self.folder.file(SAMPLE)) as file:
                    file.write("".join(texts).encode("utf-8", "backslashreplace"))
            else:
                self.folder.file(SAMPLE).unlink(missing_ok=True)

    def save_model(self) -> None:
        """The weights as they are now."""
        with self.spent.on(_SAVING_KEY), self.going_on(MODEL):
            _with_one_retry(
                lambda: save_checkpoint(
                    self.folder.file(MODEL), self.plan.model, step=self.step, metadata=self.plan.settings
                )
            )

    def save(self, *, is_stop: bool = False) -> None:
        """A checkpoint of the state after this step.  The one that a stop has made goes, once there is a newer one."""
        val_loss = None if is_stop else self.val_loss()  # else a stop's would count as the best, and another go for it
        with self.spent.on(_SAVING_KEY), self.going_on(CHECKPOINTS):
            self.log.sync()  # the log reaches at least as far as the checkpoint, whatever happens
            _with_one_retry(
                lambda: self.checkpoints.save(
                    self.plan.model,
                    self.plan.optimizer,
                    step=self.step,
                    val_loss=val_loss,
                    metadata=self.plan.settings | ({_STOP_KEY: "yes"} if is_stop else {}),
                    more=int(is_stop or self.stop_checkpoint is not None),
                )
            )
            self.saved, before = self.step, self.stop_checkpoint
            self.stop_checkpoint = self.step if is_stop else None
            if before is not None and before != self.step:
                self.checkpoints.remove(before)

    def val_loss(self) -> float | None:
        """The validation loss after this step; None if there is none, or there is no time for it."""
        evaluations = self.log.of("evaluation")
        if evaluations and evaluations[-1]["step"] == self.step:
            loss: float | None = evaluations[-1]["val_loss"]
            return loss
        return None if self.stop.requested else self.score(self.plan.val_tokens)

    def end(self) -> int:
        """Save everything, say how it went; the exit code."""
        if self.diverged:
            self.save_model()
            message = self.crashed(self.diverged)
            self.plot()
            raise CommandFailed(message)
        if not self.is_complete:
            if self.saved != self.step:
                self.save(is_stop=not self.is_saved_by_all())
            self.save_model()
        self.plot()
        if self.is_complete:
            self.write_log(event="end", step=self.step)
        with self.going_on(LOG):
            self.log.sync()
        if self.failing:
            failed = "; ".join(f"{name}: {why}" for name, why in self.failing.items())
            raise CommandFailed(f"could not save everything of step {self.step} in {self.folder.path}: {failed}")
        self.say(summary(self.plan, self.folder.path, self.outcome()))
        return 0 if self.is_complete and self.stop.signal != _SIGPIPE else self.stop.exit_code

    def outcome(self) -> Outcome:
        """What the summary tells."""
        return Outcome(
            step=self.step,
            evaluations=self.log.of("evaluation"),
            seconds=time.perf_counter() - self.started,
            n_skipped=self.log.n_skipped,
            spike=self.spikes.told(
                clip_norm=self.options.training.clip_norm,
                warmup_steps=int(self.plan.settings["warmup_steps"]),
            ),
            is_stopped=not self.is_complete,
            shares={"training": self.seconds / (self.spent.total() or 1.0), **self.spent.shares()},
        )

    def plot(self) -> None:
        """The losses over the epochs; one evaluation alone would be a dot."""
        records = self.log.of("evaluation")
        if len(records) > 1:
            with self.spent.on("plotting"), self.going_on(PLOT):
                plot_losses(records, self.folder.file(PLOT), title=plot_title(self.plan))

    def crashed(self, message: str) -> str:
        """What to say of the step that was not finite; it is written to crash/, to be looked at again."""
        folder = self.folder.file(CRASH)
        crash = Crash.of(self.options, self.plan, self.step + 1, message)
        with self.going_on(CRASH):
            crash.save(folder)
        return (
            f"{message}; {crash.cause}; the model before that step is in {self.folder.path}, the step in "
            f"{folder.name}/: try a smaller --lr, or --on-nonfinite skip"
        )

    @contextmanager
    def going_on(self, what: str) -> Iterator[None]:
        """Around writing a file that the training can do without for a while: if it fails, loudly go on."""
        try:
            yield
        except (OSError, ImportError) as error:  # ImportError: no matplotlib for the plot
            if what not in (LOG, _STDOUT) or what not in self.failing:  # of these once, not at every line
                newest = "there is no checkpoint yet" if self.saved is None else f"the newest is of step {self.saved}"
                meanwhile = f"; {newest}" if what == CHECKPOINTS else ""
                self.warn(f"step {self.step}: {what} not written: {reason_in_words(error)}{meanwhile}")
            self.failing[what] = reason_in_words(error)
        else:
            self.failing.pop(what, None)

    def write_log(self, **record: Any) -> None:
        """A line of log.jsonl, on its way to the disk at once."""
        with self.going_on(LOG):
            self.log.write(**record)

    def say(self, text: str) -> None:
        """Print to stdout, above the progress bar.  When nobody reads it any more, the run ends as with Ctrl-C."""
        with self.going_on(_STDOUT):
            try:
                tqdm.write(escape_controls(text), file=sys.stdout)
                sys.stdout.flush()
            except BrokenPipeError:
                discard_output()
                self.stop.signal = _SIGPIPE

    def warn(self, text: str) -> None:
        """Print to stderr, above the progress bar."""
        with suppress(OSError):  # where it cannot be told, the run goes on all the same
            tqdm.write(f"WARNING: {escape_controls(text)}", file=sys.stderr)


def _with_one_retry(save: Callable[[], object]) -> None:
    """Save, and once more if it fails: what keeps a file from being written is often gone a moment later."""
    try:
        save()
    except OSError:
        save()


def sample_paragraph(text: str) -> str:
    """A sample as a paragraph below the table's row, without what a terminal would take for a command."""
    return textwrap.indent(
        fold(escape_controls(" ".join(text.split())), SAMPLE_WIDTH - len(SAMPLE_INDENT)), SAMPLE_INDENT
    )


def _finite_or_none(value: float) -> float | None:
    """The value, or None if it is nan or infinite, which JSON has no word for."""
    return value if math.isfinite(value) else None
