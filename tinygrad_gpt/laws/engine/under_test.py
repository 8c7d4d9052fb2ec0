"""An engine under test: tensors that record how they were computed, and a backward pass."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from tinygrad_gpt.laws.law import Area, Array

Node = Any  # a tensor of the engine
_NEEDED = ("add", "multiply", "tanh", "sum")
ERRORS = (ValueError, TypeError, RuntimeError)  # what an engine may raise to refuse something


@dataclass(frozen=True, eq=False, kw_only=True)
class EngineUnderTest:
    """How to make tensors, combine them and run backward.  Arrays are NumPy's, of float64.

    leaf(array), constant(array)    a tensor that requires a gradient, and one that does not
    operations                      "add", "multiply" (of two tensors), "tanh", "sum" (of one; over all axes)
    backward(loss)                  adds dloss/dleaf to the gradient of every leaf; backward(loss, dloss) if `seeded`
    grad(leaf), data(tensor)        the gradient itself or None; the values
    apply(op, *tensors)             for an op(*arrays) -> (y, vjp) written by the laws; optional
    no_grad(), nan_guard()          context managers: nothing is recorded; a new nan raises an error.  Optional

    Policies: a second backward through the same graph raises an error, or adds the same gradients again; writing into a
    saved array between forward and backward is not noticed, or is safe (it raises, or has no effect).
    """

    area: ClassVar[Area] = "engine"

    name: str
    leaf: Callable[[Array], Node]
    constant: Callable[[Array], Node]
    operations: Mapping[str, Callable[..., Node]]
    backward: Callable[..., Any]
    grad: Callable[[Node], Array | None]
    data: Callable[[Node], Array]
    apply: Callable[..., Node] | None = None
    no_grad: Callable[[], AbstractContextManager[Any]] | None = None
    nan_guard: Callable[[], AbstractContextManager[Any]] | None = None
    seeded: bool = True
    second_backward: Literal["error", "same"] = "error"
    saved_writes: Literal["undetected", "safe"] = "undetected"

    def __post_init__(self) -> None:
        if missing := [name for name in _NEEDED if name not in self.operations]:
            raise ValueError(f"operations must have {', '.join(_NEEDED)}; {', '.join(missing)} is missing")

    @property
    def capabilities(self) -> frozenset[str]:
        """The optional parts that are there."""
        there = {
            "apply": self.apply is not None,
            "no_grad": self.no_grad is not None,
            "nan_guard": self.nan_guard is not None,
            "seeded": self.seeded,
            "safe writes": self.saved_writes == "safe",
        }
        return frozenset(name for name, is_there in there.items() if is_there)

    @property
    def policies(self) -> dict[str, object]:
        """The declared choices where several are right."""
        return {"second_backward": self.second_backward, "saved_writes": self.saved_writes}

    def add(self, a: Node, b: Node) -> Node:
        """a + b"""
        return self.operations["add"](a, b)

    def multiply(self, a: Node, b: Node) -> Node:
        """a b"""
        return self.operations["multiply"](a, b)

    def tanh(self, x: Node) -> Node:
        """tanh x"""
        return self.operations["tanh"](x)

    def sum(self, x: Node) -> Node:
        """The sum of all entries."""
        return self.operations["sum"](x)

    def slopes(self, function: Callable[..., Node], *arrays: Array) -> list[Array]:
        """Gradients of function(*leaves), summed over its entries, at these arrays; zeros for a leaf without one."""
        leaves = [self.leaf(array.copy()) for array in arrays]
        self.backward(self.sum(function(*leaves)))
        return [
            np.zeros(t.shape) if (g := self.grad(leaf)) is None else np.array(g)
            for t, leaf in zip(arrays, leaves, strict=True)
        ]
