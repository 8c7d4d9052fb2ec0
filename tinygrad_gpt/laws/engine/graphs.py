"""Laws on gradients through a graph: whatever its shape, they are the derivatives of the composed function."""

import operator
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.engine.under_test import EngineUnderTest, Node
from tinygrad_gpt.laws.law import Array, LawBroken, cases, law
from tinygrad_gpt.laws.ops.assertions import require_close
from tinygrad_gpt.laws.ops.derivatives import directional_derivative, one_hot
from tinygrad_gpt.laws.strategies import arrays, cotangents, dyadic, normal, seeds

_Program = list[tuple[str, int, int]]  # an operation, and the two values it takes (tanh takes the first)
VECTOR_SHAPE = (3,)


def vectors() -> st.SearchStrategy[Array]:
    """Three numbers in [-2, 2]."""
    return arrays(VECTOR_SHAPE, dyadic(2))


@st.composite
def _programs(draw: st.DrawFn) -> _Program:
    """A few operations on three inputs and earlier values; a value is used several times, once or never."""
    steps: _Program = []
    for n in range(3, 3 + draw(st.integers(1, 7))):
        recent = st.integers(0, n - 1).map(partial(operator.sub, n - 1))
        steps.append((draw(st.sampled_from(["add", "multiply", "tanh"])), draw(recent), draw(recent)))
    return steps


def _run(program: _Program, inputs: list[Any], operations: Any) -> Any:
    """The last value of a program."""
    values = list(inputs)
    for name, i, j in program:
        values.append(operations[name](values[i]) if name == "tanh" else operations[name](values[i], values[j]))
    return values[-1]


_NUMPY = {"add": np.add, "multiply": np.multiply, "tanh": np.tanh}


@law(
    "G07",
    "a value used twice in one operation",
    area="engine",
    case=lambda sut: cases(x=vectors(), name=st.sampled_from(["add", "multiply"])),
    mutants=("the-last-use-wins",),
    cites=("karpathy/micrograd#64", "HIPS/autograd#141", "apache/mxnet#17989"),
)
def used_twice(sut: EngineUnderTest, x: Array, name: str) -> None:
    """The gradient of f(x, x) is the sum of the two gradients of f(a, b) at a = b = x."""
    (once,) = sut.slopes(lambda t: sut.operations[name](t, t), x)
    da, db = sut.slopes(sut.operations[name], x, x)
    require_close("the gradient", once, da + db, 1e-12)


@law(
    "G08",
    "gradients add up over backward passes",
    area="engine",
    case=lambda sut: cases(x=vectors(), w=cotangents(VECTOR_SHAPE)),
    mutants=("backward-replaces",),
)
def backward_adds(sut: EngineUnderTest, x: Array, w: Array) -> None:
    """A second backward pass adds its gradients to those of the first."""
    leaf = sut.leaf(x.copy())
    sut.backward(sut.sum(sut.multiply(leaf, sut.constant(w))))
    sut.backward(sut.sum(sut.multiply(leaf, leaf)))
    require_close("the gradient after two losses", require_grad(sut, leaf), w + 2 * x, 1e-12)


@law(
    "G24",
    "a given dloss must fit the loss",
    area="engine",
    case=lambda sut: cases(
        shape=st.sampled_from([(2,), (3, 1), (1, 3), ()]) | st.just((3,)), dtype=st.sampled_from(["float32", "float64"])
    ),
    needs=("seeded",),
    mutants=("any-dloss-will-do",),
    cites=("pytorch/pytorch#1198",),
)
def dloss_has_to_fit(sut: EngineUnderTest, shape: tuple[int, ...], dtype: str) -> None:
    """A dloss whose shape or dtype differs from the loss's raises an error that names both; one that fits is used."""
    leaf = sut.leaf(np.ones(3))
    loss = sut.multiply(leaf, leaf)
    dloss = np.full(shape, 0.5, dtype)
    try:
        sut.backward(loss, dloss)
    except (ValueError, TypeError, RuntimeError) as error:
        named = str(error).replace(" ", "")
        differ = [("3,", ",".join(map(str, shape))), ("float64", dtype)][shape == (3,)]
        if (shape, dtype) == ((3,), "float64") or not all(word in named for word in differ):
            raise LawBroken(f"{type(error).__name__}: {error}", f"the gradient, or an error naming {differ}") from error
        return
    if (shape, dtype) != ((3,), "float64"):
        raise LawBroken(f"dloss of {dtype}{shape} for a loss of float64(3,) was accepted", "an error naming both")
    require_close("the gradient", require_grad(sut, leaf), np.ones(3), 1e-12)


@law(
    "G25",
    "the gradient of a composition",
    area="engine",
    case=lambda sut: cases(
        program=_programs(), inputs=st.tuples(vectors(), vectors(), vectors()), w=cotangents(VECTOR_SHAPE)
    ),
    mutants=("nearest-first", "the-last-use-wins"),
)
def composition(sut: EngineUnderTest, program: _Program, inputs: tuple[Array, ...], w: Array) -> None:
    """For small random graphs, the gradients equal the complex-step derivatives of the same composition."""
    got = sut.slopes(
        lambda *leaves: sut.multiply(_run(program, list(leaves), sut.operations), sut.constant(w)), *inputs
    )
    for i, x in enumerate(inputs):
        moves = [
            directional_derivative(
                lambda *values: _run(program, list(values), _NUMPY), inputs, {i: one_hot(x.shape, k)}, True
            )
            for k in np.ndindex(x.shape)
        ]
        want = np.array([float(np.sum(w * move)) for move in moves])
        require_close(f"gradient {i}", got[i], want, 1e-11, scale=float(np.max(np.abs(want), initial=1)))


