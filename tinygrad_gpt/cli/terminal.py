"""Streams, signals, and text for people to read."""

import io
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from tinygrad_gpt.console import discard
from tinygrad_gpt.sampling.chart import display_width

# What a terminal obeys, except line ends and tabs.
_CONTROL_CHARACTERS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069"
_SIGHUP: int | None = getattr(signal, "SIGHUP", None)  # Windows has none
_CONTROLS = re.compile(rf"\r(?!\n)|[{_CONTROL_CHARACTERS}]")
# Also lone surrogates, which Python puts in place of bytes that it cannot decode.
_UNPRINTABLE = re.compile(rf"[\t\n\r\ud800-\udfff{_CONTROL_CHARACTERS}]")


@contextmanager
def utf8_streams() -> Iterator[None]:
    """Make stdout and stderr UTF-8, whatever the locale; what cannot be encoded is shown as \\udcff.

    Python has None in place of a closed stream (`2>&-`); writing to it then has no effect.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (for as long as the program runs)
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
    """An error's text in one line: control characters are written as escapes."""
    text = " ".join(str(error).split("\n"))
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def escape_controls(text: str) -> str:
    """Text from a model or a file, made harmless for a terminal.  Line ends and tabs stay.

    Control characters, and characters that change the direction of writing, become escapes.

    >>> print(escape_controls("a\\x1b[2Jb"))
    a\\x1b[2Jb
    """
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def escape_controls_in(texts: Iterable[str]) -> Iterator[str]:
    """escape_controls for texts that belong together: a carriage return waits for the text after it."""
    waiting = ""
    for text in texts:
        text = waiting + text
        waiting = "\r" if text.endswith("\r") else ""
        yield escape_controls(text.removesuffix(waiting))
    yield escape_controls(waiting)


def fold(text: str, width: int) -> str:
    """text in lines of at most `width` columns, broken at spaces, or within a word that is wider than a line.

    >>> fold("to be or not", 5), fold("日本語", 5)
    ('to be\\nor\\nnot', '日本\\n語')
    """
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and display_width(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if display_width(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return "\n".join(lines)


def shell_quote(word: str) -> str:
    """A word, quoted for a shell, in one line of a terminal: as $'...' if it has characters that cannot be printed.

    >>> print(shell_quote("it's"), shell_quote("two\\nlines"))
    'it'"'"'s' $'two\\nlines'
    """
    if not _UNPRINTABLE.search(word):
        return shlex.quote(word)
    spelled = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return "$'" + "".join(spelled.get(c) or (_octal_escapes(c) if _UNPRINTABLE.match(c) else c) for c in word) + "'"


def _octal_escapes(character: str) -> str:
    """The bytes of a character as escapes of three octal digits, so that any digit may follow."""
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))


def human_number(n: float, unit: str = "") -> str:
    """A number in three digits with a k, M, G or T: 1_817_600 -> "1.82 M"."""
    for prefix in ("", "k", "M", "G", "T"):
        if abs(n) < 999.5 or prefix == "T":
            break
        n /= 1000
    digits = f"{n:.3g}" if abs(n) < 999.5 else f"{n:,.0f}"
    return f"{digits} {prefix}{unit}".rstrip()


def shorten(text: str, width: int = 60) -> str:
    """text, without its middle if it is longer than width."""
    return text if len(text) <= width else f"{text[: width // 2]} ... {text[-width // 2 :]}"


class InterruptedBySignal(KeyboardInterrupt):
    """A signal that ends the command at once."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


class StopRequested(Exception):  # noqa: N818 (nothing is wrong)
    """Ends work that is not needed any more, because the program is to stop."""


class StopFlag:
    """Whether the work should stop as soon as its results are saved, and the exit code then.

    While `at_once` is True there is nothing to save, and a signal ends the command immediately.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.at_once = True

    @property
    def requested(self) -> bool:
        """True once a signal has arrived, or nobody reads the output any more."""
        return self.signal is not None

    def check(self, *_: object) -> None:
        """Raise StopRequested if a stop was requested.  Takes and ignores what a progress callback is given."""
        if self.requested:
            raise StopRequested

    @property
    def exit_code(self) -> int:
        """0, or 128 + the signal's number."""
        return 0 if self.signal is None else 128 + self.signal


@contextmanager
def busy_line(what: str) -> Iterator[None]:
    """While the block runs, say on stderr what it does, if that is a terminal."""
    shown = f"{what} ..." if sys.stderr.isatty() else ""
    print(shown, end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("\r" + " " * len(shown) + "\r" if shown else "", end="", file=sys.stderr, flush=True)


def _say_at_terminal(line: str) -> None:
    """Write a line to stderr if it is a terminal.  Not with print, which the signal may have interrupted."""
    with suppress(OSError, ValueError):
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), f"\n{line}\n".encode())


@contextmanager
def stop_on_signal() -> Iterator[StopFlag]:
    """Within the block, the first Ctrl-C, SIGTERM or SIGHUP requests a stop; a second raises InterruptedBySignal.

    A second SIGHUP does not: when a terminal is closed, the operating system sends one, and the shell often another.

    Handlers that a host program has set stay.  Outside the main thread no handlers can be set.
    """
    stop = StopFlag()

    def handle(number: int, frame: FrameType | None) -> None:
        is_repeated = stop.requested and number != _SIGHUP
        at_once, stop.signal = stop.at_once or is_repeated, number
        if at_once:
            raise InterruptedBySignal(number)
        _say_at_terminal("stopping after this step; once more stops at once, without saving")

    before = {}
    if threading.current_thread() is threading.main_thread():
        ours: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
        if _SIGHUP is not None:
            ours[_SIGHUP] = signal.SIG_DFL
        for number, default in ours.items():
            if signal.getsignal(number) == default:
                before[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
