"""AdamW: Adam's step, with weight decay separate from it.

With gradient g, step number t from 1, learning rate lr and decay λ:

    m ← β₁ m + (1 - β₁) g            mean of recent gradients
    v ← β₂ v + (1 - β₂) g²           mean of their squares
    m̂ = m / (1 - β₁ᵗ)                m and v start at 0, so they are too small by this factor
    v̂ = v / (1 - β₂ᵗ)
    p ← p - lr (m̂ / (√v̂ + ε) + λ p)

Derivation.  If g stays the same, m after t steps is g (1 - β₁) (1 + β₁ + … + β₁ᵗ⁻¹) = g (1 - β₁ᵗ), so m is divided by
1 - β₁ᵗ; the same holds for v.  m̂/√v̂ is about ±1 where gradients keep their sign, and smaller where they do not.  So lr
is the size of a step, whatever the gradient's scale.  The decay moves p towards 0 by the fraction lr·λ.  It is not part
of g, so m and v do not contain it ("decoupled").

Shapes.   p, dp, m, v: any, all the same.  p, m and v are updated in place, dp does not change.
Numerics. v + (1 - β₂) (g² - v) would lose a small g² beside a large v, so the two terms are added one by one.  With
          ε = 0, a gradient that has always been 0 changes nothing: 0/0 counts as 0.  Where p has 16 bits, m, v and the
          step are float32; only the new p is rounded.
Errors.   FloatingPointError, before anything changes, for a gradient or a loss that is not finite (adamw_update).
Source.   Kingma & Ba 2015, arXiv:1412.6980, algorithm 1; Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2
          (with the learning rate in place of their schedule multiplier, as is usual today).
Check.    The first step has the length lr, whatever g:

    >>> import numpy as np
    >>> p, m, v = np.array([5.0, 5.0]), np.zeros(2), np.zeros(2)
    >>> settings = dict(lr=0.1, beta1=0.9, beta2=0.999, eps=0.0, weight_decay=0.0)
    >>> adamw_step(p, np.array([-3.0, 0.02]), m, v, step=1, **settings)
    >>> p.round(12).tolist()
    [5.1, 4.9]

These functions have no vjp: they are applied to gradients, after backward.
"""

from collections.abc import Callable, Mapping

from tinygrad_gpt.backend import Array, array_module, to_accumulation_dtype, to_host
from tinygrad_gpt.ops.norms import clipping_factor, finite_norm, total_of_squares


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
    """One AdamW step of one parameter, on the gradient scale * dp.  Steps count from 1."""
    xp, dp = array_module(p), to_accumulation_dtype(dp)
    if scale != 1:
        dp = dp * scale
    m *= beta1
    m += (1 - beta1) * dp
    v *= beta2
    v += (1 - beta2) * (dp * dp)
    mhat = m / (1 - beta1**step)
    vhat = v / (1 - beta2**step)
    denom = xp.sqrt(vhat) + eps
    if eps == 0:
        denom = xp.where(denom == 0, 1, denom)
    p -= lr * (mhat / denom + weight_decay * to_accumulation_dtype(p))


def adamw_update(
    step_counts: Array,
    parameters: Mapping[str, Array],
    gradients: Mapping[str, Array],
    m: Mapping[str, Array],
    v: Mapping[str, Array],
    *,
    decays: Mapping[str, bool],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    max_norm: float,
    loss: Array | None,
) -> float | Array:
    """One step of every parameter that has a gradient, all by name.  Returns the gradients' norm before clipping.

    step_counts (int64) has the number of steps of each of `parameters`.  If the norm is above max_norm, the gradients
    are scaled down to it.  Nothing changes if a gradient or their loss () is not finite.  This function checks that
    first, and raises; a GPU kernel, whose caller does not wait, returns a norm that may not be computed yet.
    """
    norm = finite_norm(total_of_squares(*gradients.values()), gradients, loss)
    step_each(
        adamw_step,
        step_counts,
        parameters,
        gradients,
        m,
        v,
        decays=decays,
        lr=lr,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        weight_decay=weight_decay,
        scale=clipping_factor(norm, max_norm),
    )
    return norm


def step_each(
    step_one: Callable[..., None],
    step_counts: Array,
    parameters: Mapping[str, Array],
    gradients: Mapping[str, Array],
    m: Mapping[str, Array],
    v: Mapping[str, Array],
    *,
    decays: Mapping[str, bool],
    weight_decay: float,
    **settings: float,
) -> None:
    """Count a step of each parameter that has a gradient, and take it: step_one is `adamw_step`, or its kernel."""
    steps = to_host(step_counts) + 1
    for i, name in enumerate(parameters):
        if name in gradients:
            step_counts[i] += 1
            decay = weight_decay if decays[name] else 0.0
            arrays = parameters[name], gradients[name], m[name], v[name]
            step_one(*arrays, step=int(steps[i]), weight_decay=decay, **settings)
