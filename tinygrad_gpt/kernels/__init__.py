"""The same ops, faster: one table says which function stands in for which op, on which arrays.

A kernel keeps the contract of its op (same arguments, same answer up to rounding), so the tape may call either.  Delete
this package's rows and everything still runs, slower.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tinygrad_gpt.backend import Array, array_module

Op = Callable[..., Any]  # op(*arrays, **settings) -> (out, vjp)

FASTER: dict[tuple[Op, str, str], Op] = {}  # (op, "numpy" or "cupy", dtype of the first array) -> kernel

_allowed: ContextVar[bool] = ContextVar("kernels_allowed", default=True)


def fastest(op: Op, *arrays: Array) -> Op:
    """The function that computes op on arrays like these: a kernel where the table has one, else op itself."""
    if not FASTER or not _allowed.get():
        return op
    return FASTER.get((op, array_module(*arrays).__name__, arrays[0].dtype.name), op)


@contextmanager
def reference_only() -> Iterator[None]:
    """Within this block (and thread) every op is computed by its own file, no kernel."""
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)
