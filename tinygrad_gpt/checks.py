"""Checks of arguments: numbers, ids, mappings and names; and the error texts.

Ids are checked on the CPU (the host), because a GPU would silently wrap ids that are out of range.
"""

import difflib
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array, array_module, to_host

_MIN_NAME_SIMILARITY = 0.78  # difflib's ratio: the fraction of letters that two names share, in the same order


def at_least_one(name: str, value: Any) -> int:
    """The value as a Python int.  Raises ValueError below 1, TypeError for anything but a whole number."""
    return whole_number(name, value, 1)


def whole_number(name: str, value: Any, low: int, instead: str = "") -> int:
    """The value as a Python int.  `instead` says in words what else the caller allows, for the error text.

    Raises TypeError for anything but a whole number, ValueError below low.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number of at least {low}{instead}; got {value!r}")
    if number < low:
        raise ValueError(f"{name} must be a whole number of at least {low}{instead}; got {value}")
    return number


def number(name: str, value: Any, allowed: str, is_allowed: Callable[[Any], bool]) -> Any:
    """The value, unchanged; allowed says in words what it must be.

    Raises TypeError for anything but one real number, ValueError for a number that is not allowed.
    """
    is_array = isinstance(value, np.generic) or getattr(value, "__array_ufunc__", None) is not None
    is_number = value.shape == () and value.dtype.kind in "iuf" if is_array else type(value) in (int, float)
    if not is_number:
        raise TypeError(f"{name} must be {allowed}; got {value!r}")
    try:
        fits = is_allowed(value)
    except OverflowError:  # a whole number too large for a float
        fits = False
    if not fits:
        raise ValueError(f"{name} must be {allowed}; got {value}")
    return value


def not_negative(name: str, value: Any) -> Any:
    """The value, unchanged.  Raises ValueError or TypeError unless it is a finite number of at least 0."""
    return number(name, value, "a finite number of at least 0", lambda x: math.isfinite(x) and x >= 0)


def fraction(name: str, value: Any) -> Any:
    """The value, unchanged.  Raises ValueError or TypeError unless it is at least 0 and below 1."""
    return number(name, value, "at least 0 and below 1", lambda x: 0 <= x < 1)


def mapping(name: str, value: Any, of: str) -> Mapping[Any, Any]:
    """The value, unchanged; `of` says in words what it maps.  Raises TypeError unless it is a mapping."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict of {of}; got {type(value).__name__}")
    return value


def check_has(name: str, value: Any, *attributes: str) -> None:
    """Raise TypeError unless the value has these attributes."""
    missing = [attribute for attribute in attributes if not hasattr(value, attribute)]
    if missing:
        raise TypeError(f"{name} must have {' and '.join(attributes)}; got {type(value).__name__}")


def real_numbers(name: str, values: Any) -> Array:
    """The values as an array on their device.

    Raises TypeError for anything but real numbers (bfloat16 is allowed), ValueError for rows of different lengths.
    """
    x = equal_rows(name, values)
    if x.dtype.kind not in "fiu" and x.dtype.name != "bfloat16":
        raise TypeError(f"{name} must be an array of real numbers; got dtype {x.dtype}")
    return x


def equal_rows(name: str, values: Any) -> Array:
    """The values as an array on their device.  Raises ValueError for rows of different lengths."""
    try:
        return array_module(values).asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, its rows equally long; got {type(values).__name__}") from error


def first_few(things: Iterable[str], between: str = ", ") -> str:
    """The first three texts in alphabetical order, and the number of further ones."""
    texts = sorted(things)
    more = f"{between}and {len(texts) - 3} more" if len(texts) > 3 else ""
    return between.join(texts[:3]) + more


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant: the only one that contains this name, or a similar one.

    None if no name is similar enough.

    >>> nearest("--temprature", ["--temperature", "--top-k"]), nearest("--prompt", ["--sample-prompt", "--steps"])
    ('--temperature', '--sample-prompt')
    >>> nearest("--init", ["--on-nonfinite", "--min-lr"]) is None
    True
    """
    names, wanted = {_normalize_name(other): other for other in known}, _normalize_name(name)
    whole = [other for other in names if f"-{wanted}-" in f"-{other}-"]
    parts = whole or [other for other in names if other.startswith(wanted)]
    if len(parts) == 1 and len(wanted) >= 3:
        return names[parts[0]]
    similar = difflib.get_close_matches(wanted, names, n=1, cutoff=_MIN_NAME_SIMILARITY)
    return names[similar[0]] if similar else None


def _normalize_name(name: str) -> str:
    """A name in lower case, without leading dashes, with - for _."""
    return name.lstrip("-").replace("_", "-").lower()


def check_ids(ids: Any, vocab_size: int, name: str = "ids") -> Array:
    """The ids as an array of any shape, on the host.

    Raises TypeError for anything but whole numbers; ValueError for an id that is not from 0 to vocab_size - 1, with the
    value and the position of the first.
    """
    ids = to_host(equal_rows(name, ids))
    if ids.size and ids.dtype.kind not in "iu":
        raise TypeError(f"{name} must be whole numbers; got {ids.dtype}")
    if ids.size and (ids.min() < 0 or ids.max() >= vocab_size):
        position = tuple(np.argwhere((ids < 0) | (ids >= vocab_size))[0].tolist())
        where = f"offset {position[0]}" if len(position) == 1 else f"position {position}"
        raise ValueError(f"{name} must be from 0 to {vocab_size - 1}; got {ids[position]} at {where}")
    return ids
