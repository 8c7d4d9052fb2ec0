"""What numbers, ids, mappings and names must be, and what to say when they are not.

Ids are looked at on the host: a GPU would wrap ids that are out of range, silently.
"""

import difflib
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array, array_module, to_host

_MIN_NAME_SIMILARITY = 0.78  # of two names' letters are the same, in the same order


def at_least_one(name: str, value: Any) -> int:
    """The value as a Python int.  Raises ValueError below 1, TypeError if it is no whole number."""
    return whole_number(name, value, 1)


def whole_number(name: str, value: Any, low: int, instead: str = "") -> int:
    """The value as a Python int, if it is one of at least low.  instead is what else the caller allows, in words.

    Raises TypeError for what is no whole number, ValueError below low.
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


def number(name: str, value: Any, allowed: str, holds: Callable[[Any], bool]) -> Any:
    """The value, if it is one real number and it holds; allowed says in words what it must be.

    Raises TypeError for what is no number, ValueError for one that does not hold.
    """
    is_array = isinstance(value, np.generic) or getattr(value, "__array_ufunc__", None) is not None
    is_number = value.shape == () and value.dtype.kind in "iuf" if is_array else type(value) in (int, float)
    if not is_number:
        raise TypeError(f"{name} must be {allowed}; got {value!r}")
    try:
        fits = holds(value)
    except OverflowError:  # a whole number beyond every float
        fits = False
    if not fits:
        raise ValueError(f"{name} must be {allowed}; got {value}")
    return value


def not_negative(name: str, value: Any) -> Any:
    """The value, if it is a finite number of at least 0."""
    return number(name, value, "a finite number of at least 0", lambda x: math.isfinite(x) and x >= 0)


def fraction(name: str, value: Any) -> Any:
    """The value, if it is at least 0 and below 1."""
    return number(name, value, "at least 0 and below 1", lambda x: 0 <= x < 1)


def mapping(name: str, value: Any, of: str) -> Mapping[Any, Any]:
    """The value, if it is a mapping; `of` says in words of what to what.  Raises TypeError."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict of {of}; got {type(value).__name__}")
    return value


def check_has(name: str, value: Any, *attributes: str) -> None:
    """Raise TypeError unless the value has these attributes."""
    missing = [attribute for attribute in attributes if not hasattr(value, attribute)]
    if missing:
        raise TypeError(f"{name} must have {' and '.join(attributes)}; got {type(value).__name__}")


def real_numbers(name: str, values: Any) -> Array:
    """The values as an array where they lie, if they are real numbers, bfloat16 included; rows must be equally long.

    Raises TypeError for what is no number, ValueError for rows of different lengths.
    """
    x = equal_rows(name, values)
    if x.dtype.kind not in "fiu" and x.dtype.name != "bfloat16":
        raise TypeError(f"{name} must be an array of real numbers; got dtype {x.dtype}")
    return x


def equal_rows(name: str, values: Any) -> Array:
    """The values as an array where they lie.  Raises ValueError if they are rows of different lengths."""
    try:
        return array_module(values).asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, its rows equally long; got {type(values).__name__}") from error


def first_few(things: Iterable[str], between: str = ", ") -> str:
    """The first three of some texts in alphabetical order, and how many more there are."""
    texts = sorted(things)
    more = f"{between}and {len(texts) - 3} more" if len(texts) > 3 else ""
    return between.join(texts[:3]) + more


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that this one is surely meant for: a slip of the fingers, or the only one it is a part of.

    None where that would be guesswork.

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
    slips = difflib.get_close_matches(wanted, names, n=1, cutoff=_MIN_NAME_SIMILARITY)
    return names[slips[0]] if slips else None


def _normalize_name(name: str) -> str:
    """A name without what all names share: leading dashes, capitals, the choice between - and _."""
    return name.lstrip("-").replace("_", "-").lower()


def check_ids(ids: Any, vocab_size: int, name: str = "ids") -> Array:
    """The ids as an array on the host, any shape, if they are whole numbers from 0 to vocab_size - 1.

    Raises TypeError, or ValueError with the value and the place of the first that is not.
    """
    ids = to_host(equal_rows(name, ids))
    if ids.size and ids.dtype.kind not in "iu":
        raise TypeError(f"{name} must be whole numbers; got {ids.dtype}")
    if ids.size and (ids.min() < 0 or ids.max() >= vocab_size):
        place = tuple(np.argwhere((ids < 0) | (ids >= vocab_size))[0].tolist())
        where = f"offset {place[0]}" if len(place) == 1 else f"place {place}"
        raise ValueError(f"{name} must be from 0 to {vocab_size - 1}; got {ids[place]} at {where}")
    return ids
