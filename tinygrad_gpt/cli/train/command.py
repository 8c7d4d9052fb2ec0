"""tinygrad-gpt train: train a GPT on text, and show how it learns."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tinygrad_gpt.cli.config_file import read_config
from tinygrad_gpt.cli.errors import CommandFailed, UserError, reason_in_words
from tinygrad_gpt.cli.options import parse, with_values
from tinygrad_gpt.cli.process_limits import process_limits
from tinygrad_gpt.cli.run_folder import RunFolder
from tinygrad_gpt.cli.terminal import StopFlag, stop_on_signal
from tinygrad_gpt.cli.train.options import Train, with_epochs
from tinygrad_gpt.cli.train.plan import disk_needed, prepare, run_name
from tinygrad_gpt.cli.train.report import nothing_to_resume
from tinygrad_gpt.cli.train.resume import ResumedRun, options_to_resume, resume_run
from tinygrad_gpt.cli.train.session import PROG, Session
from tinygrad_gpt.kernels.cuda import precision


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
        with RunFolder(options.run.out, run_name(options), overwrite=options.run.overwrite) as folder:
            return _train_in(folder, options, stop)


def _resume(run: str, argv: Sequence[str], stop: StopFlag) -> int:
    """Go on with the run in this folder; the exit code."""
    with RunFolder(run, "", resume=True) as folder:
        folder.create()
        state = resume_run(*options_to_resume(argv, PROG, folder), folder)
        if state.has_ended:
            print(nothing_to_resume(folder.path, state))
            return 0
        return _train_in(folder, state.options, stop, state)


def _train_in(folder: RunFolder, options: Train, stop: StopFlag, state: ResumedRun | None = None) -> int:
    """Train in this folder, from the beginning or from where it was; the exit code."""
    before = () if state is None else (state.checkpoint, state.eval_tokens)
    plan = prepare(options, folder, *before)
    folder.create()
    folder.check_space(disk_needed(plan, options.run.keep))
    with _failures(), process_limits(options.run.threads), precision(options.run.precision):
        folder.start()
        return Session(options, plan, folder, stop, state).run()


@contextmanager
def _failures() -> Iterator[None]:
    """Files that cannot be written once the run has started, and memory that is not there, as one line."""
    try:
        yield
    except BrokenPipeError:
        raise
    except MemoryError as error:
        smaller = "use a smaller --batch-size or --context-length, --accumulation or --activation-checkpointing"
        raise CommandFailed(f"out of memory: {error}: {smaller}") from error
    except OSError as error:
        raise CommandFailed(reason_in_words(error)) from error
