"""Helpers of the lab's two samplers."""

import math

import numpy as np

from tinygrad_gpt.backend import Array

_NUMBERS = (int, float, np.integer, np.floating)


def softmax(logits: Array) -> Array:
    """Rows of probabilities, in float64."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def checked(logits: Array, temperature: float = 1.0, top_k: int | None = None) -> Array:
    """The logits in float64; raises ValueError for settings or logits out of range."""
    if isinstance(temperature, bool) or not isinstance(temperature, _NUMBERS) or not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be a number above 0; got {temperature!r}")
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int | np.integer) or top_k < 1):
        raise ValueError(f"top_k must be a whole number, at least 1; got {top_k!r}")
    logits = np.asarray(logits, np.float64)
    if logits.shape[-1] == 0 or not np.isfinite(logits.max(-1)).all():
        raise ValueError("logits must be finite or -inf, with a token left to draw")
    return logits
