"""A bias is repeated over the batch, and its gradient is not summed over the batch."""

from dataclasses import replace

import numpy as np

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.ops import unbroadcast
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall


def add(a: Array, b: Array) -> tuple[Array, Vjp]:
    """a and b broadcast together."""
    y = a + b

    def vjp(dy: Array) -> tuple[Array, Array]:
        da = dy
        db = dy
        return da, db

    return y, vjp


def add_fixed(a: Array, b: Array) -> tuple[Array, Vjp]:
    """a and b broadcast together."""
    y = a + b

    def vjp(dy: Array) -> tuple[Array | None, Array | None]:
        da = unbroadcast(dy, a.shape, a.dtype)
        db = unbroadcast(dy, b.shape, b.dtype)
        return da, db

    return y, vjp


def symptom(add: Code) -> None:
    """A training step on four rows, then a batch of two."""
    bias = np.zeros(3)
    y, vjp = add(np.ones((4, 3)), bias)
    _, dbias = vjp(np.ones_like(y))
    print(f"bias {bias.shape}, its gradient {np.shape(dbias)}")
    bias = bias - 0.1 * dbias
    print(f"bias after a step with a batch of 4: {bias.shape}")
    try:
        y, _ = add(np.ones((2, 3)), bias)
        print(f"the next batch has 2 rows: y is {y.shape}")
    except ValueError as error:
        print(f"the next batch has 2 rows:\n  ValueError: {str(error).strip()}")


sut = laws.OpUnderTest(name="add", op=add, arity=2, broadcast=True, aliasing=frozenset({"dx"}))

PITFALL = Pitfall(
    name="broadcast-bias",
    title="the bias that grew",
    area="gradient",
    task="Adds a bias (C) to every row of x (B, C), and passes dy to both.",
    wrong=add,
    fixed=add_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, op=add_fixed),
    laws=("G05", "G02", "G06"),
    why="Broadcasting uses one number several times, and a number that is used several times receives the sum of "
    "all gradients: the gradient has to be summed to the shape of the array. A batch of one row does not "
    "show it.",
    sources=("pytorch/pytorch#1787", "raskr/rust-autograd#38", "Theano/Theano#1585"),
)
