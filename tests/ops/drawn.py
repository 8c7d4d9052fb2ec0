"""What the laws of ops are tried on: shapes, then numbers to fill them, then (arrays, settings)."""

import math

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.ops.under_test import SHAPES, shapes
from tinygrad_gpt.laws.strategies import arrays, dyadic, index_arrays, normal, seeds

HUGE = (0.0, 1.0, -1.0, 1e4, -1e4, 1e-42, -1e-42)  # 1e-42 is a denormal in float32


def numbers(shape):
    """Few entries are drawn one by one, so that they shrink; many are expanded from one seed."""
    return arrays(shape, dyadic(3)) if math.prod(shape) <= 4 else seeds().map(lambda seed: normal(seed, shape))


def distinct(shape):
    return arrays(shape, dyadic(3), unique=True)


def positive(shape):
    return numbers(shape).map(lambda x: abs(x) + 0.25)


def away_from_zero(shape):
    return numbers(shape).map(lambda x: x + np.where(x < 0, -0.25, 0.25))


def among(*values):
    return lambda shape: arrays(shape, st.sampled_from(values))


def masks(shape):
    return arrays(shape, st.booleans(), bool)


def keeps(shape):
    """A dropout mask of rate 1/5."""
    return arrays(shape, st.sampled_from([0.0, 1.25]))


def case(*drawn, **settings):
    """Arrays one by one, settings by name."""
    return st.tuples(st.tuples(*drawn), st.fixed_dictionaries(settings))


def any_shape(*fills, min_dims=0, **settings):
    """Arrays of one shape."""
    chosen = st.sampled_from([shape for shape in SHAPES if len(shape) >= min_dims])
    return chosen.flatmap(lambda shape: case(*(fill(shape) for fill in fills), **settings))


def broadcast(*fills):
    """Arrays of shapes that broadcast together."""
    return shapes(len(fills), broadcast=True).flatmap(
        lambda found: case(*(fill(shape) for fill, shape in zip(fills, found, strict=True)))
    )


def shaped(shapes, *fills, **settings):
    """Arrays of one of these tuples of shapes."""
    return st.sampled_from(shapes).flatmap(
        lambda chosen: case(*(fill(shape) for fill, shape in zip(fills, chosen, strict=True)), **settings)
    )


NO_AXES_OR_ENTRIES = ((), (0,), (2, 0), (0, 3))


def empty(count=1, **settings):
    return shaped([(shape,) * count for shape in NO_AXES_OR_ENTRIES], *[numbers] * count, **settings)


AXES = ((3,), None), ((2, 3), 0), ((2, 3), -1), ((2, 3), (0, 1)), ((2, 2, 3), (0, -1)), ((2, 2, 3), 1), ((), None)
KEYS = st.sampled_from(
    [
        ((4,), 2),
        ((4,), slice(None, None, -1)),
        ((3, 2), (slice(1, None), None, 1)),
        ((3, 2), (Ellipsis, slice(0, 2, 2))),
        ((3, 2), np.array([[0, 2], [2, 2]])),
        ((3, 2), (np.array([1, 1, 0]), np.array([0, 0, 1]))),
        ((3, 2), (slice(None), np.array([1, 1, 0]))),
        ((2, 2), np.array([[True, False], [True, True]])),
        ((3,), [0, 0, 2]),
        ((2, 3), np.int64(1)),
        ((2, 3), ()),
    ]
)
TABLES = shaped(
    [((3, 2), (4,)), ((4, 1), (2, 3)), ((2, 3), ()), ((6, 4), (3, 5))], numbers, lambda s: index_arrays(s, 2)
)
NO_IDS = case(numbers((3, 2)), index_arrays((0,), 2)) | case(numbers((3, 0)), index_arrays((2,), 2))
PRODUCTS = [
    ((2, 3), (3, 2)),
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((2, 2, 3), (3,)),
    ((3,), (2, 3, 2)),
    ((2, 2, 3), (3, 2)),
    ((2, 1, 3), (2, 3, 2)),
    ((2, 3), (2, 3, 2)),
    ((3, 1, 2, 2), (2, 2, 1)),
    ((9, 20), (20, 7)),
]
NO_PRODUCTS = [((0, 3), (3, 2)), ((2, 0), (0, 2)), ((2, 3), (3, 0)), ((0, 2, 3), (3, 2)), ((0,), (0,)), ((2, 0), (0,))]
LAYERS = [((2, 3), (3, 2)), ((3, 1), (1, 2)), ((2, 2, 2), (2, 3)), ((3, 11), (11, 5))]


def far_from_zero(shape):
    """Squares of such numbers cancel in float32; that the numbers themselves do not, they lie a step of 1 apart."""
    return numbers(shape) | among(61.0, 63.0, 64.0, 66.0, 67.0)(shape)


ROWS = [((1, 3),), ((2, 2),), ((3, 4),), ((2, 2, 3),), ((2, 30),)]
AXIS = st.sampled_from([-1, 0])


@st.composite
def masked_logits(draw, shape):
    """Huge numbers, some of them -inf, never a whole row or column."""
    x = draw(arrays(shape, st.sampled_from([0.0, 1.0, 1e4, -1e4, 1e30, -np.inf])))
    for axis in range(x.ndim):
        x = np.where(np.isneginf(x).all(axis, keepdims=True), 0.0, x)
    return x


HEADS = st.sampled_from(
    [((1, 1, 3), 1), ((1, 2, 6), 1), ((2, 2, 6), 2), ((2, 3, 6), 1), ((1, 3, 12), 2), ((2, 5, 12), 4)]
)


def attention_cases(fill, mask=False):
    return HEADS.flatmap(
        lambda found: case(
            fill(found[0]),
            *([keeps((found[0][0], found[1], found[0][1], found[0][1]))] if mask else []),
            n_heads=st.just(found[1]),
        )
    )


def predictions(fill):
    return st.sampled_from([(1, 2), (3, 4), (2, 2, 3), (3,), (4, 30)]).flatmap(
        lambda shape: case(
            fill(shape),
            counted_targets(shape),
            ignore_index=st.sampled_from([None, -100, 0]),
            reduction=st.sampled_from(["mean", "sum"]),
        )
    )


def head_and_targets(fill):
    """Rows of C numbers, a head of V such rows, and targets."""
    return st.sampled_from([((1, 2), 2), ((3, 1), 4), ((2, 2, 3), 3), ((3,), 5), ((4, 5), 30)]).flatmap(
        lambda found: case(
            fill(found[0]),
            fill((found[1], found[0][-1])),
            counted_targets((*found[0][:-1], found[1])),
            ignore_index=st.sampled_from([None, -100, 0]),
            reduction=st.sampled_from(["mean", "sum"]),
        )
    )


def counted_targets(shape):
    """At least one of them is 1, which is never ignored."""
    return arrays(shape[:-1], st.integers(0, shape[-1] - 1), np.int64).map(with_a_one)


def with_a_one(targets):
    targets[(0,) * targets.ndim] = 1
    return targets
