"""An array in a few numbers, and as a small picture."""

import math
from dataclasses import dataclass

import numpy as np

from tinygrad_gpt.backend import Array, to_host

ROWS, COLUMNS = 40, 128  # of a large array's heat map; a narrow one may have more rows, with as many cells
_PERCENT_IN_COLOURS = 99  # of the entries are in the range of the colours; the rest take the last colour


@dataclass(frozen=True)
class Stats:
    """An array in a few numbers.  nan and infinite entries are counted, and take part in the others."""

    shape: tuple[int, ...]
    dtype: str
    mean: float  # this and all below are nan for an empty array
    std: float
    min: float
    max: float
    norm: float  # root of the sum of squares
    n_bad: int  # entries that are nan or infinite

    @property
    def rms(self) -> float:
        """Root mean square: how large the entries are, even if all are equal and the deviation is 0."""
        return self.norm / math.sqrt(max(1, math.prod(self.shape)))

    @property
    def whole(self) -> bool:
        """Whether these are ids or a mask, whose mean has no meaning."""
        return np.dtype(self.dtype).kind in "iub"


def stats_of(array: Array) -> Stats:
    """The numbers of an array, computed in float64."""
    x = to_host(array)
    name, shape = str(x.dtype), tuple(x.shape)
    if not x.size:
        return Stats(shape, name, math.nan, math.nan, math.nan, math.nan, math.nan, 0)
    x = x.astype(np.float64)
    with np.errstate(all="ignore"):  # the reader will see infinities; NumPy need not warn
        mean, std, norm = float(x.mean()), float(x.std()), float(np.sqrt((x * x).sum()))
    return Stats(shape, name, mean, std, float(x.min()), float(x.max()), norm, int((~np.isfinite(x)).sum()))


@dataclass(frozen=True)
class HeatMap:
    """An array as a grid of whole numbers from -127 to 127: 127 stands for `scale`, and -128 for nan."""

    grid: Array  # (rows, columns) of int8
    scale: float
    shape: tuple[int, int]  # of the array as a matrix, all axes but the last joined


def heat_map(array: Array, rows: int = ROWS, columns: int = COLUMNS) -> HeatMap:
    """At most rows · columns cells; a cell that several entries share shows the one of largest magnitude."""
    x = to_host(array).astype(np.float64)
    x = x.reshape(1, x.size) if x.ndim < 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    shape = (int(x.shape[0]), int(x.shape[1]))
    if not x.size:
        return HeatMap(np.zeros(shape, np.int8), 0.0, shape)
    x = _largest_of_blocks(x.T, columns).T
    x = _largest_of_blocks(x, max(rows, rows * columns // x.shape[1]))
    finite = np.abs(x[np.isfinite(x)])
    scale = float(np.percentile(finite, _PERCENT_IN_COLOURS)) if finite.size else 0.0
    scale = scale or float(finite.max(initial=0.0))
    units = np.clip(np.where(np.isnan(x), 0, x) / (scale or 1.0), -1, 1)
    grid = np.where(np.isnan(x), -128, np.rint(127 * units)).astype(np.int8)
    return HeatMap(grid, scale, shape)


def _largest_of_blocks(x: Array, n: int) -> Array:
    """The rows in n nearly equal runs: from each run and column, the entry of largest magnitude."""
    if len(x) <= n:
        return x
    runs = np.array_split(x, n)
    return np.stack([np.take_along_axis(run, np.abs(run).argmax(0)[None], axis=0)[0] for run in runs])
