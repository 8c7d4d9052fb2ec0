"""The root of a sum of squares that may be 0."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt import laws
from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.laws.strategies import arrays, dyadic
from tinygrad_gpt.study.pitfalls.pitfall import Code, Pitfall


def distance(a: Array, b: Array) -> tuple[Array, Vjp]:
    """a, b (N, C) -> the distance of each row of a from that of b (N)"""
    apart = a - b
    y = np.sqrt((apart**2).sum(-1))

    def vjp(dy: Array) -> tuple[Array, Array]:
        da = (dy / y)[:, None] * apart
        return da, -da

    return y, vjp


def distance_fixed(a: Array, b: Array) -> tuple[Array, Vjp]:
    """a, b (N, C) -> how far each row of a is from that of b (N)"""
    apart = a - b
    y = np.sqrt((apart**2).sum(-1) + 1e-12)

    def vjp(dy: Array) -> tuple[Array, Array]:
        da = (dy / y)[:, None] * apart
        return da, -da

    return y, vjp


def symptom(distance: Code) -> None:
    """Two points that approach each other by a quarter of a unit per step, until they meet."""
    a, b = np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]])
    for step in range(6):
        y, vjp = distance(a, b)
        print(f"step {step}   distance {y[0]:.2f}   a = ({a[0, 0]:.2f}, {a[0, 1]:.2f})")
        with np.errstate(all="ignore"):
            a = a - 0.25 * vjp(np.ones(1))[0]


def places(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[tuple[Array, Array], dict[str, object]]]:
    """a with these numbers, b with numbers up to 1, and no settings."""
    a, b = arrays((2, 2), numbers), arrays((2, 2), dyadic(1))
    return st.tuples(st.tuples(a, b), st.just({}))


sut = laws.OpUnderTest(
    name="distance",
    op=distance,
    domain=places(dyadic(1).map(lambda number: number + 4)),
    extremes=places(st.sampled_from([0.0, 1.0, 1e100])),
    batched=(0, 1),
    dtypes=("float64",),
)

PITFALL = Pitfall(
    name="root-of-zero",
    title="two points that meet and become nan",
    area="gradient",
    task="The distance of points, row by row: the root of the sum of squares.",
    wrong=distance,
    fixed=distance_fixed,
    symptom=symptom,
    broken=sut,
    whole=replace(sut, op=distance_fixed),
    laws=("G20",),
    why="The root is vertical at 0: its slope 1/(2y) is infinite there, the slope of the square before it is 0, and "
    "their product is nan. A norm, a deviation, x ** 0.5: each needs a small number under the root, too small to "
    "matter. A where() around the result does not help: the branch not taken still gives nan, as 0 times inf.",
    sources=("pytorch/pytorch#4320", "HIPS/autograd#586"),
)
