"""The sum of squared gradient entries.  Threads share the blocks; for any number of threads the bits are the op's."""

from tinygrad_gpt.backend import Array
from tinygrad_gpt.kernels.threads import blocks, parallel_for
from tinygrad_gpt.ops.norms import BLOCK_ENTRIES, dot_with_itself


def total_of_squares(*arrays: Array) -> float:
    """Σ x² over all entries of all arrays, in float64."""
    return sum(_sum_of_squares(array) for array in arrays)


def _sum_of_squares(x: Array) -> float:
    """Σ x² in float64."""
    flat = x.reshape(-1)
    pieces = blocks(slice(0, len(flat)), BLOCK_ENTRIES)
    sums = [0.0] * len(pieces)

    def work(part: slice) -> None:
        for i in range(part.start, part.stop):
            sums[i] = dot_with_itself(flat[pieces[i]])

    parallel_for(work, len(pieces))
    return sum(sums)
