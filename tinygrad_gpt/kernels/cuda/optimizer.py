"""AdamW and the gradients' norm: a few launches for all parameters, for which the host never waits.

Kernels find the arrays through tables of addresses on the device.  A table is sent once: training allocates the same
memory in every step, so CuPy's pool gives the gradients the same few addresses again and again.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array, array_module, current_device, current_stream, to_device
from tinygrad_gpt.kernels.cuda.arrays import THREADS, as_contiguous
from tinygrad_gpt.kernels.cuda.launcher import launch

_FILE = "optimizer.cu"
CHUNK = 2**16  # entries that one block takes; a multiple of four
_MAX_TABLES = 64  # in the cache


def accepts_adamw_update(
    step_counts: Array,
    parameters: Mapping[str, Array],
    gradients: Mapping[str, Array],
    m: Mapping[str, Array],
    v: Mapping[str, Array],
    **settings: Any,
) -> bool:
    """True if there are gradients, all arrays are float32, and those that are written to are contiguous."""
    written = [array[name] for name in gradients for array in (parameters, m, v)]
    return (
        bool(written) and accepts_total_of_squares(*gradients.values(), *written) and all(map(_is_contiguous, written))
    )


def adamw_update(
    step_counts: Array,
    parameters: Mapping[str, Array],
    gradients: Mapping[str, Array],
    m: Mapping[str, Array],
    v: Mapping[str, Array],
    *,
    decays: Mapping[str, bool],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    max_norm: float,
    loss: Array | None,
) -> Array:
    """One step of every parameter that has a gradient, all by name.  Returns the gradients' norm, () of float64.

    If the norm or the loss is not finite, nothing changes, not even step counts.
    """
    names = [name for name in parameters if name in gradients]
    dps = [as_contiguous(gradients[name]) for name in names]  # kept alive until all kernels are launched
    xp = array_module(step_counts)
    updated = _to_current_device("int64", tuple(i for i, name in enumerate(parameters) if name in gradients))
    decayed = _to_current_device("bool", tuple(decays[name] for name in names))
    groups = [(parameters[name], dp, m[name], v[name]) for name, dp in zip(names, dps, strict=True)]
    table, chunks = _table_of(groups), _chunks_of(dps)
    loss = None if loss is None else as_contiguous(loss.astype("float32", copy=False))
    norm, outcome = _norm_and_outcome(xp, table, chunks, loss, max_norm, step_counts, updated)
    launch(
        _FILE,
        "adamw",
        *(table, chunks, step_counts, updated, decayed, outcome, lr, beta1, beta2, eps, weight_decay),
        grid=len(chunks),
        block=THREADS,
    )
    return norm


def accepts_total_of_squares(*arrays: Array) -> bool:
    """True if all arrays are float32, which the kernel cannot see: it gets their addresses."""
    return all(array.dtype.name == "float32" for array in arrays)


def _is_contiguous(array: Array) -> bool:
    return bool(array.flags.c_contiguous)


def total_of_squares(*arrays: Array) -> float:
    """Sum of squares over all entries of all arrays, in float64."""
    xp, held = array_module(*arrays), [as_contiguous(array) for array in arrays]
    table, chunks = _table_of([(array,) * 4 for array in held]), _chunks_of(held)
    norm, _ = _norm_and_outcome(xp, table, chunks, None, 1.0, None, None)
    return float(norm) ** 2


def _norm_and_outcome(
    xp: Any,
    table: Array,
    chunks: Array,
    loss: Array | None,
    max_norm: float,
    counts: Array | None,
    updated: Array | None,
) -> tuple[Array, Array]:
    """The norm () of all gradients in the table, and the outcome () of optimizer.cu; also counts the steps."""
    sums, norm, outcome = xp.empty(len(chunks), "float64"), xp.empty((), "float64"), xp.empty((), "float64")
    launch(_FILE, "squares_of_chunks", table, chunks, sums, grid=len(chunks), block=THREADS)
    n_updated = 0 if updated is None else len(updated)
    finish = sums, len(chunks), loss, max_norm, norm, outcome, counts, updated, n_updated
    launch(_FILE, "norm_and_outcome", *finish, grid=1, block=THREADS)
    return norm, outcome


def _table_of(groups: Iterable[tuple[Array, Array, Array, Array]]) -> Array:
    """The addresses of p, dp, m and v of each parameter: (K, 4), on the device."""
    return _to_current_device("uint64", tuple(array.data.ptr for group in groups for array in group)).reshape(-1, 4)


def _chunks_of(arrays: Sequence[Array]) -> Array:
    """For each block the number of its array, and where it begins and ends in it: (blocks, 3), on the device."""
    sizes = [array.size for array in arrays]
    starts = [(i, start) for i, size in enumerate(sizes) for start in range(0, size, CHUNK)]
    numbers = (number for i, start in starts for number in (i, start, min(start + CHUNK, sizes[i])))
    return _to_current_device("int64", tuple(numbers)).reshape(-1, 3)


def _to_current_device(dtype: str, values: tuple[int, ...]) -> Array:
    """Numbers as an array on the current device."""
    return send_once(current_device(), current_stream(), dtype, values)


@lru_cache(maxsize=_MAX_TABLES)
def send_once(device: int, stream: int, dtype: str, values: tuple[int, ...]) -> Array:
    """Numbers as an array on a device; cached by stream, because on another one they may not have arrived yet."""
    return to_device(np.array(values, dtype), "cuda")
