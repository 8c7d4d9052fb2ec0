"""Samplers written for one row at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array


def row_by_row(one_row: Callable[..., Array]) -> Callable[..., Array]:
    """f(logits (V), **settings) -> (V) as a function of batches (B, V).

    >>> row_by_row(lambda x: x / x.sum())(np.array([[1.0, 1.0], [1.0, 3.0]])).tolist()
    [[0.5, 0.5], [0.25, 0.75]]
    """

    def batch(logits: Array, **settings: Any) -> Array:
        rows = [np.asarray(one_row(row, **settings)) for row in logits]
        return np.stack(rows) if rows else np.zeros(logits.shape)

    return batch
