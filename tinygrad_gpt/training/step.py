"""One training step: the gradients of a batch, part by part, and then the update.

Between the two lies a seam: `reduce` sees the gradients when they are complete and nothing has been updated yet.  There
several processes, each with some rows of a batch, can add up what they have found.
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
    """The gradients and the loss of one process are those of the batch."""
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
    """One step: forward, backward, clip, update.  The loss () and the gradient's norm.

    Raises FloatingPointError, naming the step, if one of them is not finite: then nothing was updated.
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
    """Add dLoss/dparameter to each parameter's .grad, where Loss () is the mean over all tokens; returns the loss.

    ids, targets (B, T) of int, computed in `parts` runs of rows.  The gradient of a mean over all tokens is the sum of
    the parts' gradients of (their sum / all tokens): a mean of the parts' means would weigh a short last part too much.
    """
    total: Array = 0.0
    for part in _row_parts(len(ids), parts):
        masks = None if dropout is None else replace(dropout, first_row=dropout.first_row + part.start)
        loss = model.loss(ids[part], targets[part], dropout=masks, reduction="sum") / targets.size
        loss.backward()
        total = total + loss.data
    return reduce(model.parameters(), total)


def _row_parts(n_rows: int, parts: int) -> Iterator[slice]:
    """The rows of a batch in `parts` runs as equal as can be; fewer if there are fewer rows.

    >>> list(_row_parts(5, 2))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    for rows in np.array_split(np.arange(n_rows), parts):
        if len(rows):
            yield slice(int(rows[0]), int(rows[-1]) + 1)
