"""Linear layer: three products by cuBLAS, of which the first also adds the bias."""

from tinygrad_gpt.backend import Array, Vjp, array_module
from tinygrad_gpt.kernels.cuda.arrays import THREADS, as_contiguous, as_rows, blocks_for, storage_define
from tinygrad_gpt.kernels.cuda.columns import column_sums
from tinygrad_gpt.kernels.cuda.elementwise import cast
from tinygrad_gpt.kernels.cuda.gemm import gemm
from tinygrad_gpt.kernels.cuda.launcher import launch


def accepts_linear(x: Array, weight: Array = None, bias: Array | None = None) -> bool:
    """True if the parameters are float32, the shapes fit and no array is empty; else the op runs, and may raise."""
    if weight is None or weight.ndim != 2 or x.shape[-1:] != weight.shape[:1] or not x.size or not weight.size:
        return False
    if bias is not None and (bias.dtype.name != "float32" or bias.shape != weight.shape[1:]):
        return False
    return bool(weight.dtype.name == "float32")


def linear(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Vjp]:
    """x (..., I), weight (I, O), bias (O)  ->  y (..., O).  Without a bias the vjp returns two gradients.

    The parameters are float32.  x is float32 or bfloat16; for bfloat16 a bfloat16 copy of the weight is used and saved.
    """
    xp, shape = array_module(x), x.shape
    rows = as_rows(x)  # (N, I)
    N, (inputs, outputs) = len(rows), weight.shape
    weight = gemm_ready(weight, rows.dtype)
    y = xp.empty((N, outputs), rows.dtype)
    if bias is not None:
        grid = N, blocks_for(outputs, 4 * THREADS)
        launch(
            "linear.cu",
            "fill_rows",
            as_contiguous(bias),
            y,
            outputs,
            grid=grid,
            block=THREADS,
            defines=storage_define(y),
        )
    gemm(rows, weight, y, beta=0.0 if bias is None else 1.0)
    biased = bias is not None

    def vjp(dy: Array) -> tuple[Array, ...]:
        dy = as_rows(dy)  # (N, O)
        dx = gemm(dy, weight.T).reshape(shape)
        dweight = gemm(rows.T, dy, xp.empty((inputs, outputs), "float32"))
        return (dx, dweight, column_sums(dy)) if biased else (dx, dweight)

    return y.reshape(*shape[:-1], outputs), vjp


def gemm_ready(weight: Array, dtype: object) -> Array:
    """A matrix in this dtype that cuBLAS can read: its rows or its columns are contiguous."""
    if weight.flags.f_contiguous:  # a transposed matrix stays transposed
        return cast(as_contiguous(weight.T), dtype).T
    return cast(as_contiguous(weight), dtype)
