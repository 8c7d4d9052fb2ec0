"""AdamW over named parameters.  The rule itself, and its derivation, stand in ops/adamw.py."""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array, accumulation_dtype, array_module, to_host
from tinygrad_gpt.checks import first_few, fraction, mapping, not_negative
from tinygrad_gpt.kernels import kernel_for
from tinygrad_gpt.ops.adamw import adamw_update
from tinygrad_gpt.ops.norms import positive_norm
from tinygrad_gpt.optim.clipping import gradients_of, named_tensors
from tinygrad_gpt.tape import Tensor

_PARAMETER_DTYPES = ("float32", "float64", "float16")  # dtypes of parameters


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

    state_names = ("m", "v")

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
        self.parameters = _unique_parameters(parameters)
        self.lr = not_negative("lr", lr)
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"betas must be two numbers, (beta1, beta2); got {betas!r}")
        if not callable(decays):
            raise TypeError(f"decays must be a function of name and parameter, such as all_decay; got {decays!r}")
        self.betas = (fraction("beta1", betas[0]), fraction("beta2", betas[1]))
        self.eps = not_negative("eps", eps)
        self.weight_decay = not_negative("weight_decay", weight_decay)
        self.decays = decays
        self.step_counts = array_module(*(p.data for p in self.parameters.values())).zeros(
            len(self.parameters), "int64"
        )
        self.m = {name: _zero_moment(p.data) for name, p in self.parameters.items()}
        self.v = {name: _zero_moment(p.data) for name, p in self.parameters.items()}

    @property
    def steps(self) -> dict[str, int]:
        """How many steps each parameter has made.  On a GPU this waits for it."""
        return dict(zip(self.parameters, to_host(self.step_counts).tolist(), strict=True))

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
        state = self.step_counts, arrays, gradients_of(self.parameters), self.m, self.v
        norm: float | Array = kernel_for(adamw_update, *state)(
            *state,
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
            if missing := [moment for moment in self.state_names if moment not in entry]:
                raise ValueError(f"optimizer state of {name} lacks {', '.join(missing)}; it has {', '.join(entry)}")
            for moment in self.state_names:
                if entry[moment].shape != shape:
                    raise ValueError(f"optimizer state {moment} of {name} has shape {entry[moment].shape}, not {shape}")
        xp = array_module(self.step_counts)
        self.step_counts[...] = xp.asarray(np.array([steps[name] for name in self.parameters], np.int64))
        for name, entry in state.items():
            self.m[name][...] = xp.asarray(entry["m"])
            self.v[name][...] = xp.asarray(entry["v"])


def _unique_parameters(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters, a tensor with several names only under its first."""
    names: dict[Tensor, str] = {}
    for name, parameter in named_tensors(parameters).items():
        if parameter.dtype.name not in _PARAMETER_DTYPES:
            allowed = f"{', '.join(_PARAMETER_DTYPES[:-1])} or {_PARAMETER_DTYPES[-1]}"
            raise TypeError(f"parameter {name} must be {allowed}; got {parameter.dtype.name}")
        names.setdefault(parameter, name)
    if not names:
        raise ValueError("parameters must hold at least one tensor; got none")
    return {name: parameter for parameter, name in names.items()}


def _zero_moment(p: Array) -> Array:
    """The moment of a parameter that has made no step."""
    return array_module(p).zeros_like(p, dtype=accumulation_dtype(p.dtype))
