"""What training and checkpoints need of an optimizer.  AdamW is one; any other class with these members works too."""

import math
from collections.abc import Mapping
from typing import Any, Protocol

from tinygrad_gpt.backend import Array
from tinygrad_gpt.tape import Tensor


class Optimizer(Protocol):
    """An optimizer over named parameters, which it updates in place from their `.grad`.

    A checkpoint saves its state: a step count per parameter, and for each of `state_names` the attribute of that name,
    a dict with one array per parameter, of the parameter's shape.  AdamW's state_names are ("m", "v"); plain gradient
    descent has none.
    """

    lr: float  # the learning rate of `step` by default

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        """The tensors that are updated, by name."""
        ...

    @property
    def steps(self) -> Mapping[str, int]:
        """The number of steps of each parameter."""
        ...

    @property
    def state_names(self) -> tuple[str, ...]:
        """The names of the state's arrays: identifiers, and attributes of the optimizer."""
        ...

    def step(self, lr: float | None = None, *, max_norm: float = math.inf, loss: Array | None = None) -> float | Array:
        """Update every parameter that has a gradient; returns the gradients' global norm, before clipping to max_norm.

        If a gradient or the loss () is not finite, nothing changes.  On a CPU this raises FloatingPointError.  On a GPU
        it does not, because it does not wait for the GPU: the caller sees it in the norm and the loss.
        """
        ...

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        ...

    def load_state(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Continue from a state: parameter name -> {"step": count, name in state_names: array, ...}.

        Raises ValueError, and changes nothing, if names or shapes differ.
        """
        ...
