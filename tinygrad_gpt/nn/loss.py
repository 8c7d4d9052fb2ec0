"""The loss on tensors, with the checks that the op leaves to its caller."""

from typing import Literal

import numpy as np

from tinygrad_gpt import ops
from tinygrad_gpt.backend import Array, array_module, to_host
from tinygrad_gpt.checks import check_ids, equal_rows
from tinygrad_gpt.tape import Tensor, apply


def cross_entropy(
    logits: Tensor,
    targets: Array,
    *,
    ignore_index: int | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Negative log-likelihood of the targets, in nats: logits (..., V), targets (...) of int -> loss ().

    "mean" is the mean over the targets that are not ignore_index; "sum" is their sum, not divided.

    Raises ValueError for a target outside the vocabulary, or if a mean has no target to average over.
    """
    if not isinstance(logits, Tensor) or not logits.ndim:
        got = f"shape {logits.shape}" if isinstance(logits, Tensor) else type(logits).__name__
        raise TypeError(f"logits must be a Tensor (..., V); got {got}")
    ids = array_module(logits.data).asarray(check_targets(targets, logits.shape[-1], ignore_index, reduction))
    return apply(ops.cross_entropy, logits, ids, ignore_index=ignore_index, reduction=reduction)


def check_targets(targets: Array, vocab_size: int, ignore_index: int | None, reduction: str) -> Array:
    """targets on the host.  Raises ValueError as cross_entropy does."""
    if ignore_index is not None and (isinstance(ignore_index, bool) or not hasattr(ignore_index, "__index__")):
        raise TypeError(f"ignore_index must be a whole number, or None; got {ignore_index!r}")
    host = to_host(equal_rows("targets", targets))
    ignored = np.zeros(host.shape, bool) if ignore_index is None else host == ignore_index
    check_ids(np.where(ignored, host.dtype.type(0), host), vocab_size, "targets")  # an error gives the right position
    if reduction == "mean" and ignored.all():
        raise ValueError("targets must hold at least one token that is not ignored: there is nothing to average")
    return host
