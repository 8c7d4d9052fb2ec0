"""What ids and whole numbers must be, and what to say when they are not.

On the host: a GPU would wrap ids that are out of range, silently.
"""

import operator
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array, to_host


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
