"""What the sampler refuses, in words that name the argument, the value and what is allowed."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinygrad_gpt.backend import Array, array_module, to_host
from tinygrad_gpt.checks import real_numbers

_TIES_RULES = ("exact", "all")


class Rule(NamedTuple):
    """What a setting may be: its dtype kinds, the values allowed, in words and as a test."""

    kinds: str
    allowed: str
    holds: Callable[[Array], Array]


RULES = {  # comparisons that are false of nan
    "temperature": Rule("fiu", "a finite number, at least 0", lambda T: np.isfinite(T) & (T >= 0)),
    "top_k": Rule("iu", "a whole number, at least 1, or None for no limit", lambda k: k >= 1),
    "top_p": Rule("fiu", "a number above 0 and at most 1, or None for no limit", lambda p: (p > 0) & (p <= 1)),
    "min_p": Rule("fiu", "a number from 0 to 1, or None for no limit", lambda m: (m >= 0) & (m <= 1)),
}


def check_settings(
    rows: tuple[int, ...],
    *,
    temperature: float | Array,
    top_k: int | Array | None,
    top_p: float | Array | None,
    min_p: float | Array | None,
    ties: str,
) -> tuple[Array, Array | None, Array | None, Array | None]:
    """temperature, top_k, top_p and min_p on the host, (*rows, 1) each; None stays None.

    Raises ValueError or TypeError, in one line.
    """
    if ties not in _TIES_RULES:
        raise ValueError(f"ties must be one of {', '.join(_TIES_RULES)}; got {ties!r}")
    return (
        _check_setting("temperature", temperature, rows),
        None if top_k is None else _check_setting("top_k", top_k, rows),
        None if top_p is None else _check_setting("top_p", top_p, rows),
        None if min_p is None else _check_setting("min_p", min_p, rows),
    )


def _check_setting(name: str, value: float | Array, rows: tuple[int, ...]) -> Array:
    """One number, or one per row, as an array (*rows, 1)."""
    rule, numbers = RULES[name], to_host(value)
    if numbers.dtype.kind not in rule.kinds:  # a bool is no number here
        raise TypeError(f"{name} must be {rule.allowed}; got {value!r}")
    if numbers.ndim and numbers.shape != rows:
        raise ValueError(f"{name} must be one number, or one per row in shape {rows}; got shape {numbers.shape}")
    wrong = numbers[~rule.holds(numbers)]
    if wrong.size:
        raise ValueError(f"{name} must be {rule.allowed}; got {wrong[0]}")
    return np.broadcast_to(numbers, rows)[..., None]


def check_logits(logits: Array) -> Array:
    """logits (..., V) in float64 and in C order, so that a row's sums do not depend on the caller's layout.

    Raises TypeError for what is no array of numbers, ValueError for a shape without V, and for a nan, an inf or a row
    of -inf throughout, naming row and id.
    """
    xp = array_module(logits)
    x = real_numbers("logits", logits)
    if not x.ndim or not x.shape[-1]:
        raise ValueError(f"logits must have shape (..., V) with V at least 1; got shape {x.shape}")
    x = xp.ascontiguousarray(x, dtype=xp.float64)
    if not xp.isfinite(x.max(-1)).all():  # the maximum is nan if any logit is: one pass finds every fault
        raise ValueError(_first_fault(to_host(x)))
    return x


def _first_fault(x: Array) -> str:
    """What is wrong with logits (..., V) that hold a nan, an inf or a row of -inf throughout, and where."""
    faults = np.argwhere(np.isnan(x) | (x == np.inf))
    if len(faults):
        *row, token = faults[0].tolist()
        return f"logits must be finite or -inf; got {x[*row, token]} at {_row_name(row)}, id {token}"
    row = np.argwhere((x == -np.inf).all(-1))[0].tolist()
    return f"logits must leave a token to draw; got -inf for every id (0 to {x.shape[-1] - 1}) of {_row_name(row)}"


def _row_name(row: list[int]) -> str:
    """'row 2', or in a batch of batches 'row (1, 2)'; a row on its own is row 0."""
    return f"row {tuple(row)}" if len(row) > 1 else f"row {row[0] if row else 0}"
