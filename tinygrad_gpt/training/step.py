"""One training step: the gradients of a batch, part by part, and then the update.

`reduce` runs between the two, when the gradients are complete and nothing has been updated.  It is for several
processes that each compute some rows of a batch: in `reduce` they add up their gradients.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.optim import Optimizer
from tinygrad_gpt.rng import Dropout
from tinygrad_gpt.tape import Tensor

Reduce = Callable[[Mapping[str, Tensor], Array], Array]  # (parameters, whose .grad it may change; loss ()) -> the loss
Stopwatch = Callable[[str], AbstractContextManager[None]]


def no_stopwatch(name: str) -> AbstractContextManager[None]:
    """A stopwatch that does nothing."""
    return nullcontext()


def _identity(parameters: Mapping[str, Tensor], loss: Array) -> Array:
    """The `reduce` of a single process: it has computed the whole batch, so the loss is complete."""
    return loss


def update(
    model: GPT,
    optimizer: Optimizer,
    ids: Array,
    targets: Array,
    step: int,
    lr: float,
    clip_norm: float | None,
    accumulation: int,
    seed: int,
    stopwatch: Stopwatch = no_stopwatch,
    reduce: Reduce = _identity,
) -> tuple[Array, float | Array]:
    """One step: forward, backward, clip, update.  Returns the loss () and the gradients' norm before clipping.

    Raises FloatingPointError, with the number of the step, if the loss or a gradient is not finite.  Then nothing was
    updated.
    """
    optimizer.zero_grad()
    loss = accumulate_gradients(model, ids, targets, accumulation, dropout=Dropout(seed, step), reduce=reduce)
    try:
        with stopwatch("optimizer"):
            norm = optimizer.step(lr, max_norm=math.inf if clip_norm is None else clip_norm, loss=loss)
    except FloatingPointError as error:
        raise FloatingPointError(f"step {step}: {error}") from None
    return loss, norm


def accumulate_gradients(
    model: GPT,
    ids: Array,
    targets: Array,
    parts: int = 1,
    *,
    dropout: Dropout | None = None,
    reduce: Reduce = _identity,
) -> Array:
    """Add dLoss/dparameter to each parameter's .grad, where Loss () is the mean over all tokens.  Returns the loss.

    ids, targets (B, T) of int; the rows are computed in `parts` parts, one after the other.  Each part's loss is its
    sum divided by the number of all tokens, so the parts' gradients add up to the gradient of the mean.  A mean of the
    parts' means would give a shorter part too much weight.
    """
    total: Array = 0.0
    for part in _row_parts(len(ids), parts):
        masks = None if dropout is None else replace(dropout, first_row=dropout.first_row + part.start)
        loss = model.loss(ids[part], targets[part], dropout=masks, reduction="sum") / targets.size
        loss.backward()
        total = total + loss.data
    return reduce(model.parameters(), total)


def _row_parts(n_rows: int, parts: int) -> Iterator[slice]:
    """The rows of a batch in `parts` slices of nearly equal length; fewer slices if there are fewer rows.

    >>> list(_row_parts(5, 2))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    for rows in np.array_split(np.arange(n_rows), parts):
        if len(rows):
            yield slice(int(rows[0]), int(rows[-1]) + 1)
