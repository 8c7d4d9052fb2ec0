"""Nodes in the order of a breadth-first search, which is not a topological order."""

from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_gpt import Tensor
from tinygrad_gpt.study.pitfalls.cases.grad_overwritten import store, under_test
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall
from tinygrad_gpt.tape import Node, deepest_first


def backward(loss: Tensor) -> None:
    """Add dloss/dleaf to the gradient of every leaf."""
    grads: dict[Any, Any] = {loss.node: np.ones(loss.shape)}
    todo = nearest_first(loss)
    for node in todo:
        answers = node.vjp(grads[node])
        for parent, dx in zip(node.parents, answers, strict=True):
            if parent is None:
                continue
            if parent in grads:
                dx = grads[parent] + dx
            grads[parent] = dx
    store(grads)


def backward_fixed(loss: Tensor) -> None:
    """Add dloss/dleaf to the gradient of every leaf."""
    grads: dict[Any, Any] = {loss.node: np.ones(loss.shape)}
    todo = reversed(deepest_first(loss))
    for node in todo:
        answers = node.vjp(grads[node])
        for parent, dx in zip(node.parents, answers, strict=True):
            if parent is None:
                continue
            if parent in grads:
                dx = grads[parent] + dx
            grads[parent] = dx
    store(grads)


def nearest_first(loss: Tensor) -> list[Node]:
    """Breadth first from the loss, each node once."""
    todo = [] if loss.node is None else [loss.node]
    for node in todo:
        todo += [p for p in dict.fromkeys(node.parents) if isinstance(p, Node) and p not in todo]
    return todo


def symptom(backward: Code) -> None:
    """b = 2x is used next to the loss, and also deeper in the graph."""
    slopes: tuple[tuple[str, Code, int], ...] = (
        ("b + b", lambda b: b + b, 4),
        ("b * (b * b)", lambda b: b * (b * b), 24),
        ("b + (b * b) * b", lambda b: b + (b * b) * b, 26),
    )
    for formula, function, right in slopes:
        x = Tensor(np.array(1.0), requires_grad=True)
        backward(function(x * 2.0))
        assert x.grad is not None
        print(f"b = 2x, loss = {formula:<16} slope at x = 1: {x.grad:g}, should be {right}")


sut = under_test(backward)

PITFALL = Pitfall(
    name="graph-order",
    title="a node that could not wait",
    area="engine",
    task="Backward over the tape, breadth first: nearest_first(loss) lists the nodes as it visits them, each once.",
    wrong=backward,
    fixed=backward_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, backward=backward_fixed),
    laws=("G25", "E12"),
    why="A node may pass on its gradient only when all terms have arrived, that is after every node made from it. "
    "Breadth first visits a value near the loss early, and runs its vjp before a deeper use has sent its term. "
    "A topological order waits; sorting by depth gives one.",
    sources=("karpathy/micrograd#68", "karpathy/micrograd#64"),
)
