"""Numbers as text that is the same on every machine: four decimals, and 0 for a zero with rounding errors.

The last bit of a result may differ between processors and BLAS builds.  To hide that, each number is moved away from 0
by 1e-9 before it is rounded: results with few decimals are then never halfway between two roundings.
"""

from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array

_DECIMALS = 4
NUDGE = 1e-9
_LONG = 1_000_000  # NumPy leaves nothing out and breaks no row


def decimals(x: float) -> str:
    """A number rounded to four decimals."""
    if not np.isfinite(x):
        return str(float(x))
    text = f"{x + np.copysign(NUDGE, x):.{_DECIMALS}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def array_text(x: Array) -> str:
    """An array in NumPy's brackets: all numbers have one width, and zeros at the end of every number are cut.

    >>> print(array_text(np.array([[0.25, -1.0], [2 / 3, -1e-17]])))
    [[ 0.2500 -1.0000]
     [ 0.6667  0.0000]]
    """
    x = np.asarray(x)
    texts = [decimals(value) if x.dtype.kind == "f" else str(value) for value in x.ravel()]
    if x.dtype.kind == "f":
        finite = [text for text in texts if "." in text]
        spare = min([_DECIMALS - 1, *(len(text) - len(text.rstrip("0")) for text in finite)])
        texts = [text[: len(text) - spare] if "." in text else text for text in texts]
    width = max(map(len, texts), default=0)
    entries = np.array([text.rjust(width) for text in texts], object).reshape(x.shape)
    if x.ndim == 0:
        return texts[0]
    return np.array2string(entries, formatter={"all": str}, threshold=_LONG, max_line_width=_LONG)


def value_text(value: Any) -> str:
    """A value of any kind: an array, a number, a shape, a dtype, a key."""
    if isinstance(value, np.ndarray | np.generic | float):
        return array_text(np.asarray(value))
    if isinstance(value, tuple | list):
        inner = ", ".join(map(value_text, value)) + ("," if isinstance(value, tuple) and len(value) == 1 else "")
        return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, slice):
        ends = ["" if end is None else str(end) for end in (value.start, value.stop, value.step)]
        return ":".join(ends[: 2 if value.step is None else 3])
    return getattr(value, "__name__", repr(value))
