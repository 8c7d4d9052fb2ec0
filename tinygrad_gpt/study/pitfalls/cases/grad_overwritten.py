"""A value used twice gets the gradient of one use."""

from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_gpt import Tensor, laws, no_grad
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall
from tinygrad_gpt.tape import Node, apply, deepest_first


def backward(loss: Tensor) -> None:
    """Add dloss/dleaf to the gradient of every leaf."""
    grads: dict[Any, Any] = {loss.node: np.ones(loss.shape)}
    for node in reversed(deepest_first(loss)):
        answers = node.vjp(grads[node])
        for parent, dx in zip(node.parents, answers, strict=True):
            if parent is None:
                continue
            grads[parent] = dx
    store(grads)


def backward_fixed(loss: Tensor) -> None:
    """Add dloss/dleaf to the gradient of every leaf."""
    grads: dict[Any, Any] = {loss.node: np.ones(loss.shape)}
    for node in reversed(deepest_first(loss)):
        answers = node.vjp(grads[node])
        for parent, dx in zip(node.parents, answers, strict=True):
            if parent is None:
                continue
            if parent in grads:
                dx = grads[parent] + dx
            grads[parent] = dx
    store(grads)


def store(grads: dict[Any, Any]) -> None:
    """Add the gradients of the leaves to their .grad."""
    if None in grads:
        raise ValueError("the loss depends on nothing that requires a gradient")
    for leaf, grad in grads.items():
        if not isinstance(leaf, Node):
            leaf.grad = np.array(grad if leaf.grad is None else leaf.grad + grad)


def symptom(backward: Code) -> None:
    """Known slopes at x = 3."""
    slopes: tuple[tuple[str, Code, int], ...] = (
        ("x + 1", lambda x: x + 1.0, 1),
        ("x * x", lambda x: x * x, 6),
        ("x * x + x", lambda x: x * x + x, 7),
    )
    for formula, function, right in slopes:
        x = Tensor(np.array(3.0), requires_grad=True)
        backward(function(x))
        assert x.grad is not None
        print(f"{formula:<10} slope {x.grad:g}, should be {right}")


def under_test(backward: Code) -> laws.EngineUnderTest:
    """The tape with another backward."""
    return laws.EngineUnderTest(
        name="tape",
        leaf=lambda array: Tensor(array, requires_grad=True),
        constant=Tensor,
        operations={"add": Tensor.__add__, "multiply": Tensor.__mul__, "tanh": Tensor.tanh, "sum": Tensor.sum},
        backward=backward,
        grad=lambda tensor: tensor.grad,
        data=lambda tensor: tensor.data,
        apply=apply,
        no_grad=no_grad,
        seeded=False,
        second_backward="same",
    )


sut = under_test(backward)

PITFALL = Pitfall(
    name="grad-overwritten",
    title="the last use wins",
    area="engine",
    task="Backward over the tape: each node gives its parents their gradients.",
    wrong=backward,
    fixed=backward_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, backward=backward_fixed),
    laws=("G07", "G08", "G25", "E02", "E07", "E09", "E12", "E13"),
    why="The chain rule of several variables: the slope of a value that enters the loss in two ways is the sum of "
    "two slopes. Residual streams, tied weights, shared embeddings: in a GPT nearly everything is used twice.",
    sources=("karpathy/micrograd#64", "apache/mxnet#17989", "HIPS/autograd#141"),
)
