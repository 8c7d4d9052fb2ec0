"""The same ops, faster: one table says which function stands in for which op, on which arrays.

A kernel keeps the contract of its op (same arguments, same answer up to rounding), so the tape may call either.  Delete
this package's rows and everything still runs, slower.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from tinygrad_gpt import ops
from tinygrad_gpt.backend import Array, array_module
from tinygrad_gpt.kernels import cpu, cuda
from tinygrad_gpt.kernels.memory import keep_freed_memory as keep_freed_memory
from tinygrad_gpt.kernels.threads import blas_threads as blas_threads
from tinygrad_gpt.kernels.threads import default_num_threads as default_num_threads
from tinygrad_gpt.kernels.threads import num_threads as num_threads
from tinygrad_gpt.kernels.threads import set_num_threads as set_num_threads
from tinygrad_gpt.kernels.threads import using_threads as using_threads

Op = Callable[..., Any]  # op(*arrays, **settings) -> (out, vjp)

FASTER: dict[tuple[Op, str, str], Op] = {  # (op, "numpy" or "cupy", dtype of the first array) -> kernel
    (ops.causal_attention, "numpy", "float32"): cpu.causal_attention,
    (ops.gelu, "numpy", "float32"): cpu.gelu,
    (ops.layer_norm, "numpy", "float32"): cpu.layer_norm,
    (ops.linear, "numpy", "float32"): cpu.linear,
    (ops.linear_cross_entropy, "numpy", "float32"): cpu.linear_cross_entropy,
    (ops.add, "cupy", "float32"): cuda.add,  # of what bfloat16 leaves to float32; its sums are the op's else
    (ops.causal_attention, "cupy", "float32"): cuda.causal_attention,
    (ops.causal_attention, "cupy", "bfloat16"): cuda.causal_attention,
    (ops.cross_entropy, "cupy", "float32"): cuda.cross_entropy,
    (ops.cross_entropy, "cupy", "bfloat16"): cuda.cross_entropy,
    (ops.dropout, "cupy", "float32"): cuda.dropout,
    (ops.dropout, "cupy", "bfloat16"): cuda.dropout,
    (ops.embedding, "cupy", "float32"): cuda.embedding,
    (ops.gelu, "cupy", "float32"): cuda.gelu,
    (ops.gelu, "cupy", "bfloat16"): cuda.gelu,
    (ops.layer_norm, "cupy", "float32"): cuda.layer_norm,
    (ops.linear, "cupy", "float32"): cuda.linear,
    (ops.linear, "cupy", "bfloat16"): cuda.linear,
    (ops.linear_cross_entropy, "cupy", "float32"): cuda.linear_cross_entropy,
    (ops.linear_cross_entropy, "cupy", "bfloat16"): cuda.linear_cross_entropy,
    (ops.log_softmax, "cupy", "float32"): cuda.log_softmax,
    (ops.softmax, "cupy", "float32"): cuda.softmax,
}

Around = Callable[[Op, Op], Op]  # (op, the function that computes it) -> a function to call instead

_allowed: ContextVar[bool] = ContextVar("kernels_allowed", default=True)
_around: ContextVar[Around | None] = ContextVar("around_ops", default=None)


def kernel_for(function: Op, *arrays: Array) -> Op:
    """The function that computes this one on arrays like these: a kernel where the table has one, else itself.

    Raises TypeError for bfloat16 without a kernel: the reference ops are not meant for it.
    """
    if not arrays:
        return function
    dtype = name_of(arrays[0].dtype)
    kernel = FASTER.get((function, array_module(*arrays).__name__, dtype)) if _allowed.get() else None
    if kernel is None and dtype == "bfloat16":
        raise TypeError(f"{function.__name__} has no kernel for bfloat16; cast to float32 first")
    return function if kernel is None else kernel


@cache
def name_of(dtype: Any) -> str:
    """The dtype's name, which NumPy puts together anew each time."""
    return str(dtype.name)


def fastest(op: Op, *arrays: Array) -> Op:
    """The function that runs an op on arrays like these: its kernel or itself, inside what `around_ops` has set."""
    chosen, around = kernel_for(op, *arrays), _around.get()
    return chosen if around is None else around(op, chosen)


def reference_only() -> AbstractContextManager[None]:
    """Within this block (and thread) every op is computed by its own file, no kernel."""
    return setting(_allowed, False)


def around_ops(around: Around) -> AbstractContextManager[None]:
    """Within this block (and thread) an op runs as around(op, the function that computes it): to time it, say."""
    return setting(_around, around)


@contextmanager
def setting(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    """Within this block (and thread) the variable has this value."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
