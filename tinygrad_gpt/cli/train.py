"""tinygrad-gpt train: train a GPT on text, and show how it learns."""

import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from tinygrad_gpt.backend import Array, synchronize
from tinygrad_gpt.cli.config_file import read_config, to_toml
from tinygrad_gpt.cli.errors import CommandFailed, reason
from tinygrad_gpt.cli.machine import machine
from tinygrad_gpt.cli.options import parse, with_values
from tinygrad_gpt.cli.prepare import STDIN, Plan, prepare, run_name
from tinygrad_gpt.cli.run_folder import CONFIG, LOG, MODEL, PLOT, SAMPLE, TOKENIZER, RunFolder
from tinygrad_gpt.cli.terminal import Stop, discard_output, stoppable
from tinygrad_gpt.cli.train_options import Train
from tinygrad_gpt.cli.train_report import HEADINGS, header, plot_title, summary, table_row
from tinygrad_gpt.sampling import generate
from tinygrad_gpt.text import save_tokenizer
from tinygrad_gpt.training import StepReport, evaluate, perplexity, save_checkpoint, train
from tinygrad_gpt.training.loop import no_stopwatch
from tinygrad_gpt.training.plots import plot_losses
from tinygrad_gpt.training.profiling import Profile

PROG = "tinygrad-gpt train"
SIGPIPE = 13  # by this name the signal module has it on Unix alone


def main(argv: Sequence[str]) -> int:
    """Parse, prepare, train; the exit code."""
    options = parse(Train, argv, PROG)
    if options.run.config is not None:
        options = parse(Train, argv, PROG, default=with_values(Train(), read_config(options.run.config, Train)))
    with RunFolder(options.run.out, run_name(options), overwrite=options.run.overwrite) as folder:
        plan = prepare(options, folder)
        folder.start()
        with failures(), machine(options.run.threads), stoppable() as stop:
            return Session(options, plan, folder, stop).run()


