"""A stand-in for cuBLAS: what its documentation says of the calls, on the memory of the device that is none.

Matrices are column-major: entry (i, j) of an array with leading dimension ld lies at i + j·ld.
"""

import ctypes
from types import ModuleType
from typing import Any

import numpy as np

CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_COMPUTE_64F = 68, 77, 70
TYPES = {0: "float32", 1: "float64", 14: "bfloat16"}


class CUBLASError(RuntimeError):
    """CUBLAS_STATUS_INVALID_VALUE."""


def gemmEx(  # noqa: N802 - CuPy's name
    handle, transa, transb, m, n, k, alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc, computeType, algo
) -> None:  # fmt: skip
    """C = alpha op(A) op(B) + beta C, one product."""
    products = (transa, transb, m, n, k, alpha, A, Atype, lda, 0, B, Btype, ldb, 0, beta, C, Ctype, ldc, 0)
    gemmStridedBatchedEx(handle, *products, 1, computeType, algo)


def gemmStridedBatchedEx(  # noqa: N802 - CuPy's name
    handle, transa, transb, m, n, k, alpha, A, Atype, lda, strideA, B, Btype, ldb, strideB,
    beta, C, Ctype, ldc, strideC, batchCount, computeType, algo,
) -> None:  # fmt: skip
    """C = alpha op(A) op(B) + beta C, for each of a batch of matrices at fixed distances."""
    check_types(Atype, Btype, Ctype, computeType)
    scale_type = ctypes.c_double if computeType == CUBLAS_COMPUTE_64F else ctypes.c_float
    scale, keep = (scale_type.from_address(pointer).value for pointer in (alpha, beta))
    for i in range(batchCount):
        a = operand(A, Atype, i * strideA, lda, *((k, m) if transa else (m, k)))
        b = operand(B, Btype, i * strideB, ldb, *((n, k) if transb else (k, n)))
        c = operand(C, Ctype, i * strideC, ldc, m, n)
        wide = np.float64 if Ctype == 1 else np.float32
        product = scale * ((a.T if transa else a).astype(wide) @ (b.T if transb else b).astype(wide))
        c[...] = product + keep * c.astype(wide) if keep else product  # beta = 0 does not read C: it may hold nan


def check_types(a: int, b: int, c: int, compute: int) -> None:
    """The combinations that cuBLAS's table of gemmEx has, of those used here."""
    allowed = {
        (0, 0, 0): {CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32},
        (1, 1, 1): {CUBLAS_COMPUTE_64F},
        (14, 14, 14): {CUBLAS_COMPUTE_32F},
        (14, 14, 0): {CUBLAS_COMPUTE_32F},
    }
    if compute not in allowed.get((a, b, c), ()):
        raise CUBLASError(f"CUBLAS_STATUS_NOT_SUPPORTED: types {a}, {b}, {c} with compute type {compute}")


def operand(pointer: int, kind: int, offset: int, leading: int, rows: int, columns: int) -> Any:
    """The (rows, columns) matrix that lies there."""
    if leading < max(1, rows):
        raise CUBLASError(f"CUBLAS_STATUS_INVALID_VALUE: leading dimension {leading} of {rows} rows")
    dtype = np.dtype(TYPES[kind])
    if not rows or not columns:
        return np.zeros((rows, columns), dtype)
    nbytes = ((columns - 1) * leading + rows) * dtype.itemsize
    flat = np.frombuffer((ctypes.c_char * nbytes).from_address(pointer + offset * dtype.itemsize), dtype)
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (dtype.itemsize, leading * dtype.itemsize))


def fake_module() -> ModuleType:
    """The module cupy_backends.cuda.libs.cublas."""
    module = ModuleType("cupy_backends.cuda.libs.cublas")
    vars(module).update(
        {
            name: thing
            for name, thing in globals().items()
            if name.startswith("CUBLAS_COMPUTE") or name.startswith("gemm")
        }
    )
    return module
