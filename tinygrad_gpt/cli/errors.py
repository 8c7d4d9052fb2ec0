"""Errors that the command line reports in one line instead of a traceback.

There are two.  A UserError means bad input: the command line raises it, or `user_input()` does, which stands around
single library calls that refuse bad values.  CommandFailed means that good input could not be processed.  Every other
exception is a fault of the program and keeps its traceback.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tinygrad_gpt.backend import UnavailableDeviceError, why_not_importable
from tinygrad_gpt.checks import nearest
from tinygrad_gpt.cli.terminal import one_line


class UserError(Exception):
    """The input is bad, and nothing was written.  The text names the thing, the value and what is allowed."""

    exit_code = 2


class CommandFailed(Exception):  # noqa: N818  (it is the command that failed, not the input)
    """The input is good, but the work could not be finished.  The text says why."""

    exit_code = 1


class HelpShown(SystemExit):
    """--help has been printed.  Any other SystemExit comes from user code that a command runs."""


@contextmanager
def user_input() -> Iterator[None]:
    """Around a library call: its ValueError, TypeError or OSError means that the user's input is bad."""
    try:
        yield
    except OSError as error:
        raise UserError(reason_in_words(error)) from error
    except (ValueError, TypeError, UnavailableDeviceError) as error:
        raise UserError(str(error)) from error


def note(line: str) -> None:
    """Print a note to stderr: nothing is wrong, but it may surprise."""
    print(f"note: {one_line(line)}", file=sys.stderr)


def require_package(package: str, install: str | None = None) -> None:
    """Raise UserError, with reason and remedy, if the package cannot be imported."""
    missing = why_not_importable(package, install)
    if missing is not None:
        raise UserError(missing)


def reason_in_words(error: OSError | ImportError) -> str:
    """An error in words: which file or package cannot be used, and why."""
    if isinstance(error, ImportError):
        return str(error)
    if error.filename is None:
        return error.strerror or str(error)
    return f"cannot use {str(error.filename)!r}: {error.strerror}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ "; did you mean X?" with the known name that was probably meant, or nothing."""
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else ""
