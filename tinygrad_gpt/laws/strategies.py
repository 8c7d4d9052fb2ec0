"""Hypothesis strategies for cases, simplest first, small on purpose.

Drawing array elements takes time, so rows and vocabularies are small; a large array is a drawn seed that `normal`
expands.  What the laws need often is drawn on purpose: ties, masks, k from V, repeated ids.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Array = Any
Strategy = st.SearchStrategy[Any]

GRID = (0.0, 1.0, -1.0, -2.0, 0.5, 3.0)  # few values, so that rows are full of ties
_EXTREMES = (0.0, 88.0, -88.0, 1e4, -1e4, 1e30, -1e30)
N_SEEDS = 2**64


def arrays(shape: tuple[int, ...], elements: Strategy, dtype: Any = np.float64, unique: bool = False) -> Strategy:
    """Arrays whose elements are all drawn separately (by default Hypothesis repeats one value in most of them)."""
    return hnp.arrays(dtype, shape, elements=elements, fill=st.nothing(), unique=unique)


def ties() -> Strategy:
    """Numbers from a small grid, so that many are equal."""
    return st.sampled_from(GRID)


def floats(limit: float = 30.0) -> Strategy:
    """Numbers in [-limit, limit], no denormals."""
    return st.floats(-limit, limit, allow_subnormal=False)


def dyadic(limit: int = 32) -> Strategy:
    """Multiples of 1/256 in [-limit, limit]: their sums and differences are exact, also in float32."""
    return st.integers(-limit * 256, limit * 256).map(lambda n: n / 256)


def shapes(rows: tuple[int, int] = (1, 3), vocabulary: tuple[int, int] = (1, 8)) -> Strategy:
    """(B, V)"""
    return st.tuples(st.integers(*rows), st.integers(*vocabulary))


_ANY_LOGITS = (ties(), floats(), st.sampled_from(_EXTREMES))


@st.composite
def logits_of(
    draw: st.DrawFn,
    shape: tuple[int, int],
    elements: Sequence[Strategy] = _ANY_LOGITS,
    masked: bool = True,
    unique: bool = False,
) -> Array:
    """Logits of this shape (B, V), float64: ties, floats or extremes; some ids forbidden by -inf, never a whole row.

    The elements are drawn last, so that Hypothesis can shrink the shape without changing the other draws.
    """
    mask = draw(arrays(shape, st.booleans(), bool)) if masked and draw(st.booleans()) else np.zeros(shape, bool)
    mask[mask.all(-1), :1] = False
    x = draw(st.one_of(*(arrays(shape, values, unique=unique) for values in elements)))
    x[mask] = -np.inf
    return x


def logits(rows: tuple[int, int] = (1, 3), vocabulary: tuple[int, int] = (1, 8), **options: Any) -> Strategy:
    """Logits (B, V) of any such shape; options as in `logits_of`."""
    return shapes(rows, vocabulary).flatmap(lambda shape: logits_of(shape, **options))


def ks(vocabulary: int) -> Strategy:
    """top_k for a vocabulary of V: 1 ... V - 1, V, V + 1, V + 1000.  If k were drawn without V, most would exceed V."""
    return st.integers(1, max(1, vocabulary - 1)) | st.sampled_from([vocabulary, vocabulary + 1, vocabulary + 1000])


def temperatures() -> Strategy:
    """Common ones, or log-uniform from 0.05 to 20."""
    return st.sampled_from([1.0, 0.5, 2.0, 0.1, 1.5]) | st.floats(-1.3, 1.3).map(lambda e: round(10.0**e, 4))


def fractions() -> Strategy:
    """top_p and min_p: in (0, 1], often simple ones."""
    return st.sampled_from([0.5, 0.9, 1.0, 0.25, 0.75]) | st.floats(0.01, 1.0)


def unit() -> Strategy:
    """u in [0, 1), often at its ends."""
    return st.sampled_from([0.0, 0.5, 1 - 2.0**-53, 2.0**-53]) | st.integers(0, 2**53 - 1).map(lambda n: n * 2.0**-53)


def seeds() -> Strategy:
    """Seeds 0 ... 2**64 - 1, often at the limits.  A seed is part of the case, so that a random law can be replayed."""
    return st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**63, N_SEEDS - 1]) | st.integers(0, N_SEEDS - 1)


def cotangents(shape: tuple[int, ...]) -> Strategy:
    """dLoss/dy of this shape: distinct values, none of them 0; with equal ones a wrong vjp can look right."""
    numbers = st.integers(-512, 511).map(lambda n: (n + (n >= 0)) / 128)
    return arrays(shape, numbers, unique=True)


def index_arrays(shape: tuple[int, ...], below: int, distinct: int = 3) -> Strategy:
    """Ids in [0, below) of int64, from a small range, so that ids repeat."""
    return arrays(shape, st.integers(0, min(below, distinct) - 1), np.int64)


_LAYOUTS = ("strided", "reversed", "transposed", "read-only", "fortran")


def layouts() -> Strategy:
    """The name of a memory layout for `laid_out`."""
    return st.sampled_from(_LAYOUTS)


def laid_out(x: Array, layout: str) -> Array:
    """A copy of x in another layout.  Raises ValueError for an unknown one."""
    if layout == "strided":
        wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), 7, x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    if layout == "reversed":
        return np.array(x[..., ::-1], order="C")[..., ::-1]
    if layout == "transposed":
        return np.array(x.T, order="C").T
    if layout == "read-only":
        y = x.copy()
        y.flags.writeable = False
        return y
    if layout == "fortran":
        return np.array(x, order="F")
    raise ValueError(f"layout must be one of {', '.join(_LAYOUTS)}; got {layout!r}")


def normal(seed: int, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers of float64 from a seed: a large array for one drawn integer."""
    return np.random.Generator(np.random.Philox(key=seed)).standard_normal(shape)
