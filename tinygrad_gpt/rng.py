"""The only source of random numbers: Philox, a generator that is a function of a counter and has no other state.

A random word (64 random bits) is a pure function of the place where it is used:

    word i of the stream (seed, purpose, step, row, site)

So no generator state has to be saved, evaluation cannot disturb training, a row's numbers do not depend on the batch
that it is in, and a GPU can compute the same bits.  The key of Philox4x64-10 is (seed, purpose), its counter
(block, row, step, site); a block has four 64-bit words, so word i is lane i % 4 of block i // 4.

NumPy adds one to the counter before it computes a block: our block 0 is the plain algorithm's block 1.
Only raw words are taken from NumPy: they never change, while its distributions may change with a release.

Source.  Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.
"""

import math
import operator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.checks import fraction

_SEEDS = 2**64


class Purpose(IntEnum):
    """What a random number is used for.  Streams of different purposes never overlap."""

    WEIGHTS = 1
    DATA_ORDER = 2
    DROPOUT = 3
    SAMPLING = 4


def check_seed(seed: int) -> int:
    """seed as a Python int.  Raises ValueError outside [0, 2**64), TypeError for anything but a whole number."""
    if isinstance(seed, bool):
        raise TypeError(f"seed must be a whole number from 0 to 2**64 - 1; got {seed!r}")
    try:
        value = operator.index(seed)
    except TypeError:
        raise TypeError(f"seed must be a whole number from 0 to 2**64 - 1; got {seed!r}") from None
    if not 0 <= value < _SEEDS:
        raise ValueError(f"seed must be from 0 to 2**64 - 1; got {value}")
    return value


def philox_words(
    seed: int, purpose: int, *, step: int = 0, row: int = 0, site: int = 0, start: int = 0, count: int
) -> Array:
    """The words start ... start + count - 1 of a stream: (count,) of uint64."""
    if min(step, row, site, start, count) < 0:
        raise ValueError(f"step, row, site, start and count must be at least 0; got {(step, row, site, start, count)}")
    block, lane = divmod(start, 4)
    key = np.array([check_seed(seed), int(purpose)], np.uint64)
    counter = np.array([block, row, step, site], np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(lane + count)[lane:]


def to_uniform(words: Array) -> Array:
    """64-bit words -> float64 in [0, 1), exact since only the upper 53 bits are used; 2**64 - 1 gives 1 - 2**-53."""
    return (words >> np.uint64(11)) * 2.0**-53


def permutation(n: int, seed: int, purpose: int, *, step: int = 0) -> Array:
    """A random order of 0 ... n - 1: (n,) of int64, from sorting n random words; ties go to the lower index."""
    return np.argsort(philox_words(seed, purpose, step=step, count=n), kind="stable")


def uniforms(count: int, seed: int, purpose: int, *, site: int = 0) -> Array:
    """Uniform random numbers in [0, 1), (count,) of float64."""
    return to_uniform(philox_words(seed, purpose, site=site, count=count))


def normals(count: int, seed: int, purpose: int, *, site: int = 0) -> Array:
    """Standard normal random numbers, (count,) of float64, by the Box-Muller transform.

    Two uniforms u, w give two independent normals: sqrt(-2 ln u) cos 2 pi w and sqrt(-2 ln u) sin 2 pi w.
    u is taken from (0, 1], because the logarithm of 0 is infinite.

    Source.  Box & Muller 1958, "A note on the generation of random normal deviates".
    """
    pairs = uniforms(count + count % 2, seed, purpose, site=site).reshape(-1, 2)
    radius = np.sqrt(-2 * np.log(1 - pairs[:, 0]))
    angle = 2 * math.pi * pairs[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(-1)[:count]


@dataclass(frozen=True)
class Dropout:
    """The source of dropout masks for a forward pass: those of training step `step` in a run with this seed.

    first_row is the index of the batch's first row in the batch of the whole step, so that micro-batches get the same
    masks as one big batch.
    """

    seed: int
    step: int
    first_row: int = 0

    def mask(self, site: int, shape: tuple[int, ...], rate: float, dtype: Array) -> Array:
        """A mask of 0 and 1/(1 - rate) of this shape (rows first), for the site-th dropout of the model.

        A unit is kept if its 16 random bits, a number below 65,536, are below a threshold.  The scale is 1 divided by
        the fraction that is really kept, so the mask's mean is exactly 1 even if the rate is not a multiple of 2**-16.
        """
        kept = _keep_threshold(rate)
        per_row = math.prod(shape[1:])
        mask = np.empty((shape[0], per_row), dtype)
        scale = mask.dtype.type(2**16 / kept)
        for i, row in enumerate(mask, start=self.first_row):
            lanes = philox_words(self.seed, Purpose.DROPOUT, step=self.step, row=i, site=site, count=-(-per_row // 4))
            np.multiply(lanes.view(np.uint16)[:per_row] < kept, scale, out=row)
        return mask.reshape(shape)

    def lazy_mask(self, site: int, shape: tuple[int, ...], rate: float) -> "LazyMask":
        """The mask that `mask` returns, given by its random-number key: a GPU kernel generates it when needed."""
        return LazyMask(check_seed(self.seed), self.step, self.first_row, site, shape, rate)


@dataclass(frozen=True)
class LazyMask:
    """A dropout mask given by its random-number key, not stored: each entry is that of Dropout.mask.

    16 entries of a row use one Philox block.  Entry e of row i uses 16 bits, from bit 16·(e % 4) on, of word (e // 4) %
    4 in block e // 16 of the stream (seed, DROPOUT, step, row first_row + i, site).
    """

    seed: int
    step: int
    first_row: int
    site: int
    shape: tuple[int, ...]
    rate: float

    @property
    def per_row(self) -> int:
        """The number of entries in a row; rows are counted by axis 0."""
        return math.prod(self.shape[1:])

    @property
    def kept(self) -> int:
        """The threshold: the number of values, of 65,536, that keep a unit."""
        return _keep_threshold(self.rate)

    @property
    def scale(self) -> float:
        """The factor of an entry that is kept."""
        return 2**16 / self.kept


def _keep_threshold(rate: float) -> int:
    """The number of 16-bit values, of 65,536, that keep a unit at this rate; at least one."""
    fraction("rate", rate)
    return max(1, round((1 - rate) * 2**16))
