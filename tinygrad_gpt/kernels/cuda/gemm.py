"""Matrix products through cuBLAS, without a copy.

CuPy's own `@` copies transposed operands if there are more than two axes, cannot add to its result, and crashes on
bfloat16.  cuBLAS itself reads any matrix whose rows or columns are contiguous, transposed or not.

cuBLAS is column-major: to it, the memory of a row-major C is Cᵀ.  So C = A B is computed as Cᵀ = Bᵀ Aᵀ: the operands
are swapped, and a matrix that is row-major here need not be transposed there.

A stack of matrices is multiplied in one call too.  No kernel of this folder needs this; attention that is written as
plain products would.
"""

import math
from functools import lru_cache

import numpy as np

from tinygrad_gpt import backend
from tinygrad_gpt.backend import Array, array_module
from tinygrad_gpt.kernels.cuda.precision import current_precision

_CUDA_TYPES = {"float32": 0, "float64": 1, "bfloat16": 14}  # CUDA_R_32F, CUDA_R_64F, CUDA_R_16BF
COMPUTE_32F, COMPUTE_32F_FAST_TF32, COMPUTE_64F = 68, 77, 70
_DEFAULT_ALGORITHM = -1
_MAX_DIMENSION = 2**31 - 1  # cuBLAS's largest size and leading dimension


def gemm(a: Array, b: Array, out: Array | None = None, *, beta: float = 0.0) -> Array:
    """out = a b + beta out.  a (..., M, K), b (..., K, N)  ->  out (..., M, N), by default a new array.

    Transposed and sliced views are read and written without a copy.  Leading axes are a batch, the same for all arrays,
    with one fixed distance between matrices (0 repeats a matrix).  Dtypes: float32 (exact, or on tensor cores under
    precision("tf32")), float64, or bfloat16, which is summed in float32, with out in bfloat16 or float32.

    Raises ValueError for shapes that do not fit and for strides that would need a copy, TypeError for dtypes.
    """
    *batch, m, k = a.shape
    n = b.shape[-1]
    if b.shape != (*batch, k, n):
        raise ValueError(f"gemm: {a.shape} times {b.shape} does not fit; leading axes must be the same")
    if out is None:
        if beta:
            raise ValueError(f"gemm: beta {beta} needs an out to add to")
        out = array_module(a).empty((*batch, m, n), a.dtype)
    if out.shape != (*batch, m, n):
        raise ValueError(f"gemm: out must have shape {(*batch, m, n)}; got {out.shape}")
    compute = _compute_type(a, b, out)
    if out.size == 0:
        return out
    if k == 0:  # a sum without terms
        out[...] = out * beta if beta else 0
        return out
    operands = (layout(b, "b"), layout(a, "a"), layout(out, "out"))
    if operands[2][0]:
        raise ValueError(f"gemm: the rows of out must lie together; got shape {out.shape} with strides {out.strides}")
    if math.prod(batch) > 1 and operands[2][2] == 0:
        raise ValueError("gemm: out holds one matrix for many products")
    _call_cublas(operands, (b, a, out), (n, m, k), math.prod(batch), beta, compute)
    return out


Layout = tuple[int, int, int]  # (1 if transposed, leading dimension, batch step), in entries


def _call_cublas(
    layouts: tuple[Layout, Layout, Layout],
    arrays: tuple[Array, Array, Array],
    sizes: tuple[int, int, int],
    batch: int,
    beta: float,
    compute: int,
) -> None:
    """Call cuBLAS: third = first second + beta third, all column-major."""
    (ta, lda, step_a), (tb, ldb, step_b), (_, ldc, step_c) = layouts
    (A, type_a), (B, type_b), (C, type_c) = ((x.data.ptr, _CUDA_TYPES[x.dtype.name]) for x in arrays)
    coefficient = "float64" if compute == COMPUTE_64F else "float32"
    by, keep = _host_constant(1.0, coefficient), _host_constant(beta, coefficient)
    one, two = by.ctypes.data, keep.ctypes.data
    blas, handle = backend.cublas(), backend.cublas_handle()
    first, second, third = (A, type_a, lda), (B, type_b, ldb), (C, type_c, ldc)
    how = compute, _DEFAULT_ALGORITHM
    if batch == 1:
        blas.gemmEx(handle, ta, tb, *sizes, one, *first, *second, two, *third, *how)
    else:
        places = *first, step_a, *second, step_b, two, *third, step_c
        blas.gemmStridedBatchedEx(handle, ta, tb, *sizes, one, *places, batch, *how)


@lru_cache(maxsize=64)
def _host_constant(value: float, dtype: str) -> Array:
    """A number in the host's memory, where cuBLAS reads alpha and beta."""
    return np.array(value, dtype)


def _compute_type(a: Array, b: Array, out: Array) -> int:
    """cuBLAS's compute type for these arrays.  Raises TypeError for dtypes that it does not support together."""
    kinds = a.dtype.name, b.dtype.name, out.dtype.name
    if kinds == ("float64", "float64", "float64"):
        return COMPUTE_64F
    if kinds == ("float32", "float32", "float32"):
        return COMPUTE_32F_FAST_TF32 if current_precision() == "tf32" else COMPUTE_32F
    if kinds in (("bfloat16", "bfloat16", "bfloat16"), ("bfloat16", "bfloat16", "float32")):
        return COMPUTE_32F
    raise TypeError(f"gemm: {kinds[0]} times {kinds[1]} into {kinds[2]}; one dtype for all, or bfloat16 into float32")


def layout(x: Array, name: str) -> Layout:
    """How cuBLAS reads a stack of matrices.  Raises ValueError if it would need a copy."""
    *batch, rows, columns = x.shape
    *steps, row_step, column_step = (stride // x.itemsize for stride in x.strides)
    if (column_step == 1 or columns == 1) and (row_step >= columns or rows == 1):
        transposed, leading = 0, max(row_step, columns)
    elif (row_step == 1 or rows == 1) and (column_step >= rows or columns == 1):
        transposed, leading = 1, max(column_step, rows)
    else:
        raise ValueError(
            f"gemm: {name}, shape {x.shape} with strides {x.strides}, would need a copy: no axis lies together"
        )
    if max(rows, columns, leading) > _MAX_DIMENSION:
        raise ValueError(f"gemm: {name}, shape {x.shape} with strides {x.strides}, is too large for cuBLAS")
    return transposed, leading, _batch_step(batch, steps, name)


def _batch_step(batch: list[int], steps: list[int], name: str) -> int:
    """The distance between the matrices of a stack.  Raises ValueError if it is not the same for all."""
    axes = [(length, step) for length, step in zip(batch, steps, strict=True) if length > 1]
    if not axes:
        return 0
    length, step = axes.pop()
    for longer, wider in reversed(axes):
        if wider != step * length:
            raise ValueError(
                f"gemm: {name}'s leading axes {batch} with steps {steps} have no common step: copy it first"
            )
        length *= longer
    return step
