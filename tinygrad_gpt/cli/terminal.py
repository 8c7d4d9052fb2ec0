"""Streams, signals and numbers for people."""

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

from tinygrad_gpt.console import discard
from tinygrad_gpt.sampling.chart import display_width

_CONTROL_CHARACTERS = (
    r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069"  # by a terminal, line ends and tabs aside
)
_CONTROLS = re.compile(rf"\r(?!\n)|[{_CONTROL_CHARACTERS}]")
_UNPRINTABLE = re.compile(
    rf"[\t\n\r\ud800-\udfff{_CONTROL_CHARACTERS}]"
)  # with what stands for the bytes of no character


@contextmanager
def utf8_streams() -> Iterator[None]:
    """stdout and stderr in UTF-8, whatever the locale; what cannot be encoded is shown as \\udcff.

    Where one is closed (`2>&-`), Python has None in its place; what is written to it then goes nowhere.
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
    """An error's text with line ends and other control characters spelled out, so that it stays one line."""
    text = " ".join(str(error).split("\n"))
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def escape_controls(text: str) -> str:
    """Text from a model or a file, with all that a terminal would obey spelled out; line ends and tabs stay.

    Spelled out are control characters and what turns the direction of writing around.

    >>> print(escape_controls("a\\x1b[2Jb"))
    a\\x1b[2Jb
    """
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def escape_controls_in(texts: Iterable[str]) -> Iterator[str]:
    """Each text harmless, as if they were one: a carriage return waits for the text that follows."""
    waiting = ""
    for text in texts:
        text = waiting + text
        waiting = "\r" if text.endswith("\r") else ""
        yield escape_controls(text.removesuffix(waiting))
    yield escape_controls(waiting)


def fold(text: str, width: int) -> str:
    """text in lines of at most `width` columns, cut at its spaces, and within words that are wider than a line.

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
    """A word for a shell's command line, and on one line of a terminal: $'...' where it holds what is not printable.

    >>> print(shell_quote("it's"), shell_quote("two\\nlines"))
    'it'"'"'s' $'two\\nlines'
    """
    if not _UNPRINTABLE.search(word):
        return shlex.quote(word)
    spelled = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return "$'" + "".join(spelled.get(c) or (_octal_escapes(c) if _UNPRINTABLE.match(c) else c) for c in word) + "'"


def _octal_escapes(character: str) -> str:
    """A character as the escapes of its bytes, three octal digits each, after which any digit may follow."""
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
    """A line on stderr, if that is a terminal, that says what is being done; it is gone when that is done."""
    shown = f"{what} ..." if sys.stderr.isatty() else ""
    print(shown, end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("\r" + " " * len(shown) + "\r" if shown else "", end="", file=sys.stderr, flush=True)


def _say_at_terminal(line: str) -> None:
    """A line on stderr, if somebody looks; not by print, in whose midst a signal may have come."""
    with suppress(OSError, ValueError):
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), f"\n{line}\n".encode())


@contextmanager
def stop_on_signal() -> Iterator[StopFlag]:
    """Within the block the first Ctrl-C (or SIGTERM) asks for a stop; a second one raises Stopped at once.

    Handlers that a host program has set are left alone, and outside the main thread none can be set.
    """
    stop = StopFlag()

    def handle(number: int, frame: FrameType | None) -> None:
        at_once, stop.signal = stop.at_once or stop.requested, number
        if at_once:
            raise InterruptedBySignal(number)
        _say_at_terminal("stopping after this step; once more stops at once, without saving")

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
