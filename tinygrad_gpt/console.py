"""What a program does when nobody reads its output any more, as under `| head`: it ends without a word."""

import atexit
import os
import sys
from contextlib import suppress
from types import TracebackType
from typing import TextIO

UNREAD = 141  # the exit code: 128 + SIGPIPE, as the shell has it of programs that the signal ends


def quiet_pipe() -> None:
    """From here on this program ends quietly, with exit code 141, once nobody reads its output.

    For programs alone: what is said of an error that nobody catches is not a library's business.
    """
    unread = False
    others = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        nonlocal unread
        if isinstance(error, BrokenPipeError):
            unread = True
            discard_output()
        else:
            others(kind, error, traceback)

    def finish() -> None:
        nonlocal unread
        try:
            sys.stdout.flush()  # a short output has waited until here
        except BrokenPipeError:
            unread = True
            discard_output()
        if unread:
            os._exit(UNREAD)  # what else is to be done at the end is done: the first to register comes last

    sys.excepthook = hook
    atexit.register(finish)


def discard(stream: TextIO) -> None:
    """Send a stream nowhere: its reader has gone, or its disk is full, and flushing what is left would fail again."""
    with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:  # a captured stdout has no file descriptor
        os.dup2(nowhere.fileno(), stream.fileno())


def discard_output() -> None:
    """Send stdout nowhere."""
    discard(sys.stdout)
