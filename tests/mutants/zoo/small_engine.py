"""A small right engine, in methods that a mutant can override."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_gpt.laws.engine.under_test import EngineUnderTest
from tinygrad_gpt.laws.law import Array

Vjp = Callable[[Array], tuple[Array, ...]]


class Node:
    """A value, and the operation that computed it."""

    def __init__(self, data: Array, asks: bool = False, parents: tuple["Node", ...] = (), vjp: Vjp | None = None):
        self.data, self.asks, self.parents, self.vjp = data, asks, parents, vjp
        self.depth: int = 1 + max(p.depth for p in parents) if parents else 0
        self.grad: Array | None = None


def add(a: Array, b: Array) -> tuple[Array, Vjp]:
    """Returns one array for both inputs."""
    return a + b, lambda dy: (dy, dy)


def multiply(a: Array, b: Array) -> tuple[Array, Vjp]:
    """Of equal shapes, or with a number."""
    return a * b, lambda dy: (np.reshape(dy * b if a.shape else (dy * b).sum(), a.shape), dy * a)


def tanh(x: Array) -> tuple[Array, Vjp]:
    """tanh x"""
    y = np.tanh(x)
    return y, lambda dy: (dy * (1 - y * y),)


def total(x: Array) -> tuple[Array, Vjp]:
    """The sum of all entries."""
    return x.sum(), lambda dy: (np.full(x.shape, dy),)


class Engine:
    """Records operations, runs backward deepest first, sums into new arrays.  Saves copies."""

    multiply = staticmethod(multiply)

    def __init__(self) -> None:
        self.local = threading.local()
        self.guarded = False

    # ---- what the laws call

    def leaf(self, data: Array) -> Node:
        """A value that requires a gradient."""
        if data.dtype.kind != "f":
            raise TypeError(f"a gradient needs floats; got {data.dtype}")
        return Node(data, asks=True)

    def apply(self, op: Callable[..., tuple[Array, Vjp]], *nodes: Node) -> Node:
        """Run an op; record its vjp if an input requires a gradient."""
        data, vjp = op(*(self.saved(node.data) for node in nodes))
        if self.guarded and np.isnan(data).any():
            raise FloatingPointError(self.complaint(op))
        data = np.array(data)  # the op may save its own arrays
        return Node(data, True, nodes, vjp) if self.records(nodes) else Node(data)

    def backward(self, loss: Node, dloss: Array | None = None) -> None:
        """Add dloss/dleaf to the gradient of every leaf."""
        if not loss.asks:
            raise ValueError("nothing here requires a gradient")
        for leaf, grad in self.gradients(loss, self.checked(loss, dloss)).items():
            self.store(leaf, grad)

    @contextmanager
    def no_grad(self) -> Iterator[None]:
        """Nothing is recorded in this block."""
        before = self.off
        self.off = True
        try:
            yield
        finally:
            self.off = before

    @contextmanager
    def nan_guard(self) -> Iterator[None]:
        """A new nan raises an error."""
        self.guarded = True
        try:
            yield
        finally:
            self.guarded = False

    # ---- methods that the mutants override

    @property
    def off(self) -> bool:
        """Whether recording is switched off, in this thread."""
        return bool(getattr(self.local, "off", False))

    @off.setter
    def off(self, value: bool) -> None:
        self.local.off = value

    def records(self, nodes: tuple[Node, ...]) -> bool:
        """Whether the vjp is recorded."""
        return not self.off and any(node.asks for node in nodes)

    def saved(self, data: Array) -> Array:
        """The arrays that the op gets and may save."""
        return data.copy()

    def complaint(self, op: Any) -> str:
        """The guard's error text."""
        return f"{op.__name__} made a nan"

    def checked(self, loss: Node, dloss: Array | None) -> Array:
        """The gradient of the loss."""
        if dloss is None:
            return np.ones_like(loss.data)
        if (dloss.shape, dloss.dtype) != (loss.data.shape, loss.data.dtype):
            raise ValueError(f"dloss is {dloss.dtype}{dloss.shape}, the loss {loss.data.dtype}{loss.data.shape}")
        return dloss

    def order(self, loss: Node) -> list[Node]:
        """Every node after all nodes computed from it."""
        seen, todo = {loss: None}, [loss]
        while todo:
            fresh = [p for p in dict.fromkeys(todo.pop().parents) if p.asks and p not in seen]
            seen |= dict.fromkeys(fresh)
            todo += fresh
        return sorted(seen, key=lambda node: -node.depth)

    def gradients(self, loss: Node, dloss: Array) -> dict[Node, Array]:
        """dloss/dleaf for every leaf that requires it."""
        grads = {loss: dloss}
        for node in self.order(loss):
            if node.vjp is None:
                continue
            vjp, parents = node.vjp, node.parents
            self.leave(node)
            for parent, grad in zip(parents, vjp(grads.pop(node)), strict=True):
                if parent.asks:
                    self.collect(grads, parent, grad)
        return grads

    def leave(self, node: Node) -> None:
        """A node is used once."""
        node.vjp, node.parents = walked, ()

    def collect(self, grads: dict[Node, Array], parent: Node, grad: Array) -> None:
        """Add a term to a gradient."""
        grads[parent] = grads[parent] + grad if parent in grads else grad

    def store(self, leaf: Node, grad: Array) -> None:
        """Add to the leaf's gradient."""
        leaf.grad = np.array(grad) if leaf.grad is None else np.asarray(leaf.grad + grad)


def walked(dy: Array) -> tuple[Array, ...]:
    """Replaces a vjp that was used."""
    raise RuntimeError("backward already ran on this graph")


def under_test(name: str, engine: Engine, **claims: Any) -> EngineUnderTest:
    """An engine of this file, with the right claims for the one it was made from."""
    operations: dict[str, Any] = {
        "add": lambda a, b: engine.apply(add, a, b),
        "multiply": lambda a, b: engine.apply(engine.multiply, a, b),
        "tanh": lambda x: engine.apply(tanh, x),
        "sum": lambda x: engine.apply(total, x),
    }
    return EngineUnderTest(
        name=name,
        leaf=engine.leaf,
        constant=Node,
        operations=operations,
        backward=engine.backward,
        grad=lambda node: node.grad,
        data=lambda node: node.data,
        apply=engine.apply,
        no_grad=engine.no_grad,
        nan_guard=engine.nan_guard,
        **{"saved_writes": "safe"} | claims,
    )


RIGHT_ENGINE = under_test("small engine", Engine())
