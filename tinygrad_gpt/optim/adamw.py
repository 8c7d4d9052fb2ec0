"""AdamW over named parameters.  The rule itself and its derivation are in ops/adamw.py."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array, accumulation_dtype, array_module, to_host
from tinygrad_gpt.checks import first_few, fraction, mapping, not_negative, real_numbers, whole_number
from tinygrad_gpt.kernels import kernel_for
from tinygrad_gpt.ops.adamw import adamw_update
from tinygrad_gpt.ops.norms import positive_norm
from tinygrad_gpt.optim.clipping import gradients_of, named_tensors
from tinygrad_gpt.tape import Tensor

_PARAMETER_DTYPES = ("float32", "float64", "float16")  # dtypes of parameters
_MAX_STEP_COUNT = 2**63 - 1  # int64


def matrices_decay(name: str, parameter: Tensor) -> bool:
    """Matrices decay; biases, gains and all other parameters with one axis do not."""
    return parameter.ndim >= 2


def all_decay(name: str, parameter: Tensor) -> bool:
    """Every parameter decays, as in torch.optim.AdamW and in the book."""
    return True


class AdamW:
    """AdamW over named parameters, updated in place from their `.grad`.

    A parameter without a gradient does not change, nor do its moments and its step count.  A tensor that has several
    names is updated once.  decays(name, tensor) says whether weight_decay applies to a parameter.

    A float16 parameter has float32 moments.  Its step is computed in float32 and rounded to float16 at the end, so a
    step of less than half a unit in the parameter's last place changes nothing.

    Raises ValueError for settings out of range (lr, eps, weight_decay >= 0; betas in [0, 1)), and TypeError for a
    bfloat16 parameter: it has about three digits, and most steps are too small to change them.
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
        """The number of steps of each parameter.  On a GPU this waits for the device."""
        return dict(zip(self.parameters, to_host(self.step_counts).tolist(), strict=True))

    def step(self, lr: float | None = None, *, max_norm: float = math.inf, loss: Array | None = None) -> float | Array:
        """Update every parameter that has a gradient; returns the gradients' global norm.

        lr is this step's learning rate; default: the optimizer's own.  If the norm is above max_norm, the gradients are
        scaled down to it for the update (see clip_grad_norm); `.grad` does not change.  loss () is the loss of these
        gradients; if it is given, it must be finite too.

        Raises FloatingPointError if a gradient or the loss is not finite, ValueError if a gradient has another shape
        than its parameter.  Both come before anything changes, and name a parameter at fault.

        On a GPU the norm is an array () that may not be computed yet, and FloatingPointError is not raised.  If a
        gradient or the loss is not finite, the device itself leaves parameters, moments and step counts unchanged; the
        caller sees it when reading the norm and the loss.
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
        """Set the gradient of every parameter to None."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def state(self) -> dict[str, dict[str, Any]]:
        """Copies of what `load_state` needs: the step count and both moments of each parameter."""
        return {
            name: {"step": step, "m": self.m[name].copy(), "v": self.v[name].copy()}
            for name, step in self.steps.items()
        }

    def load_state(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Continue from a state.

        Raises ValueError or TypeError, and changes nothing, if names or shapes differ, a step count is not a whole
        number of at least 0, a moment has a nan, or v has a negative number.
        """
        mapping("optimizer state", state, "parameter name to step count and moments")
        if state.keys() != self.parameters.keys():
            differing = first_few(state.keys() ^ self.parameters.keys())
            raise ValueError(
                f"optimizer state must have the optimizer's parameters; only one of the two has {differing}"
            )
        entries = {name: self._check_entry(name, state[name]) for name in self.parameters}
        step_counts = np.array([step for step, _ in entries.values()], np.int64)
        xp = array_module(self.step_counts)
        self.step_counts[...] = xp.asarray(step_counts)
        for name, (_, moments) in entries.items():
            self.m[name][...] = xp.asarray(moments["m"])
            self.v[name][...] = xp.asarray(moments["v"])

    def _check_entry(self, name: str, entry: Any) -> tuple[int, dict[str, Array]]:
        """The step count and the moments of one parameter's state."""
        mapping(f"optimizer state of {name}", entry, "step count and moments")
        if missing := [key for key in ("step", *self.state_names) if key not in entry]:
            raise ValueError(f"optimizer state of {name} lacks {', '.join(missing)}; it has {', '.join(entry)}")
        step = whole_number(f"optimizer state step of {name}", entry["step"], 0)
        if step > _MAX_STEP_COUNT:
            raise ValueError(f"optimizer state step of {name} must be at most {_MAX_STEP_COUNT}; got {step}")
        moments = {key: real_numbers(f"optimizer state {key} of {name}", entry[key]) for key in self.state_names}
        for key, moment in moments.items():
            if moment.shape != self.parameters[name].shape:
                shape = self.parameters[name].shape
                raise ValueError(f"optimizer state {key} of {name} has shape {moment.shape}, not {shape}")
            if (moment != moment).any():  # inf is allowed: in float32 1e20² is inf
                raise ValueError(f"optimizer state {key} of {name} must be numbers; it has a nan")
        if (moments["v"] < 0).any():
            raise ValueError(f"optimizer state v of {name} must be at least 0; it has a negative number")
        return step, moments


def _unique_parameters(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters; a tensor with several names has only its first."""
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
    return array_module(p).zeros_like(p, dtype=accumulation_dtype(p.dtype))