@law(
    "E01",
    "a long chain",
    area="engine",
    case=lambda sut: cases(length=st.just(100_000)),
    mutants=("recursion",),
    cites=("karpathy/micrograd#90", "pytorch/pytorch#116761", "tinygrad/tinygrad#9979"),
    examples=1,
)
def long_chain(sut: EngineUnderTest, length: int) -> None:
    """backward works on a chain of 100,000 operations, and such a chain can be deleted without a backward pass."""
    leaf, one = sut.leaf(np.array(0.0)), sut.constant(np.array(1.0))
    for walked in (True, False):
        x = leaf
        for _ in range(length):
            x = sut.add(x, one)
        if walked:
            sut.backward(x)
        del x
    require_close("the gradient", require_grad(sut, leaf), np.array(1.0), 0.0)


@law(
    "E02",
    "shared values, in linear time",
    area="engine",
    case=lambda sut: cases(levels=st.integers(1, 30), b=dyadic(2)),
    needs=("apply",),
    mutants=("the-last-use-wins", "nearest-first", "every-path-by-itself"),
    cites=("karpathy/micrograd#68", "karpathy/micrograd#64"),
)
def shared_values(sut: EngineUnderTest, levels: int, b: float) -> None:
    """x + x, n levels deep, has gradient 2ⁿ after n vjp calls; b (b b), with b used at two depths, has 3 b²."""
    calls = 0

    def counted(x: Array, y: Array) -> tuple[Array, Any]:
        def vjp(dy: Array) -> tuple[Array, Array]:
            nonlocal calls
            calls += 1
            if calls > levels:
                raise LawBroken(f"more than {levels} calls of a vjp for {levels} operations", "one call each")
            return dy.copy(), dy.copy()

        return x + y, vjp

    assert sut.apply is not None
    leaf = x = sut.leaf(np.array(1.0))
    for _ in range(levels):
        x = sut.apply(counted, x, x)
    sut.backward(x)
    require_close(f"the gradient of {levels} doublings", require_grad(sut, leaf), np.array(2.0**levels), 0.0)
    (slope,) = sut.slopes(lambda t: sut.multiply(t, sut.multiply(t, t)), np.array(b))
    require_close("the gradient of b (b b)", slope, np.array(3 * b * b), 1e-12)


@law(
    "E12",
    "second derivatives are symmetric",
    area="engine",
    case=lambda sut: cases(program=_programs(), x=vectors(), seed=seeds()),
    mutants=("a-factor-off",),
)
def hessian_is_symmetric(sut: EngineUnderTest, program: _Program, x: Array, seed: int) -> None:
    """uᵀ∇(∇L·v) = vᵀ∇(∇L·u), computed by differences of gradients. The forward pass need not be right."""
    h, (u, v) = 1e-5, normal(seed, (2, *VECTOR_SHAPE))
    w = np.array([0.5, 1.0, -2.0])

    def loss(t: Node) -> Node:
        mixed = sut.add(t, sut.multiply(sut.sum(t), sut.constant(w)))  # every entry is combined with every other
        return sut.multiply(
            _run(program, [t, mixed, sut.multiply(t, sut.constant(w))], sut.operations), sut.constant(w)
        )

    def curvature(along: Array, seen: Array) -> Array:
        (ahead,), (behind,) = sut.slopes(loss, x + h * along), sut.slopes(loss, x - h * along)
        return np.sum(seen * (ahead - behind)) / (2 * h)

    first, second = curvature(u, v), curvature(v, u)
    require_close("vᵀHu", first, second, 1e-5, scale=float(np.max(np.abs(sut.slopes(loss, x)[0]), initial=1)))


@law(
    "E13",
    "what a vjp returned is not written to",
    area="engine",
    case=lambda sut: cases(a=vectors(), b=vectors()),
    needs=("apply",),
    mutants=("adds-in-place",),
)
def returned_arrays_are_left_alone(sut: EngineUnderTest, a: Array, b: Array) -> None:
    """The engine does not write to an array that a vjp returned: (a + b) + a has gradients 2 and 1, though add returns
    one array for both inputs.
    """
    handed: list[tuple[Array, Array]] = []

    def add(x: Array, y: Array) -> tuple[Array, Any]:
        def vjp(dy: Array) -> tuple[Array, Array]:
            handed.append((dy, dy.copy()))
            return dy, dy

        return x + y, vjp

    for combine in (sut.add, lambda x, y: sut.apply and sut.apply(add, x, y)):
        da, db = sut.slopes(lambda x, y, combine=combine: combine(combine(x, y), x), a, b)
        require_close("da", da, np.full(VECTOR_SHAPE, 2.0), 0.0)
        require_close("db", db, np.full(VECTOR_SHAPE, 1.0), 0.0)
    for array, before in handed:
        require_close("an array that a vjp returned", array, before, 0.0)


def require_grad(sut: EngineUnderTest, leaf: Node) -> Array:
    """The leaf's gradient.  Raises LawBroken if there is none."""
    grad = sut.grad(leaf)
    if grad is None:
        raise LawBroken("no gradient", "a gradient")
    return np.asarray(grad)


GRAPH_LAWS = (
    used_twice,
    backward_adds,
    dloss_has_to_fit,
    composition,
    long_chain,
    shared_values,
    hessian_is_symmetric,
    returned_arrays_are_left_alone,
)
