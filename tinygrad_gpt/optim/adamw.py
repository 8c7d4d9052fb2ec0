"""AdamW: Adam's step, and weight decay apart from it.

With gradient g, step number t from 1, learning rate lr and decay λ:

    m ← β₁ m + (1 - β₁) g            mean of recent gradients
    v ← β₂ v + (1 - β₂) g²           mean of their squares
    m̂ = m / (1 - β₁ᵗ)                both start at 0 and so are too small by this factor
    v̂ = v / (1 - β₂ᵗ)
    p ← p - lr (m̂ / (√v̂ + ε) + λ p)

m̂/√v̂ is about ±1 where gradients keep their sign and less where they do not: lr is the size of a step, whatever the
gradient's scale.  The decay pulls p to 0 by the share lr·λ; it is no part of g, so m and v never see it ("decoupled").

Source.  Kingma & Ba 2015, arXiv:1412.6980, algorithm 1; Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2
(with the learning rate in the place of their schedule multiplier, as everywhere today).
"""

import math
import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array, array_module, to_host, wide_dtype, widened
from tinygrad_gpt.checks import first_few, fraction, mapping, not_negative
from tinygrad_gpt.kernels import FASTER, cpu, cuda, kernel_for
from tinygrad_gpt.optim.clipping import clipping_factor, gradients, named_tensors, norm_of, positive_norm
from tinygrad_gpt.tape import Tensor

UPDATED = ("float32", "float64", "float16")  # dtypes of parameters


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
    """One AdamW step on the gradient scale * dp.

    Steps count from 1.  p, m, v (all of one shape) are updated in place, dp is left alone.
    Where p has 16 bits, m and v are float32, and so is the step, until p takes it.
    """
    xp, dp = array_module(p), widened(dp)
    if scale != 1:
        dp = dp * scale
    m *= beta1
    m += (1 - beta1) * dp
    v *= beta2  # v + (1 - beta2) * (dp**2 - v) would lose a small dp**2 beside a large v
    v += (1 - beta2) * (dp * dp)
    mhat = m / (1 - beta1**step)
    vhat = v / (1 - beta2**step)
    typical = xp.sqrt(vhat) + eps
    if eps == 0:
        typical = xp.where(typical == 0, 1, typical)  # a gradient that has always been 0 moves nothing: 0/0 counts as 0
    p -= lr * (mhat / typical + weight_decay * widened(p))


