"""tinygrad-gpt train: train a GPT on text, and show how it learns."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tinygrad_gpt.cli.config_file import read_config
from tinygrad_gpt.cli.errors import CommandFailed, UserError, reason_in_words, user_input
from tinygrad_gpt.cli.options import with_values
from tinygrad_gpt.cli.parsing import parse
from tinygrad_gpt.cli.process_limits import process_limits
from tinygrad_gpt.cli.terminal import StopFlag, stop_on_signal
from tinygrad_gpt.cli.train.budget import check_disk
from tinygrad_gpt.cli.train.corpus import run_name
from tinygrad_gpt.cli.train.options import PROG, Train, with_epochs
from tinygrad_gpt.cli.train.plan import prepare
from tinygrad_gpt.cli.train.report import nothing_to_resume
from tinygrad_gpt.cli.train.resume import ResumedRun, options_to_resume, resume_run
from tinygrad_gpt.cli.train.session import train_run
from tinygrad_gpt.kernels.cuda import precision
from tinygrad_gpt.runs.folder import RunFolder


def main(argv: Sequence[str]) -> int:
    """Parse, prepare, train; the exit code."""
    options = parse(Train, argv, PROG)
    with stop_on_signal() as stop:
        if options.run.resume is not None:
            return _resume(options.run.resume, argv, stop)
        if options.run.config is not None:
            default = with_values(Train(), read_config(options.run.config, Train))
            options = with_epochs(parse(Train, argv, PROG, default), argv, PROG)
        if options.run.overwrite and options.run.out is None:
            raise UserError("--overwrite needs --out: without it a run gets a new folder")
        with user_input():
            folder = RunFolder(options.run.out, run_name(options), overwrite=options.run.overwrite)
        with folder:
            return _train_in(folder, options, stop)


def _resume(run: str, argv: Sequence[str], stop: StopFlag) -> int:
    """Continue the run in this folder; the exit code."""
    with user_input():
        folder = RunFolder(run, "", resume=True)
    with folder:
        with user_input():
            folder.create()
        state = resume_run(*options_to_resume(argv, PROG, folder), folder)
        if state.has_ended:
            print(nothing_to_resume(folder.path, state))
            return 0
        return _train_in(folder, state.options, stop, state)


def _train_in(folder: RunFolder, options: Train, stop: StopFlag, state: ResumedRun | None = None) -> int:
    """Train in this folder, from the first step or from where the run stopped; the exit code."""
    plan = prepare(options, folder) if state is None else prepare(options, folder, state.checkpoint, state.eval_tokens)
    with user_input():
        folder.create()
    check_disk(plan.model.config, options.run.keep, folder)
    with _failures(), process_limits(options.run.threads), precision(options.run.precision):
        with user_input():
            folder.start()
        return train_run(options, plan, folder, stop, state)


@contextmanager
def _failures() -> Iterator[None]:
    """Report files that cannot be written, and memory that runs out, once the run has started, in one line."""
    try:
        yield
    except BrokenPipeError:
        raise
    except MemoryError as error:
        smaller = "use a smaller --batch-size or --context-length, --accumulation or --activation-checkpointing"
        raise CommandFailed(f"out of memory: {error}: {smaller}") from error
    except OSError as error:
        raise CommandFailed(reason_in_words(error)) from error
