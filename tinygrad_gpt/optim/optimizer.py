"""What training and checkpoints ask of an optimizer.  AdamW is one; any class with these members is another."""

import math
from collections.abc import Mapping
from typing import Any, Protocol

from tinygrad_gpt.backend import Array
from tinygrad_gpt.tape import Tensor


class Optimizer(Protocol):
    """An optimizer over named parameters, which it updates in place from their `.grad`.

    Its state, which a checkpoint saves, is a step count per parameter and, for each of `state_names`, an attribute of
    that name that holds an array per parameter, of the parameter's shape: AdamW's are ("m", "v"), plain gradient
    descent has none.
    """

    lr: float  # the learning rate of a step that is given no other

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        """The tensors that are updated, by name."""
        ...

    @property
    def steps(self) -> Mapping[str, int]:
        """How many steps each parameter has made."""
        ...

    @property
    def state_names(self) -> tuple[str, ...]:
        """The names of the state's arrays: identifiers, and attributes of the optimizer."""
        ...

    def step(self, lr: float | None = None, *, max_norm: float = math.inf, loss: Array | None = None) -> float | Array:
        """Update every parameter that has a gradient; returns the gradients' global norm, before clipping to max_norm.

        If a gradient or the loss () is not finite nothing changes: raises FloatingPointError, or on a GPU, which
        nobody waits for, lets the norm and the loss tell.
        """
        ...

    def zero_grad(self) -> None:
        """Forget all gradients."""
        ...

    def load_state(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on from a state: parameter name -> {"step": count, a state's name: its array, ...}.

        Raises ValueError, and changes nothing, if names or shapes differ.
        """
        ...
