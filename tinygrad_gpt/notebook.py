"""What notebooks show: a tensor as HTML, and a picture."""

import html
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinygrad_gpt.backend import Array, to_host

_STYLE = "border-left: 3px solid #6c8ebf; padding-left: .8em; margin: .2em 0"


def as_html(data: Array, rows: dict[str, str]) -> str:
    """The shape, dtype and entries of an array, and further rows of name and text, as a small piece of HTML."""
    shape = "scalar" if not data.ndim else f"shape {tuple(data.shape)}"
    entries = np.array2string(to_host(data), threshold=60, edgeitems=3, precision=4)  # a screen at most
    lines = "".join(f"<div><small>{html.escape(name)}</small> {html.escape(text)}</div>" for name, text in rows.items())
    title = f"<div><b>Tensor</b> {html.escape(shape)}, {data.dtype}</div>"
    return f'<div style="{_STYLE}">{title}{lines}<pre style="margin: .3em 0">{html.escape(entries)}</pre></div>'


@dataclass(frozen=True)
class Picture:
    """A PNG file.  A notebook shows it if it is the last value of a cell; a script does nothing with it."""

    path: Path

    def _repr_png_(self) -> bytes:
        return self.path.read_bytes()
