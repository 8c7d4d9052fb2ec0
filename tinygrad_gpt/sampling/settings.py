"""The sampler's settings: what each of them may be, and its value for each row of a batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinygrad_gpt.backend import Array, to_host

_TIES_RULES = ("exact", "all")


class Rule(NamedTuple):
    """What a setting may be: its dtype kinds, the allowed values in words, and a test for them."""

    kinds: str
    allowed: str
    is_allowed: Callable[[Array], Array]


RULES = {  # comparisons that are False for nan
    "temperature": Rule("fiu", "a finite number, at least 0", lambda T: np.isfinite(T) & (T >= 0)),
    "top_k": Rule("iu", "a whole number, at least 1, or None for no limit", lambda k: k >= 1),
    "top_p": Rule("fiu", "a number above 0 and at most 1, or None for no limit", lambda p: (p > 0) & (p <= 1)),
    "min_p": Rule("fiu", "a number from 0 to 1, or None for no limit", lambda m: (m >= 0) & (m <= 1)),
}
_LIMITS = tuple(name for name in RULES if name != "temperature")


class RowSettings(NamedTuple):
    """The settings of each row, as NumPy arrays (..., 1); None means no limit."""

    temperature: Array
    top_k: Array | None
    top_p: Array | None
    min_p: Array | None
    ties: str

    def of_rows(self, chosen: Array) -> "RowSettings":
        """Those of some rows, chosen by a mask (...): (n, 1)."""
        per_row: dict[str, Any] = {name: s[chosen] for name, s in self._asdict().items() if isinstance(s, np.ndarray)}
        return self._replace(**per_row)


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """What shapes the distribution of the next token; `probabilities` says how.

    A setting is one number, or an array with one number per row.  Raises ValueError or TypeError, in one line, for a
    value that is not allowed.
    """

    temperature: float | Array = 1.0
    top_k: int | Array | None = None
    top_p: float | Array | None = None
    min_p: float | Array | None = None
    ties: str = "exact"  # or "all"

    def __post_init__(self) -> None:
        if self.ties not in _TIES_RULES:
            raise ValueError(f"ties must be one of {', '.join(_TIES_RULES)}; got {self.ties!r}")
        _check_setting("temperature", self.temperature)
        for name, value in self.limits().items():
            _check_setting(name, value)

    def limits(self) -> dict[str, Any]:
        """top_k, top_p and min_p, without those that are None."""
        return {name: value for name in _LIMITS if (value := getattr(self, name)) is not None}

    def per_row(self, rows: tuple[int, ...]) -> RowSettings:
        """The settings of a batch of this shape.  Raises ValueError for an array of another shape."""
        limits: dict[str, Array | None] = dict.fromkeys(_LIMITS)
        limits |= {name: _broadcast(name, value, rows) for name, value in self.limits().items()}
        return RowSettings(_broadcast("temperature", self.temperature, rows), ties=self.ties, **limits)


def _check_setting(name: str, value: Any) -> None:
    rule, numbers = RULES[name], to_host(value)
    if not numbers.size:
        return  # of an empty batch; NumPy makes an empty list an array of floats
    if numbers.dtype.kind not in rule.kinds:  # a bool is not a number here
        raise TypeError(f"{name} must be {rule.allowed}; got {value!r}")
    wrong = numbers[~rule.is_allowed(numbers)]
    if wrong.size:
        raise ValueError(f"{name} must be {rule.allowed}; got {wrong[0]}")


def _broadcast(name: str, value: Any, rows: tuple[int, ...]) -> Array:
    numbers = to_host(value)
    if numbers.ndim and numbers.shape != rows:
        raise ValueError(f"{name} must be one number, or one per row in shape {rows}; got shape {numbers.shape}")
    return np.broadcast_to(numbers, rows)[..., None]
