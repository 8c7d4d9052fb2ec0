"""From probabilities and a uniform number to a token: inverse transform sampling.

The cumulative sums of the probabilities divide [0, total) into slices, one per token.  The token whose slice contains
u * total is drawn.  A token of probability 0 has an empty slice and is never drawn.

Sums are float64: in float32 a cumulative sum over GPT-2's 50,257 tokens has an error of up to 1e-4, and thousands of
possible tokens get an empty slice.  u is multiplied by the last cumulative sum, because rounding makes it differ from 1
and from the result of another order of summation.

Check.  Slices [0, 0.5), empty and [0.5, 1); a border belongs to the slice that begins there:

    >>> import numpy as np
    >>> draw(np.array([0.5, 0.0, 0.5]), np.array([0.0, 0.49, 0.5, 0.99])).tolist()
    [0, 0, 2, 2]
"""

import numpy as np

from tinygrad_gpt.backend import Array, array_module
from tinygrad_gpt.checks import real_numbers
from tinygrad_gpt.rng import Purpose, philox_words, to_uniform


def draw(probs: Array, u: Array) -> Array:
    """The token whose slice contains u in [0, 1).  probs (..., V), u (...) -> ids (...) of int64.

    A single row, probs (V,), takes u of any shape, and the ids have that shape.  Rows need not sum to 1.
    Raises ValueError for u outside [0, 1) and for rows that are not a distribution, TypeError for anything but numbers.
    """
    xp = array_module(probs)
    probs, u = real_numbers("probs", probs), xp.asarray(real_numbers("u", u), dtype=xp.float64)
    if not probs.ndim or not probs.shape[-1]:
        raise ValueError(f"probs must have shape (..., V) with V at least 1; got shape {probs.shape}")
    cdf = probs.cumsum(-1, dtype=xp.float64)
    _check_draw(probs, cdf, u)
    total = cdf[..., -1]
    with np.errstate(under="ignore"):
        target = xp.minimum(u * total, xp.nextafter(total, 0))  # u * total can round up to total, which is in no slice
    if probs.ndim == 1:
        return xp.searchsorted(cdf, target, side="right")  # the first with cdf > target
    return (cdf <= target[..., None]).sum(-1)  # the same, row by row


def _check_draw(probs: Array, cdf: Array, u: Array) -> None:
    """Raise ValueError unless u lies in [0, 1) and fits the rows, each non-negative, of finite mass above 0."""
    xp = array_module(probs)
    if probs.ndim > 1 and u.shape != probs.shape[:-1]:
        raise ValueError(f"u must have one number per row of probs, shape {probs.shape[:-1]}; got shape {u.shape}")
    if not ((u >= 0) & (u < 1)).all():
        raise ValueError(f"u must be at least 0 and below 1; got numbers from {u.min()} to {u.max()}")
    total = cdf[..., -1]
    if not ((probs >= 0).all() and (total > 0).all() and xp.isfinite(total).all()):
        raise ValueError("probs must be at least 0 and finite, with more than 0 in every row")


def uniforms(seed: int, rows: Array, positions: Array) -> Array:
    """One number in [0, 1) for each row and position, which broadcast: float64, 53 random bits each.

    It is a pure function of (seed, row, position): neither the batch nor what was drawn before matters.
    Raises ValueError or TypeError unless rows and positions are whole numbers from 0.
    """
    for name, numbers in (("rows", np.asarray(rows)), ("positions", np.asarray(positions))):
        if numbers.size and numbers.dtype.kind not in "iu":
            raise TypeError(f"{name} must be whole numbers; got dtype {numbers.dtype}")
        if (numbers < 0).any():
            raise ValueError(f"{name} must be at least 0; got {numbers.min()}")
    pairs = np.broadcast(rows, positions)
    drawn = [philox_words(seed, Purpose.SAMPLING, row=int(row), start=int(t), count=1)[0] for row, t in pairs]
    return to_uniform(np.array(drawn, np.uint64)).reshape(pairs.shape)
