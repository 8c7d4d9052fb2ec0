"""Cross-entropy, one block per row of logits."""

from typing import Any, Literal

from tinygrad_gpt.backend import Array, Vjp, array_module
from tinygrad_gpt.kernels.cuda.arrays import as_contiguous, as_rows, storage_define, threads_for
from tinygrad_gpt.kernels.cuda.launcher import launch

FILE = "cross_entropy.cu"
IgnoredIndex = tuple[bool, int]  # (are rows with some target ignored?, this target)


def accepts_cross_entropy(logits: Array, targets: Array = None, *, reduction: str = "mean", **settings: Any) -> bool:
    """True if each row has a target and logits are not empty; the op raises the errors for all other input."""
    fits = targets is not None and targets.shape == logits.shape[:-1] and reduction in ("mean", "sum")
    return bool(fits and logits.size)


def cross_entropy(
    logits: Array,
    targets: Array,
    *,
    ignore_index: int | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> tuple[Array, Vjp]:
    """logits (..., V), targets (...) of int  ->  loss () of float32, in nats.

    Saves the logits, not a copy of them.  A target outside the vocabulary makes the loss nan.
    """
    xp, shape, V = array_module(logits), logits.shape, logits.shape[-1]
    x, y, ignoring = as_rows(logits), flat_targets(targets), ignored_index(ignore_index)
    nll, tops, log_totals = (xp.empty(len(x), "float32") for _ in range(3))
    how: dict[str, Any] = {"grid": len(x), "block": threads_for(V), "defines": storage_define(x)}
    launch(FILE, "cross_entropy_forward", x, y, nll, tops, log_totals, V, V, *ignoring, **how)
    loss, divisor = loss_of_rows(nll, y, ignoring, reduction, how["defines"])

    def vjp(dloss: Array) -> tuple[Array, None]:
        dx = xp.empty_like(x)
        launch(
            FILE,
            "cross_entropy_backward",
            x,
            y,
            tops,
            log_totals,
            as_contiguous(dloss),
            divisor,
            dx,
            V,
            *ignoring,
            **how,
        )
        return dx.reshape(shape), None

    return loss, vjp


def flat_targets(targets: Array) -> Array:
    """Targets as one row (N,) of int64."""
    return as_contiguous(targets.astype("int64", copy=False)).reshape(-1)


def ignored_index(ignore_index: int | None) -> IgnoredIndex:
    """A kernel's two arguments for ignored rows."""
    return ignore_index is not None, ignore_index or 0


def loss_of_rows(
    nll: Array, y: Array, ignoring: IgnoredIndex, reduction: str, stored: dict[str, str]
) -> tuple[Array, Array]:
    """nll (N), targets (N)  ->  the loss () and the divisor of its sum ()."""
    xp = array_module(nll)
    loss, divisor = xp.empty((), "float32"), xp.empty((), "float32")
    mean = reduction == "mean"
    launch(
        FILE,
        "loss_of_rows",
        nll,
        y,
        loss,
        divisor,
        len(nll),
        mean,
        *ignoring,
        grid=1,
        block=threads_for(len(nll)),
        defines=stored,
    )
    return loss, divisor
