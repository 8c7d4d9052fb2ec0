"""Streams, signals and numbers for people."""

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from tinygrad_gpt.console import discard


@contextmanager
def utf8_streams() -> Iterator[None]:
    """stdout and stderr in UTF-8, whatever the locale; what cannot be encoded is shown as \\udcff."""
    streams = [s for s in (sys.stdout, sys.stderr) if isinstance(s, io.TextIOWrapper)]
    before = [(stream, stream.encoding, stream.errors) for stream in streams]
    for stream in streams:
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        yield
    finally:
        for stream, encoding, errors in before:
            try:
                stream.reconfigure(encoding=encoding, errors=errors)
            except OSError:
                discard(stream)


def one_line(error: object) -> str:
    """An error's text with line ends and other control characters spelled out, so that it stays one line."""
    text = " ".join(str(error).split("\n"))
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def human(n: float, unit: str = "") -> str:
    """A number in three digits with a k, M, G or T: 1_817_600 -> "1.82 M"."""
    for prefix in ("", "k", "M", "G", "T"):
        if abs(n) < 999.5 or prefix == "T":
            break
        n /= 1000
    digits = f"{n:.3g}" if abs(n) < 999.5 else f"{n:,.0f}"
    return f"{digits} {prefix}{unit}".rstrip()


class Stopped(KeyboardInterrupt):
    """A signal that ends the command at once."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


class Stop:
    """Whether the work should end at the next good place, and the exit code then.

    Until `at_once` is set to False there is nothing to save, and a signal ends the command where it is.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.at_once = True

    @property
    def requested(self) -> bool:
        """True once a signal has come, or the reader of the output has gone."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """0, or 128 + the signal's number."""
        return 0 if self.signal is None else 128 + self.signal


def say_at_terminal(line: str) -> None:
    """A line on stderr, if somebody looks; not by print, in whose midst a signal may have come."""
    with suppress(OSError, ValueError):
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), f"\n{line}\n".encode())


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Within the block the first Ctrl-C (or SIGTERM) asks for a stop; a second one raises Stopped at once.

    Handlers that a host program has set are left alone, and outside the main thread none can be set.
    """
    stop = Stop()

    def handle(number: int, frame: FrameType | None) -> None:
        at_once, stop.signal = stop.at_once or stop.requested, number
        if at_once:
            raise Stopped(number)
        say_at_terminal("stopping after this step; once more stops at once, without saving")

    before = {}
    if threading.current_thread() is threading.main_thread():
        ours = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
        for number, default in ours.items():
            if signal.getsignal(number) == default:
                before[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