@contextmanager
def failures() -> Iterator[None]:
    """Files that cannot be written once the run has started, as one line."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandFailed(reason(error)) from error


class Session:
    """One run: trains, reports and saves.  Nothing it does between two steps changes the training."""

    def __init__(self, options: Train, plan: Plan, folder: RunFolder, stop: Stop) -> None:
        self.options, self.plan, self.folder, self.stop = options, plan, folder, stop
        self.records: list[dict[str, Any]] = []  # the evaluations
        self.step = self.tokens_seen = self.tokens_timed = 0
        self.started = time.perf_counter()
        self.seconds_training = 0.0  # since the last evaluation
        self.seconds_profiled = 0.0  # the same, of the whole run
        self.profile = Profile() if options.report.profile else None
        self.diverged: str | None = None
        self.log: IO[str]

    def run(self) -> int:
        """Train to the end, or to a stop; the exit code."""
        self.write_beginnings()
        self.say(header(self.options, self.plan))
        with open(self.folder.file(LOG), "w", encoding="utf-8") as log, np.errstate(all="ignore"):
            self.log = log
            self.say(HEADINGS)
            self.report()
            self.train_all()
            self.end()
            if self.profile is not None and self.step:
                self.say("\n" + self.profile.table(self.step, self.seconds_profiled))
        if self.diverged:
            raise CommandFailed(
                f"{self.diverged}; the model before that step is in {self.folder.path}: try a smaller --lr"
            )
        return self.stop.exit_code

    def write_beginnings(self) -> None:
        """What is known before the first step: the options and the tokenizer."""
        texts = tuple(path if path == STDIN else str(Path(path).absolute()) for path in self.options.texts)
        toml = to_toml(self.options, leave_out=("out", "overwrite", "config"), texts=texts)
        self.folder.file(CONFIG).write_text(f"# {PROG} --config THIS_FILE runs it again\n\n{toml}", "utf-8")
        save_tokenizer(self.plan.corpus.tokenizer, self.folder.file(TOKENIZER))

    def train_all(self) -> None:
        """All steps, with an evaluation now and then and a sample after each epoch."""
        t = self.options.training
        reports = train(
            self.plan.model,
            self.plan.optimizer,
            self.plan.batches,
            steps=self.plan.steps,
            schedule=self.plan.schedule,
            clip_norm=t.clip_norm,
            accumulation=t.accumulation,
            seed=t.seed,
            stopwatch=no_stopwatch if self.profile is None else self.profile.part,
        )
        with self.bar() as bar:
            try:
                for report in self.timed(reports):
                    self.record_step(report)
                    bar.update(report.tokens)
                    if self.stop.requested:
                        return
                    if self.step % self.plan.eval_every == 0 or self.step == self.plan.steps:
                        self.report()
                    if self.step % self.plan.steps_per_epoch == 0:
                        self.save_model()
                        self.sample()
            except FloatingPointError as error:
                self.diverged = str(error)

    def timed(self, reports: Iterator[StepReport]) -> Iterator[StepReport]:
        """The reports, with the time that the training between them takes."""
        while True:
            before = time.perf_counter()
            with nullcontext() if self.profile is None else self.profile.of_ops():
                report = next(reports, None)
            self.seconds_training += time.perf_counter() - before
            self.seconds_profiled += time.perf_counter() - before
            if report is None:
                return
            yield report

    def bar(self) -> Any:
        """A progress bar in tokens, with tokens/s and the time left; silent where stderr is no terminal."""
        shown = self.options.report.progress and sys.stderr.isatty()
        t = self.plan
        total = t.steps * t.batches.tokens_per_epoch // t.steps_per_epoch
        return tqdm(total=total, unit="tok", unit_scale=True, disable=not shown, leave=False, dynamic_ncols=True)

    def record_step(self, report: StepReport) -> None:
        """Count a step and log it."""
        self.step = report.step
        self.tokens_seen += report.tokens
        self.tokens_timed += report.tokens
        loss, norm = finite(float(report.loss)), finite(report.grad_norm)
        self.write_log(event="step", step=self.step, loss=loss, lr=report.lr, grad_norm=norm)

    def report(self) -> None:
        """Score both parts of the text; print a row and log it."""
        synchronize()
        speed = self.tokens_timed / self.seconds_training if self.tokens_timed else None
        record = {
            "step": self.step,
            "epoch": self.step / self.plan.steps_per_epoch,
            "tokens_seen": self.tokens_seen,
            "train_loss": self.score(self.plan.train_tokens),
            "val_loss": self.score(self.plan.val_tokens),
        }
        loss = record["train_loss"] if record["val_loss"] is None else record["val_loss"]
        record |= {
            "perplexity": None if loss is None else finite(perplexity(loss)),
            "tokens_per_second": speed,
            "seconds": time.perf_counter() - self.started,
        }
        self.records.append(record)
        self.write_log(event="evaluation", **record)
        self.say(table_row(record))
        self.tokens_timed, self.seconds_training = 0, 0.0

    def score(self, tokens: Array) -> float | None:
        """Nats per token over the first --eval-tokens of them; None if there are none, or the loss is not finite."""
        if len(tokens) < 2:
            return None
        return finite(evaluate(self.plan.model, tokens, max_tokens=self.options.report.eval_tokens).loss)

    def sample(self) -> None:
        """Continue the prompt; print it as one line, and add it to the samples."""
        reports = self.options.report
        if not reports.sample_tokens:
            return
        ids = self.plan.prompt.tolist()
        temperature, seed = reports.sample_temperature, self.options.training.seed
        steps = generate(self.plan.model, [ids], reports.sample_tokens, temperature=temperature, seed=seed)
        try:
            ids += [int(token[0]) for token in steps]
        except ValueError as error:  # logits that are not finite: the next step will say so
            self.say(f"        no sample: {error}")
            return
        text = self.plan.corpus.tokenizer.decode(ids)
        with open(self.folder.file(SAMPLE), "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"--- epoch {self.step / self.plan.steps_per_epoch:.2f}, step {self.step} ---\n{text}\n\n")
        self.say(f"       {' '.join(text.split())}")

    def save_model(self) -> None:
        """The weights as they are now."""
        save_checkpoint(self.folder.file(MODEL), self.plan.model, step=self.step)

    def end(self) -> None:
        """Save everything, the model first, and sum up."""
        self.save_model()
        if self.records[-1]["step"] != self.step and not self.diverged:
            self.report()
        plot_losses(self.records, self.folder.file(PLOT), title=plot_title(self.plan))
        if self.step % self.plan.steps_per_epoch and not self.diverged:
            self.sample()
        if not self.diverged:  # what it has reached is said on stderr then
            self.say(summary(self.plan, self.folder.path, self.records, time.perf_counter() - self.started))

    def write_log(self, **record: Any) -> None:
        """A line of log.jsonl, on its way to the disk at once."""
        print(json.dumps(record), file=self.log, flush=True)

    def say(self, text: str) -> None:
        """Print to stdout, above the progress bar.  When nobody reads it any more, the run ends as with Ctrl-C."""
        try:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:
            discard_output()
            self.stop.signal = SIGPIPE


def finite(value: float) -> float | None:
    """The value, or None if it is nan or infinite, which JSON has no word for."""
    return value if math.isfinite(value) else None
