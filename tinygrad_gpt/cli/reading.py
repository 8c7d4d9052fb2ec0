"""Texts as a command reads them: piece by piece, counted, with a progress bar."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from tinygrad_gpt.cli.errors import note
from tinygrad_gpt.text import END_OF_TEXT, STDIN, read_pieces, size_of

_QUIET_SECONDS = 1  # seconds in which no bar is needed


class Reading:
    """Iterates once over the texts of these files ("-" is standard input), in pieces as read_pieces gives them.

    n_bytes and n_marks count the bytes and the END_OF_TEXT read so far.
    """

    def __init__(
        self, paths: Sequence[str], encoding: str, errors: str, joint: str = "\n", *, bar: bool = True
    ) -> None:
        self.paths, self.encoding, self.errors, self.joint = paths, encoding, errors, joint
        self.sizes = [size_of(path) for path in paths]
        self.has_bar = bar
        self.n_bytes = self.n_marks = 0

    @property
    def known_bytes(self) -> int:
        """Total size of the texts that are files, in bytes."""
        return sum(filter(None, self.sizes))

    def __iter__(self) -> Iterator[str]:
        if STDIN in self.paths and sys.stdin is not None and sys.stdin.isatty():
            note("reading the text from standard input, to its end: Ctrl-D, or Ctrl-Z on Windows")
        end = ""  # of the text so far
        total = None if None in self.sizes else self.known_bytes
        with progress("reading", total, "B", shown=self.has_bar) as bar:

            def advance(n: int) -> None:
                self.n_bytes += n
                bar.update(n)

            texts = read_pieces(
                self.paths,
                encoding=self.encoding,
                errors=self.errors,
                note=note,
                advance=advance,
                joint=self.joint,
            )
            for text in texts:
                self.n_marks += (end + text).count(END_OF_TEXT)
                end = (end + text)[1 - len(END_OF_TEXT) :]
                yield text


def progress(what: str, total: int | None, unit: str, *, shown: bool = True) -> Any:
    """A progress bar on stderr, if that is a terminal, for work that may take long."""
    from tqdm import tqdm

    look = {"unit": unit, "unit_scale": True, "leave": False, "dynamic_ncols": True, "delay": _QUIET_SECONDS}
    return tqdm(total=total, desc=what, disable=not (shown and sys.stderr.isatty()), **look)


def note_marks(n: int, remedy: str) -> None:
    """Note that END_OF_TEXT occurs in the text n times as ordinary text, not as the token."""
    if n:
        times = "once" if n == 1 else f"{n:,} times"
        note(f"{END_OF_TEXT} occurs in the text {times} and is read as ordinary text: {remedy}")
