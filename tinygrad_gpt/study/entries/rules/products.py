"""Matrix products: every entry is a sum of products along one axis."""

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.study.entries.entry import Block, Computation, Index, Rules
from tinygrad_gpt.study.entries.positions import (
    column,
    positions_along,
    positions_in_column,
    positions_of_copies,
    positions_read,
    single_position,
)


def linear(call: Computation) -> Rules:
    """y = x W + b."""
    x, weight = list(call.inputs)[:2]
    bias = next((name for name in list(call.inputs)[2:] if call.inputs[name] is not None), None)
    n_in, n_out = call.shape(weight)

    def y(index: Index) -> tuple[str, list[Block]]:
        terms = Block(
            (
                column(call, x, positions_along(index, -1, n_in)),
                column(call, weight, positions_along((0, index[-1]), 0, n_in)),
            )
        )
        if bias is None:
            return f"Σ {x} {weight}", [terms]
        return f"Σ {x} {weight} + {bias}", [
            terms,
            Block((column(call, bias, single_position(index[-1:])),), "the bias"),
        ]

    def dx(index: Index) -> tuple[str, list[Block]]:
        return f"Σ dy {weight}", [
            Block(
                (
                    column(call, "dy", positions_along(index, -1, n_out)),
                    column(call, weight, positions_along((index[-1], 0), 1, n_out)),
                )
            )
        ]

    def dweight(index: Index) -> tuple[str, list[Block]]:
        at_x, at_y = positions_in_column(call.shape(x), index[0]), positions_in_column(call.y.shape, index[1])
        return f"Σ {x} dy", [Block((column(call, x, at_x), column(call, "dy", at_y)))]

    def dbias(index: Index) -> tuple[str, list[Block]]:
        return "Σ dy", [Block((column(call, "dy", positions_in_column(call.y.shape, index[0])),))]

    rules = {"y": y, f"d{x}": dx, f"d{weight}": dweight}
    return rules if bias is None else {**rules, f"d{bias}": dbias}


def matmul(call: Computation) -> Rules:
    """Y = A B; a vector is a matrix of one row (left) or one column (right)."""
    a, b = call.inputs
    a_shape, b_shape = call.shape(a), call.shape(b)
    row, col = len(a_shape) > 1, len(b_shape) > 1  # whether y has an axis for rows, for columns
    n_inner = a_shape[-1]
    batch = call.y.shape[: call.y.ndim - row - col]

    def at_a(batches: Array, m: Array | int, k: Array | int) -> Array:
        return _positions(a_shape[:-2], batches, [m, k] if row else [k])

    def at_b(batches: Array, k: Array | int, n: Array | int) -> Array:
        return _positions(b_shape[:-2], batches, [k, n] if col else [k])

    def at_y(batches: Array, m: Array | int, n: Array | int) -> Array:
        return _positions(batch, batches, [*([m] if row else []), *([n] if col else [])])

    def y(index: Index) -> tuple[str, list[Block]]:
        m = index[len(batch)] if row else 0
        n = index[-1] if col else 0
        batches, k = np.tile(np.array(index[: len(batch)], int), (n_inner, 1)), np.arange(n_inner)
        return f"Σ {a} {b}", [Block((column(call, a, at_a(batches, m, k)), column(call, b, at_b(batches, k, n))))]

    def da(index: Index) -> tuple[str, list[Block]]:
        m, k = (index[-2], index[-1]) if row else (0, index[-1])
        n_columns = b_shape[-1] if col else 1
        batches, n = _crossed(positions_of_copies(a_shape[:-2], index[:-2], batch), n_columns)
        return f"Σ dy {b}", [Block((column(call, "dy", at_y(batches, m, n)), column(call, b, at_b(batches, k, n))))]

    def db(index: Index) -> tuple[str, list[Block]]:
        k, n = (index[-2], index[-1]) if col else (index[-1], 0)
        n_rows = a_shape[-2] if row else 1
        batches, m = _crossed(positions_of_copies(b_shape[:-2], index[:-2], batch), n_rows)
        return f"Σ {a} dy", [Block((column(call, a, at_a(batches, m, k)), column(call, "dy", at_y(batches, m, n))))]

    return {"y": y, f"d{a}": da, f"d{b}": db}


def _crossed(batches: Array, n: int) -> tuple[Array, Array]:
    """Each position of the batch with each of n numbers."""
    return np.repeat(batches, n, axis=0), np.tile(np.arange(n), len(batches))


def _positions(shape: tuple[int, ...], batches: Array, rest: list[Array | int]) -> Array:
    """Positions in an array whose leading axes have this shape and are broadcast to the batch."""
    lead = positions_read(shape, batches)
    return np.concatenate([lead, *(np.broadcast_to(i, len(batches))[:, None] for i in rest)], axis=1).astype(int)
