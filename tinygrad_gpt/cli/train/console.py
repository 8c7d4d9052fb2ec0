"""What a run prints while it trains, and what it does when a file or the terminal cannot be written."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tqdm import tqdm

from tinygrad_gpt.cli.errors import reason_in_words
from tinygrad_gpt.cli.terminal import StopFlag, escape_controls
from tinygrad_gpt.console import discard_output
from tinygrad_gpt.runs.names import LOG

SIGPIPE = 13  # the signal module has this name only on Unix
_STDOUT = "standard output"
_WARNED_ONCE = (LOG, _STDOUT)  # written so often that a warning each time would be too much


class Console:
    """Prints the lines of a run.  step is the last training step done; warnings name it.

    unwritten holds the files that could not be written the last time, and why.
    """

    def __init__(self, stop: StopFlag, step: int) -> None:
        self.stop, self.step = stop, step
        self.unwritten: dict[str, str] = {}

    def say(self, text: str) -> None:
        """Print to stdout, above the progress bar.  If the reader has gone, the run stops as after Ctrl-C."""
        with self.tolerate(_STDOUT):
            try:
                tqdm.write(escape_controls(text), file=sys.stdout)
                sys.stdout.flush()
            except BrokenPipeError:
                discard_output()
                self.stop.signal = SIGPIPE

    def warn(self, text: str) -> None:
        """Print to stderr, above the progress bar."""
        with suppress(OSError):  # the run continues even if the warning cannot be shown
            tqdm.write(f"WARNING: {escape_controls(text)}", file=sys.stderr)

    def bar(self, done: int, total: int, *, shown: bool) -> Any:
        """A progress bar in tokens, with tokens/s and the time left; invisible where stderr is not a terminal."""
        look = {"unit": "tok", "unit_scale": True, "leave": False, "dynamic_ncols": True}
        return tqdm(total=total, initial=done, disable=not (shown and sys.stderr.isatty()), **look)

    @contextmanager
    def tolerate(self, what: str, advice: str = "") -> Iterator[None]:
        """Around writing a file that the training does not need at once: if it fails, warn and continue."""
        try:
            yield
        except (OSError, ImportError) as error:  # ImportError: the plot needs matplotlib
            reason = reason_in_words(error)
            if what not in _WARNED_ONCE or what not in self.unwritten:
                self.warn(f"step {self.step}: {what} not written: {reason}{advice}")
            self.unwritten[what] = reason
        else:
            self.unwritten.pop(what, None)
