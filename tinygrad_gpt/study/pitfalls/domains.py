"""Hypothesis strategies for the inputs of the lab's ops: arrays of given shapes, no settings."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.strategies import arrays, dyadic, index_arrays

Shape = tuple[int, ...]
ROWS: tuple[tuple[Shape, ...], ...] = (((1, 3),), ((2, 3),), ((3, 4),))


def _numbers(shape: Shape) -> Any:
    """Numbers in [-3, 3] that float32 represents exactly."""
    return arrays(shape, dyadic(3))


def floats_of(*choices: tuple[Shape, ...]) -> Any:
    """Float arrays, with one of these tuples of shapes."""
    return st.sampled_from(choices).flatmap(lambda shapes: st.tuples(st.tuples(*map(_numbers, shapes)), st.just({})))


def table_and_ids(rows: int, width: int, *shapes: Shape) -> Any:
    """A table (rows, width) of floats, and ids of one of these shapes, many of them repeated."""
    ids = st.sampled_from(shapes).flatmap(lambda shape: index_arrays(shape, rows))
    return st.tuples(st.tuples(_numbers((rows, width)), ids), st.just({}))


def masked(mask: Shape, *shapes: Shape) -> Any:
    """Float arrays of these shapes, then a dropout mask of rate 1/2."""
    keep = arrays(mask, st.sampled_from([0.0, 2.0]), np.float64)
    return st.tuples(st.tuples(*map(_numbers, shapes), keep), st.just({}))
