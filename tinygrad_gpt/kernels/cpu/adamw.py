"""AdamW in place: the same arithmetic, in an order that needs one scratch block."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.kernels.cpu.norms import total_of_squares
from tinygrad_gpt.kernels.threads import block_size, blocks, parallel_for
from tinygrad_gpt.ops.adamw import step_each
from tinygrad_gpt.ops.norms import clipping_factor, finite_norm


def accepts_adamw_update(step_counts: Array, parameters: Mapping[str, Array], *rest: Any, **settings: Any) -> bool:
    """True if all parameters are float32."""
    return all(p.dtype == np.float32 for p in parameters.values())


def adamw_update(
    step_counts: Array,
    parameters: Mapping[str, Array],
    gradients: Mapping[str, Array],
    m: Mapping[str, Array],
    v: Mapping[str, Array],
    *,
    max_norm: float,
    loss: Array | None,
    **settings: Any,
) -> float:
    """One step of every parameter that has a gradient, all by name.  Returns the gradients' norm before clipping."""
    norm = finite_norm(total_of_squares(*gradients.values()), gradients, loss)
    scale = clipping_factor(norm, max_norm)
    step_each(adamw_step, step_counts, parameters, gradients, m, v, scale=scale, **settings)
    return norm


def adamw_step(
    p: Array,
    dp: Array,
    m: Array,
    v: Array,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    scale: float = 1.0,
) -> None:
    """One AdamW step on the gradient scale * dp; p, m, v (all of one shape) are updated in place.

    m̂ and √v̂ differ from m and √v by constant factors; here these are combined with lr and eps.
    """
    correction = math.sqrt(1 - beta2**step)
    p, dp, m, v = (np.atleast_1d(array) for array in (p, dp, m, v))  # views
    rows = max(1, block_size() * len(p) // max(1, p.size))  # some rows of a matrix: slices of it, whatever its strides

    def work(part: slice) -> None:
        scratch = np.empty((min(rows, part.stop - part.start), *p.shape[1:]), p.dtype)
        for block in blocks(part, rows):
            pb, gb, mb, vb = p[block], dp[block], m[block], v[block]
            s = scratch[: len(pb)]
            np.multiply(gb, (1 - beta1) * scale, out=s, dtype=s.dtype)  # a gradient may be narrower
            mb *= beta1
            mb += s
            np.multiply(gb, scale * math.sqrt(1 - beta2), out=s, dtype=s.dtype)  # scaled first: g² may overflow
            s *= s
            vb *= beta2
            vb += s
            np.sqrt(vb, out=s)
            s += eps * correction
            if eps == 0:
                s[s == 0] = 1
            np.divide(mb, s, out=s)
            s *= lr * correction / (1 - beta1**step)
            if weight_decay:
                pb *= 1 - lr * weight_decay
            pb -= s

    parallel_for(work, len(p), enabled=p.size >= 2 * block_size())
