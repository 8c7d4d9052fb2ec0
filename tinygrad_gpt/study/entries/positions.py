"""Which entries belong together: positions (n, ndim) in one array for positions in another."""

import math

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.entries.entry import Column, Computation, Index

Shape = tuple[int, ...]


def all_positions(shape: Shape) -> Array:
    """All positions of an array, in C order."""
    return np.stack([axis.reshape(-1) for axis in np.indices(shape)], axis=-1) if shape else np.zeros((1, 0), int)


def positions_of_copies(shape: Shape, index: Index, y_shape: Shape) -> Array:
    """The positions in y of entry `index` of an array of this shape, which was broadcast to y's shape."""
    entry = int(np.ravel_multi_index(index, shape)) if shape else 0
    return np.argwhere(np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), y_shape) == entry)


def positions_read(shape: Shape, at: Array) -> Array:
    """The entries that positions `at` in y read from an array of this shape, which was broadcast to y's shape."""
    return at[:, at.shape[1] - len(shape) :] * np.array([n != 1 for n in shape], int)


def positions_along(index: Index, axis: int, length: int) -> Array:
    """The positions along an axis of the row that `index` is in."""
    at = np.tile(np.array(index, int), (length, 1))
    at[:, axis] = np.arange(length)
    return at


def positions_in_column(shape: Shape, last: int) -> Array:
    """The positions of all rows of an array of this shape, at one place of the last axis."""
    return np.insert(all_positions(shape[:-1]), len(shape) - 1, last, axis=1)


def column(call: Computation, name: str, at: Array, form: str = "{}") -> Column:
    """Entries of an input, of y or of dy."""
    return inner(name, call.array(name), at, form)


def inner(name: str, array: Array, at: Array, form: str = "{}") -> Column:
    """Entries of an array inside the op."""
    values = array[tuple(at.T)] if at.shape[1] else np.full(len(at), array)
    return Column(name, values, at, form)


def single_position(index: Index) -> Array:
    """A single position."""
    return np.array([index], int).reshape(1, len(index))
