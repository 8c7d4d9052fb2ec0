"""Run a Python file as a program, and record its ops."""

import runpy
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinygrad_gpt.cli.errors import CommandFailed, UserError
from tinygrad_gpt.study.error_location import error_location
from tinygrad_gpt.study.trace import Trace, trace


def record_script(script: str) -> Trace:
    """Run the file and record every op of it.

    Raises UserError if it is not a Python file or runs no op, CommandFailed if it stops with an error.
    """
    if not Path(script).is_file():
        raise UserError(f"SCRIPT {script!r} is not a file")
    with trace() as recording, _as_main_program(script), _one_line_errors(script):
        try:
            variables = runpy.run_path(script, run_name="__main__")
        except SystemExit as stopped:
            variables = _variables_at_exit(stopped)
        recording.learn_variables(variables)
    if not recording.events:
        raise UserError(f"SCRIPT {script!r} ran no op")
    return recording


def _variables_at_exit(stopped: SystemExit) -> dict[str, Any]:
    """The variables of a file that ended itself.  Raises the exit again unless its code is 0."""
    if stopped.code:
        raise stopped
    scopes = (frame.f_globals for frame, _ in traceback.walk_tb(stopped.__traceback__))
    return next((scope for scope in scopes if scope.get("__name__") == "__main__"), {})


@contextmanager
def _one_line_errors(script: str) -> Iterator[None]:
    """Around running the file: UserError if it is not Python, CommandFailed if it stops with an error."""
    try:
        yield
    except SyntaxError as error:
        raise UserError(f"SCRIPT {error_location(Path(script), error)}: {error.msg}") from error
    except SystemExit as stopped:
        raise CommandFailed(f"SCRIPT {script!r} ended with exit code {stopped.code!r}") from stopped
    except (BrokenPipeError, MemoryError):
        raise
    except Exception as error:
        reason = f"{error_location(Path(script), error)}: {type(error).__name__}: {error}"
        raise CommandFailed(f"SCRIPT {reason}; python {script} shows the traceback") from error


@contextmanager
def _as_main_program(script: str) -> Iterator[None]:
    """Around running the file: sys.argv holds only its name, and it can import modules from its folder."""
    argv, path = sys.argv, sys.path
    sys.argv, sys.path = [script], [str(Path(script).resolve().parent), *path]
    try:
        yield
    finally:
        sys.argv, sys.path = argv, path
