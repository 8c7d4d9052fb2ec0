"""A program ends quietly when nobody reads its output any more, as in `program | head`."""

import atexit
import os
import sys
from contextlib import suppress
from types import TracebackType
from typing import TextIO

UNREAD = 141  # the exit code 128 + SIGPIPE, which a shell reports for a program that the signal ended


def quiet_pipe() -> None:
    """Make this program end quietly, with exit code 141, when nobody reads its output any more.

    For programs, not for libraries: it changes what the interpreter does with an uncaught error.
    """
    unread = False
    previous_hook = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        nonlocal unread
        if isinstance(error, BrokenPipeError):
            unread = True
            discard_output()
        else:
            previous_hook(kind, error, traceback)

    def finish() -> None:
        nonlocal unread
        try:
            sys.stdout.flush()  # a short output is still in the buffer
        except BrokenPipeError:
            unread = True
            discard_output()
        if unread:
            os._exit(UNREAD)  # all other exit functions have run: the first that was registered runs last

    sys.excepthook = hook
    atexit.register(finish)


def discard(stream: TextIO) -> None:
    """Send a stream to the null device: its reader has gone or its disk is full, and another flush would fail again."""
    with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:  # a captured stdout has no file descriptor
        os.dup2(nowhere.fileno(), stream.fileno())


def discard_output() -> None:
    """Send stdout to the null device."""
    discard(sys.stdout)
