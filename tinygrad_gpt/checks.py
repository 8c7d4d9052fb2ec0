"""What ids, whole numbers and names must be, and what to say when they are not.

Ids are looked at on the host: a GPU would wrap ids that are out of range, silently.
"""

import difflib
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array, to_host

CLOSE = 0.78  # of two names' letters are the same, in the same order


def at_least_one(name: str, value: Any) -> int:
    """The value as a Python int.  Raises ValueError below 1, TypeError if it is no whole number."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number of at least 1; got {value!r}")
    if number < 1:
        raise ValueError(f"{name} must be a whole number of at least 1; got {value}")
    return number


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that this one is surely meant for: a slip of the fingers, or the only one it is a part of.

    None where that would be guesswork.

    >>> nearest("--temprature", ["--temperature", "--top-k"]), nearest("--prompt", ["--sample-prompt", "--steps"])
    ('--temperature', '--sample-prompt')
    >>> nearest("--init", ["--on-nonfinite", "--min-lr"]) is None
    True
    """
    names, wanted = {plain(other): other for other in known}, plain(name)
    whole = [other for other in names if f"-{wanted}-" in f"-{other}-"]
    parts = whole or [other for other in names if other.startswith(wanted)]
    if len(parts) == 1 and len(wanted) >= 3:
        return names[parts[0]]
    slips = difflib.get_close_matches(wanted, names, n=1, cutoff=CLOSE)
    return names[slips[0]] if slips else None


def plain(name: str) -> str:
    """A name without what all names share: leading dashes, capitals, the choice between - and _."""
    return name.lstrip("-").replace("_", "-").lower()


def checked_ids(ids: Any, vocab_size: int, name: str = "ids") -> Array:
    """The ids as an array on the host, any shape, if they are whole numbers from 0 to vocab_size - 1.

    Raises TypeError, or ValueError with the value and the place of the first that is not.
    """
    ids = to_host(ids)
    if ids.size and ids.dtype.kind not in "iu":
        raise TypeError(f"{name} must be whole numbers; got {ids.dtype}")
    if ids.size and (ids.min() < 0 or ids.max() >= vocab_size):
        place = tuple(np.argwhere((ids < 0) | (ids >= vocab_size))[0].tolist())
        where = f"offset {place[0]}" if len(place) == 1 else f"place {place}"
        raise ValueError(f"{name} must be from 0 to {vocab_size - 1}; got {ids[place]} at {where}")
    return ids