def update_all(
    parameters: Mapping[str, Array],
    gradients: Mapping[str, Array],
    m: Mapping[str, Array],
    v: Mapping[str, Array],
    counts: Array,
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
    """One step of every parameter that has a gradient, all by name; the norm of all gradients.

    counts (one for each of `parameters`, int64) says how many steps each has made.  Nothing changes if a gradient, or
    the loss they are of, is not finite.  This one finds out at once and raises FloatingPointError; a kernel on a GPU,
    whose caller does not wait, answers a norm that is still on its way.
    """
    try:
        norm = norm_of(gradients)  # finite only if all gradients are
    except FloatingPointError as error:
        raise error if loss is None else FloatingPointError(f"loss {float(loss):.4g}, {error}") from None
    if loss is not None and not math.isfinite(loss):
        raise FloatingPointError(f"loss {float(loss):.4g}, which is not finite")
    scale = clipping_factor(norm, max_norm)
    steps = to_host(counts) + 1
    for i, name in enumerate(parameters):
        if name not in gradients:
            continue
        counts[i] += 1
        kernel_for(adamw_step, parameters[name])(
            parameters[name],
            gradients[name],
            m[name],
            v[name],
            step=int(steps[i]),
            lr=lr,
            beta1=beta1,
            beta2=beta2,
            eps=eps,
            weight_decay=weight_decay if decays[name] else 0.0,
            scale=scale,
        )
    return norm


# The table cannot name them itself: kernels know the ops below them, not the optimizer above.
FASTER[adamw_step, "numpy", "float32"] = cpu.adamw_step
FASTER[update_all, "cupy", "float32"] = partial(cuda.update_all, otherwise=update_all)


def matrices_decay(name: str, parameter: Tensor) -> bool:
    """Matrices decay; biases, gains and whatever else has one axis do not."""
    return parameter.ndim >= 2


def all_decay(name: str, parameter: Tensor) -> bool:
    """Every parameter decays, as with torch.optim.AdamW and in the book."""
    return True


class AdamW:
    """AdamW over named parameters, updated in place from their `.grad`.

    A parameter without a gradient keeps its value, its moments and its step count.  A tensor that occurs under several
    names is updated once.  decays says, from a parameter's name and tensor, whether weight_decay is for it.

    The moments of a float16 parameter are float32, as is its step, which is rounded to float16 in the end: what is less
    than half a unit of the parameter's last place moves nothing.

    Raises ValueError for settings out of range: lr, eps, weight_decay >= 0; betas in [0, 1).  TypeError for a bfloat16
    parameter: of its three digits most steps would change none.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
        *,
        decays: Callable[[str, Tensor], bool] = matrices_decay,
    ) -> None:
        self.parameters = once_each(parameters)
        self.lr = not_negative("lr", lr)
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"betas must be two numbers, (beta1, beta2); got {betas!r}")
        if not callable(decays):
            raise TypeError(f"decays must be a function of name and parameter, such as all_decay; got {decays!r}")
        self.betas = (fraction("beta1", betas[0]), fraction("beta2", betas[1]))
        self.eps = not_negative("eps", eps)
        self.weight_decay = not_negative("weight_decay", weight_decay)
        self.decays = decays
        self.counts = array_module(*(p.data for p in self.parameters.values())).zeros(len(self.parameters), "int64")
        self.m = {name: zero_moment(p.data) for name, p in self.parameters.items()}
        self.v = {name: zero_moment(p.data) for name, p in self.parameters.items()}

    @property
    def steps(self) -> dict[str, int]:
        """How many steps each parameter has made.  On a GPU this waits for it."""
        return dict(zip(self.parameters, to_host(self.counts).tolist(), strict=True))

    def step(self, lr: float | None = None, *, max_norm: float = math.inf, loss: Array | None = None) -> float | Array:
        """Update every parameter that has a gradient; returns the gradients' global norm.

        lr is this step's learning rate, if not the optimizer's own.  Gradients of a norm above max_norm count as if
        scaled down to it (clip_grad_norm says how); `.grad` stays as it is.  loss () is what they are gradients of, if
        that is to be looked at as well.

        Raises, naming the parameter and before anything changes: FloatingPointError if a gradient (or the loss) is not
        finite, ValueError if it has another shape.

        On a GPU nobody waits for the norm, which is an array () there, and no FloatingPointError is raised: if a
        gradient or the loss is not finite the GPU itself changes nothing, no step count either.  Whoever reads the
        norm, and the loss, learns of it.
        """
        lr = self.lr if lr is None else not_negative("lr", lr)
        arrays = {name: p.data for name, p in self.parameters.items()}
        norm: float | Array = kernel_for(update_all, *arrays.values())(
            arrays,
            gradients(self.parameters),
            self.m,
            self.v,
            self.counts,
            decays={name: self.decays(name, p) for name, p in self.parameters.items()},
            lr=lr,
            beta1=self.betas[0],
            beta2=self.betas[1],
            eps=self.eps,
            weight_decay=self.weight_decay,
            max_norm=positive_norm(max_norm),
            loss=loss,
        )
        return norm

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def state(self) -> dict[str, dict[str, Any]]:
        """Copies of what a later `load_state` needs: per parameter the step count and both moments."""
        return {
            name: {"step": step, "m": self.m[name].copy(), "v": self.v[name].copy()}
            for name, step in self.steps.items()
        }

    def load_state(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on from a state.  Raises ValueError, and changes nothing, if names or shapes differ."""
        mapping("optimizer state", state, "parameter name to step count and moments")
        if state.keys() != self.parameters.keys():
            differing = first_few(state.keys() ^ self.parameters.keys())
            raise ValueError(f"optimizer state must be of the same parameters; only one of the two has {differing}")
        steps = {name: operator.index(entry["step"]) for name, entry in state.items()}
        for name, entry in state.items():
            shape = self.parameters[name].shape
            for moment in ("m", "v"):
                if entry[moment].shape != shape:
                    raise ValueError(f"optimizer state {moment} of {name} has shape {entry[moment].shape}, not {shape}")
        xp = array_module(self.counts)
        self.counts[...] = xp.asarray(np.array([steps[name] for name in self.parameters], np.int64))
        for name, entry in state.items():
            self.m[name][...] = xp.asarray(entry["m"])
            self.v[name][...] = xp.asarray(entry["v"])


def once_each(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters, a tensor with several names only under its first."""
    names: dict[Tensor, str] = {}
    for name, parameter in named_tensors(parameters).items():
        if parameter.dtype.name not in UPDATED:
            raise TypeError(
                f"parameter {name} must be {', '.join(UPDATED[:-1])} or {UPDATED[-1]}; got {parameter.dtype.name}"
            )
        names.setdefault(parameter, name)
    if not names:
        raise ValueError("parameters must hold at least one tensor; got none")
    return {name: parameter for parameter, name in names.items()}


def zero_moment(p: Array) -> Array:
    """The moment of a parameter that has made no step."""
    return array_module(p).zeros_like(p, dtype=wide_dtype(p.dtype))
