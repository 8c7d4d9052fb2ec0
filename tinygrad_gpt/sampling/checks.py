"""The check of logits; its errors name the row and the id."""

import numpy as np

from tinygrad_gpt.backend import Array, array_module, to_host
from tinygrad_gpt.checks import real_numbers


def check_logits(logits: Array) -> Array:
    """logits (..., V) in float64 and in C order, so that a row's sums do not depend on the caller's memory layout.

    Raises TypeError unless logits are an array of numbers; ValueError for a shape without V, and for a nan, an inf or
    a row of only -inf.
    """
    xp = array_module(logits)
    x = real_numbers("logits", logits)
    if not x.ndim or not x.shape[-1]:
        raise ValueError(f"logits must have shape (..., V) with V at least 1; got shape {x.shape}")
    x = xp.ascontiguousarray(x, dtype=xp.float64)
    if not xp.isfinite(x.max(-1)).all():  # a maximum is nan if a logit is nan: one pass finds all faults
        raise ValueError(_first_fault(to_host(x)))
    return x


def _first_fault(x: Array) -> str:
    """The error text for logits (..., V) with a nan, an inf or a row of only -inf."""
    faults = np.argwhere(np.isnan(x) | (x == np.inf))
    if len(faults):
        *row, token = faults[0].tolist()
        return f"logits must be finite or -inf; got {x[*row, token]} at {_row_name(row)}, id {token}"
    row = np.argwhere((x == -np.inf).all(-1))[0].tolist()
    return f"logits must leave a token to draw; got -inf for every id (0 to {x.shape[-1] - 1}) of {_row_name(row)}"


def _row_name(row: list[int]) -> str:
    """'row 2', or in a batch of batches 'row (1, 2)'; a single row is row 0."""
    return f"row {tuple(row)}" if len(row) > 1 else f"row {row[0] if row else 0}"
