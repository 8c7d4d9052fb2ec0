"""Faster versions of the ops: one table says which function replaces which op, on which arrays.

A kernel takes the same arguments as its op and gives the same results up to rounding, so the tape may call either of
them.  Without the rows of the table everything still runs, only slower.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from tinygrad_gpt import ops
from tinygrad_gpt.backend import Array, array_module
from tinygrad_gpt.kernels import cpu, cuda
from tinygrad_gpt.kernels.memory import keep_freed_memory as keep_freed_memory
from tinygrad_gpt.kernels.threads import default_num_threads as default_num_threads
from tinygrad_gpt.kernels.threads import num_threads as num_threads
from tinygrad_gpt.kernels.threads import set_num_threads as set_num_threads
from tinygrad_gpt.kernels.threads import use_blas_threads as use_blas_threads
from tinygrad_gpt.kernels.threads import use_threads as use_threads
from tinygrad_gpt.ops.adamw import adamw_update
from tinygrad_gpt.ops.kv_cache import append_and_attend, append_kv
from tinygrad_gpt.ops.norms import total_of_squares
from tinygrad_gpt.rng import Dropout, LazyMask

Op = Callable[..., Any]  # op(*arrays, **settings) -> (out, vjp)


def op_name(op: Op) -> str:
    """The op's name in errors and tables: its function's if it is a partial, its repr if it has none."""
    function = without_partial(op)
    return str(getattr(function, "__name__", repr(function)))


def without_partial(op: Op) -> Op:
    """The function of a partial; any other op itself."""
    while isinstance(op, partial):
        op = op.func
    return op


def _accepts_all(*arrays: Array, **settings: Any) -> bool:
    return True


@dataclass(frozen=True)
class Kernel:
    """A row of the table: `function` may replace `op` where the first array has this module and dtype.

    It is called only with arguments that `accepts` accepts.  That is a cheap check of shapes, dtypes and settings,
    never of entries.  The op gets all other calls, and raises the errors.
    """

    op: Op
    module: str  # "numpy" or "cupy"
    dtype: str  # of the first array
    function: Op
    accepts: Callable[..., bool] = _accepts_all

    def choose(self, *arrays: Array, **settings: Any) -> Op:
        """The function for this call: the kernel if it accepts the arguments, else the op."""
        return self.function if self.accepts(*arrays, **settings) else self.op


ROWS = (
    Kernel(ops.causal_attention, "numpy", "float32", cpu.causal_attention, cpu.accepts_causal_attention),
    Kernel(ops.gelu, "numpy", "float32", cpu.gelu, cpu.accepts_gelu),
    Kernel(ops.layer_norm, "numpy", "float32", cpu.layer_norm),
    Kernel(ops.linear, "numpy", "float32", cpu.linear),
    Kernel(ops.linear_cross_entropy, "numpy", "float32", cpu.linear_cross_entropy, cpu.accepts_linear_cross_entropy),
    Kernel(adamw_update, "numpy", "int64", cpu.adamw_update, cpu.accepts_adamw_update),  # int64: the step counts
    Kernel(total_of_squares, "numpy", "float32", cpu.total_of_squares),
    Kernel(ops.add, "cupy", "float32", cuda.add, cuda.accepts_add),
    Kernel(ops.causal_attention, "cupy", "float32", cuda.causal_attention, cuda.accepts_causal_attention),
    Kernel(ops.causal_attention, "cupy", "bfloat16", cuda.causal_attention, cuda.accepts_causal_attention),
    Kernel(ops.cross_entropy, "cupy", "float32", cuda.cross_entropy, cuda.accepts_cross_entropy),
    Kernel(ops.cross_entropy, "cupy", "bfloat16", cuda.cross_entropy, cuda.accepts_cross_entropy),
    Kernel(ops.dropout, "cupy", "float32", cuda.dropout, cuda.accepts_dropout),
    Kernel(ops.dropout, "cupy", "bfloat16", cuda.dropout, cuda.accepts_dropout),
    Kernel(ops.embedding, "cupy", "float32", cuda.embedding, cuda.accepts_embedding),
    Kernel(ops.gelu, "cupy", "float32", cuda.gelu, cuda.accepts_gelu),
    Kernel(ops.gelu, "cupy", "bfloat16", cuda.gelu, cuda.accepts_gelu),
    Kernel(ops.layer_norm, "cupy", "float32", cuda.layer_norm, cuda.accepts_layer_norm),
    Kernel(ops.linear, "cupy", "float32", cuda.linear, cuda.accepts_linear),
    Kernel(ops.linear, "cupy", "bfloat16", cuda.linear, cuda.accepts_linear),
    Kernel(ops.linear_cross_entropy, "cupy", "float32", cuda.linear_cross_entropy, cuda.accepts_linear_cross_entropy),
    Kernel(ops.linear_cross_entropy, "cupy", "bfloat16", cuda.linear_cross_entropy, cuda.accepts_linear_cross_entropy),
    Kernel(ops.log_softmax, "cupy", "float32", cuda.log_softmax, cuda.accepts_softmax),
    Kernel(ops.softmax, "cupy", "float32", cuda.softmax, cuda.accepts_softmax),
    Kernel(adamw_update, "cupy", "int64", cuda.adamw_update, cuda.accepts_adamw_update),
    Kernel(total_of_squares, "cupy", "float32", cuda.total_of_squares, cuda.accepts_total_of_squares),
    Kernel(append_kv, "cupy", "float32", cuda.append_kv, cuda.accepts_head),
    Kernel(append_kv, "cupy", "bfloat16", cuda.append_kv, cuda.accepts_head),
    Kernel(append_and_attend, "cupy", "float32", cuda.append_and_attend, cuda.accepts_head),
    Kernel(append_and_attend, "cupy", "bfloat16", cuda.append_and_attend, cuda.accepts_head),
)
KERNELS = {(row.op, row.module, row.dtype): row for row in ROWS}

OpHook = Callable[[Op, Op], Op]  # (op, the function that computes it) -> a function to call instead

_allowed: ContextVar[bool] = ContextVar("kernels_allowed", default=True)
_op_hook: ContextVar[OpHook | None] = ContextVar("op_hook", default=None)


def kernel_for(op: Op, *arrays: Array, **settings: Any) -> Op:
    """The function that computes an op on this input: the kernel of the table that accepts it, else the op.

    Raises TypeError for bfloat16 if the table has no kernel: the ops do not support it.
    """
    if not arrays:
        return op
    dtype = _dtype_name(arrays[0].dtype)
    kernel = KERNELS.get((op, array_module(*arrays).__name__, dtype)) if _allowed.get() else None
    if kernel is not None:
        return kernel.choose(*arrays, **settings)
    if dtype == "bfloat16":
        raise TypeError(f"{op_name(op)} has no kernel for bfloat16; cast to float32 first")
    return op


def mask_for(
    op: Op, masks: Dropout, site: int, shape: tuple[int, ...], rate: float, x: Array, **settings: Any
) -> Array | LazyMask:
    """The site-th dropout mask of this shape, in the form that the function for op(x, mask, **settings) takes.

    That is an array on x's device, float32 where x has 16 bits; or a LazyMask, for a GPU kernel that draws it itself.
    """
    if array_module(x) is np:
        return masks.mask(site, shape, rate, x.dtype)
    lazy = masks.lazy_mask(site, shape, rate)
    return cuda.draw_mask(lazy, x) if kernel_for(op, x, lazy, **settings) is op else lazy


@cache
def _dtype_name(dtype: Any) -> str:
    """The dtype's name; cached, because NumPy builds the string again each time."""
    return str(dtype.name)


def dispatch(op: Op, *arrays: Array, **settings: Any) -> Op:
    """The function that runs an op on this input: its kernel or the op itself, wrapped by the hook of `op_hook`."""
    chosen, hook = kernel_for(op, *arrays, **settings), _op_hook.get()
    return chosen if hook is None else hook(op, chosen)


def reference_only() -> AbstractContextManager[None]:
    """Within this block, in this thread, ops compute themselves: no kernel is used."""
    return context_value(_allowed, False)


@contextmanager
def op_hook(hook: OpHook) -> Iterator[None]:
    """Within this block, in this thread, an op runs as hook(op, the function that computes it), such as to time it.

    In a block inside another one, the outer hook gets what the inner hook returns.
    """
    outer = _op_hook.get()
    with context_value(_op_hook, hook if outer is None else lambda op, run: outer(op, hook(op, run))):
        yield


@contextmanager
def context_value(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    """Within this block, in this thread, the variable has this value."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
