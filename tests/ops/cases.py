"""What is claimed of each op: where it is smooth, what it should equal, and how it treats memory and odd input.

One entry per op in `ops.ALL_OPS`, by name; an op without one fails the suite with a KeyError that names it.
"""

import functools
import math
import operator

import numpy as np
import scipy.special
from hypothesis import strategies as st

from tests.ops.drawn import (
    AXES,
    AXIS,
    HUGE,
    KEYS,
    LAYERS,
    NO_AXES_OR_ENTRIES,
    NO_IDS,
    NO_PRODUCTS,
    PRODUCTS,
    ROWS,
    TABLES,
    among,
    any_shape,
    attention_cases,
    away_from_zero,
    broadcast,
    case,
    distinct,
    empty,
    far_from_zero,
    head_and_targets,
    keeps,
    masked_logits,
    masks,
    numbers,
    positive,
    predictions,
    shaped,
)
from tests.ops.references import (
    affine,
    attended,
    chosen,
    equal_shares,
    fibres,
    joined,
    kept,
    largest,
    normalised,
    power_by_logarithms,
    product,
    rows_by_loop,
    softened,
    surprise,
    total,
    transposed,
    variance,
)
from tinygrad_gpt import ops
from tinygrad_gpt.laws import OpUnderTest
from tinygrad_gpt.laws.strategies import GRID, index_arrays

Y, DX = frozenset({"y"}), frozenset({"dx"})


def elementwise(name, reference, domain, **claims):
    return OpUnderTest(
        name=name, op=getattr(ops, name), reference=reference, domain=any_shape(domain), edges=empty(), **claims
    )


def arithmetic(name, reference, right=numbers, huge=HUGE, **claims):
    return OpUnderTest(
        name=name,
        op=getattr(ops, name),
        reference=reference,
        domain=broadcast(claims.pop("left", numbers), right),
        edges=empty(2),
        extremes=broadcast(among(*claims.pop("huge_left", HUGE)), among(*huge)),
        broadcast=True,
        mixes=True,
        **claims,
    )


def whole_power(x, n):
    """A whole exponent, also of negative numbers; it is a constant there."""
    y, vjp = ops.power(x, np.full(x.shape, float(n), x.dtype))
    return y, lambda dy: vjp(dy)[:1]


def reduced(name, reference, fill=numbers, edges=((0,), (2, 0), ()), **claims):
    """A reduction over every kind of axis."""
    more = claims.pop("settings", {})

    def over(fill):
        return st.sampled_from(AXES).flatmap(
            lambda found: case(fill(found[0]), axis=st.just(found[1]), keepdims=st.booleans(), **more)
        )

    return OpUnderTest(
        name=name,
        op=getattr(ops, name),
        reference=lambda x, axis, keepdims, **settings: kept(reference(fibres(x, axis), **settings), x, axis, keepdims),
        domain=over(fill),
        extremes=over(among(*HUGE)),
        edges=shaped([(shape,) for shape in edges], numbers, axis=st.none(), keepdims=st.booleans()),
        **claims,
    )


def getitem_by_ids(x, ids):
    y, vjp = ops.getitem(x, key=ids)
    return y, lambda dy: (*vjp(dy), None)


ATTENTION = {"op": ops.causal_attention, "reference": attended, "batched": (0,)}
CASES: dict[str, tuple[OpUnderTest, ...]] = {
    "add": (arithmetic("add", lambda a, b: b + a, aliasing=DX),),
    "subtract": (arithmetic("subtract", lambda a, b: -(b - a), aliasing=DX),),
    "multiply": (arithmetic("multiply", lambda a, b: ((a + b) ** 2 - (a - b) ** 2) / 4),),
    "divide": (arithmetic("divide", lambda a, b: a * b**-1.0, away_from_zero, huge=(1.0, 1e4, -1e4, 1e-4)),),
    "power": (
        arithmetic(
            "power",
            power_by_logarithms,
            left=positive,
            huge_left=(1.0, 1e4, 1e-4, 1e-42),
            huge=(0.0, 1.0, 2.0, 1.5),
        ),
        OpUnderTest(
            name="power-whole",
            op=whole_power,
            reference=lambda x, n: functools.reduce(operator.mul, [x] * n, np.ones(x.shape)),
            domain=any_shape(numbers, n=st.integers(0, 4)),
        ),
    ),
    "negative": (elementwise("negative", lambda x: 0 - x, numbers, extremes=any_shape(among(*HUGE))),),
    "exp": (
        elementwise("exp", lambda x: np.cosh(x) + np.sinh(x), numbers, extremes=any_shape(among(80.0, -1e4, 1e-42))),
    ),
    "log": (
        elementwise(
            "log", lambda x: 2 * np.arctanh((x - 1) / (x + 1)), positive, extremes=any_shape(among(1e-30, 1.0, 1e30))
        ),
    ),
    "sqrt": (
        elementwise("sqrt", lambda x: np.exp(np.log(x) / 2), positive, extremes=any_shape(among(1e-30, 1.0, 1e30))),
    ),
    "tanh": (
        elementwise(
            "tanh",
            lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)),
            numbers,
            extremes=any_shape(among(*HUGE)),
        ),
    ),
    "relu": (
        elementwise(
            "relu",
            lambda x: x * (x.real > 0),
            away_from_zero,
            extremes=any_shape(among(*HUGE)),
            kinks=any_shape(among(0.0, -0.0, 1.0)),
            subgradient=lambda dy, x: [dy * (x > 0)],
        ),
    ),
    "sum": (reduced("sum", total, aliasing=DX),),
    "mean": (reduced("mean", lambda terms: total(terms) / len(terms), edges=[()]),),
    "max": (
        reduced(
            "max",
            largest,
            distinct,
            kinks=st.sampled_from(AXES).flatmap(
                lambda found: case(among(*GRID)(found[0]), axis=st.just(found[1]), keepdims=st.booleans())
            ),
            subgradient=equal_shares,
        ),
    ),
    "var": (
        reduced("var", variance, far_from_zero, edges=[()]),
        OpUnderTest(
            name="var-unbiased",
            op=ops.var,
            reference=lambda x, axis, ddof: variance(fibres(x, axis), ddof),
            domain=shaped([((3,),), ((2, 4),)], numbers, axis=st.just(-1), ddof=st.just(1)),
        ),
    ),
    "reshape": (
        OpUnderTest(
            name="reshape",
            op=ops.reshape,
            reference=lambda x, shape: np.array([x[k] for k in np.ndindex(x.shape)]).reshape(shape),
            domain=case(numbers((2, 3)), shape=st.sampled_from([(6,), (3, 2), (-1, 2), (1, 6, 1), -1]))
            | case(numbers((1,)), shape=st.just(())),
            edges=case(numbers((0, 3)), shape=st.sampled_from([(0,), (5, 0), (-1,), (-1, 3)])),
            aliasing=Y | DX,
        ),
    ),
    "transpose": (
        OpUnderTest(
            name="transpose",
            op=ops.transpose,
            reference=transposed,
            domain=case(numbers((2, 3)))
            | case(numbers((2, 3)), axes=st.sampled_from([None, (0, 1), (-1, 0)]))
            | case(numbers((2, 1, 3)), axes=st.permutations(range(3)).map(tuple)),
            edges=empty(),
            aliasing=Y | DX,
        ),
    ),
    "broadcast_to": (
        OpUnderTest(
            name="broadcast_to",
            op=ops.broadcast_to,
            reference=lambda x, shape: x * np.ones(shape),
            domain=shaped([((3,),), ((2, 3),), ((1, 3),), ((2, 1),), ((),)], numbers, shape=st.just((2, 2, 3))),
            edges=shaped([((1,),), ((0,),), ((),)], numbers, shape=st.just((2, 0))),
            aliasing=Y | DX,
        ),
    ),
    "getitem": (
        OpUnderTest(
            name="getitem",
            op=ops.getitem,
            reference=lambda x, key: x.reshape(-1)[np.arange(x.size).reshape(x.shape)[key]],
            domain=KEYS.flatmap(lambda found: case(numbers(found[0]), key=st.just(found[1]))),
            edges=case(numbers((0, 2)), key=st.just(slice(None))) | case(numbers(()), key=st.sampled_from([(), None])),
            aliasing=Y,
        ),
        OpUnderTest(
            name="getitem-ids", op=getitem_by_ids, reference=rows_by_loop, domain=TABLES, edges=NO_IDS, gathers=True
        ),
    ),
    "split": (
        OpUnderTest(
            name="split",
            op=ops.split,
            reference=lambda x, sections, part, axis: np.split(x, sections, axis)[part],
            domain=shaped([((2, 4),), ((4,),)], numbers, sections=st.just(2), part=st.integers(0, 1), axis=st.just(-1))
            | case(numbers((6, 2)), sections=st.just(3), part=st.integers(0, 2), axis=st.just(0)),
            edges=case(numbers((2, 0)), sections=st.just(2), part=st.just(1), axis=st.just(-1)),
            aliasing=Y,
        ),
    ),
    "concatenate": (
        OpUnderTest(
            name="concatenate",
            op=ops.concatenate,
            reference=joined,
            domain=case(numbers((2, 3)), axis=st.sampled_from([0, -1]))
            | case(numbers((2, 2)), numbers((2, 1)), axis=st.sampled_from([1, -1]))
            | case(numbers((1, 2)), numbers((2, 2)), numbers((1, 2)), axis=st.just(0)),
            edges=case(numbers((0,)), numbers((2,)), axis=st.just(0)) | case(numbers(()), numbers(()), axis=st.just(0)),
            aliasing=DX,
            mixes=True,
        ),
    ),
    "where": (
        OpUnderTest(
            name="where",
            op=ops.where,
            reference=chosen,
            domain=broadcast(masks, numbers, numbers),
            edges=shaped([(shape,) * 3 for shape in NO_AXES_OR_ENTRIES], masks, numbers, numbers),
            extremes=broadcast(masks, among(*HUGE, np.inf, -np.inf), among(*HUGE)),
            broadcast=True,
            mixes=True,
        ),
    ),
    "masked_fill": (
        OpUnderTest(
            name="masked_fill",
            op=ops.masked_fill,
            reference=lambda x, mask, value: chosen(mask, value, x),
            domain=shaped(
                [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 3), (2, 1)), ((2, 2, 2), (2, 2)), ((), ())],
                numbers,
                masks,
                value=st.sampled_from([0.0, -2.5, -np.inf]),
            ),
            edges=shaped(
                [(shape,) * 2 for shape in NO_AXES_OR_ENTRIES] + [((3,), (2, 3))], numbers, masks, value=st.just(1.0)
            ),
            extremes=shaped([((3,), (3,))], among(*HUGE, np.inf), masks, value=st.just(-1e30)),
        ),
    ),
    "matmul": (
        OpUnderTest(
            name="matmul",
            op=ops.matmul,
            reference=product,
            domain=shaped(PRODUCTS, numbers, numbers),
            edges=shaped(NO_PRODUCTS, numbers, numbers),
            extremes=shaped(PRODUCTS, among(*HUGE), among(*HUGE)),
            mixes=True,
        ),
        OpUnderTest(
            name="matmul-batch",
            op=ops.matmul,
            reference=product,
            domain=shaped([((3, 2, 2), (2, 3)), ((2, 1, 3), (3, 1)), ((4, 3), (3, 2))], numbers, numbers),
            batched=(0,),
        ),
    ),
    "softmax": (
        OpUnderTest(
            name="softmax",
            op=ops.softmax,
            reference=softened,
            domain=shaped(ROWS, numbers, axis=AXIS),
            edges=empty(axis=st.just(-1)),
            extremes=shaped(ROWS, masked_logits, axis=AXIS),
        ),
        OpUnderTest(
            name="softmax-rows", op=ops.softmax, reference=softened, domain=shaped(ROWS, numbers), batched=(0,)
        ),
    ),
    "log_softmax": (
        OpUnderTest(
            name="log_softmax",
            op=ops.log_softmax,
            reference=lambda x, axis: np.log(softened(x, axis)),
            domain=shaped(ROWS, numbers, axis=AXIS),
            edges=empty(axis=st.just(-1)),
            extremes=shaped(ROWS, masked_logits, axis=AXIS),
        ),
    ),
    "embedding": (
        OpUnderTest(
            name="embedding",
            op=ops.embedding,
            reference=rows_by_loop,
            domain=TABLES,
            edges=NO_IDS,
            extremes=shaped([((3, 2), (4,))], among(*HUGE), lambda shape: index_arrays(shape, 2)),
            gathers=True,
        ),
    ),
    "linear": (
        OpUnderTest(
            name="linear",
            op=ops.linear,
            reference=affine,
            domain=shaped([(x, w, w[1:]) for x, w in LAYERS], numbers, numbers, numbers),
            edges=shaped([((0, 3), (3, 2), (2,)), ((2, 0), (0, 2), (2,)), ((3,), (3, 2), (2,))], *[numbers] * 3),
            extremes=shaped([(x, w, w[1:]) for x, w in LAYERS], *[among(*HUGE)] * 3),
            batched=(0,),
        ),
        OpUnderTest(
            name="linear-unbiased",
            op=ops.linear,
            reference=affine,
            domain=shaped(LAYERS, numbers, numbers),
            batched=(0,),
        ),
    ),
    "gelu": (
        OpUnderTest(
            name="gelu",
            op=ops.gelu,
            reference=lambda x: x / (1 + np.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
            domain=any_shape(numbers, min_dims=1),
            edges=empty(),
            extremes=any_shape(among(*HUGE, 1e10)),
            batched=(0,),
        ),
        OpUnderTest(
            name="gelu-erf",
            op=ops.gelu,
            reference=lambda x, form: x / 2 * scipy.special.erfc(-x / math.sqrt(2)),
            domain=any_shape(numbers, form=st.just("erf")),
            edges=empty(form=st.just("erf")),
            extremes=any_shape(among(*HUGE, 1e10), form=st.just("erf")),
        ),
    ),
    "layer_norm": (
        OpUnderTest(
            name="layer_norm",
            op=ops.layer_norm,
            reference=normalised,
            domain=shaped([(x, x[-1:], x[-1:]) for (x,) in ROWS], far_from_zero, numbers, numbers),
            edges=shaped([((3,), (3,), (3,)), ((0, 3), (3,), (3,)), ((2, 1), (1,), (1,))], *[numbers] * 3),
            extremes=shaped([((2, 3), (3,), (3,))], among(*HUGE), numbers, numbers),
            batched=(0,),
            rtol=1e-10,  # at 64 ± 3 the reference itself has lost digits
        ),
    ),
    "causal_attention": (
        OpUnderTest(
            name="causal_attention",
            **ATTENTION,
            domain=attention_cases(numbers),
            edges=shaped([((0, 2, 3),), ((2, 0, 3),)], numbers, n_heads=st.just(1)),
            extremes=attention_cases(among(*HUGE)),
        ),
        OpUnderTest(
            name="causal_attention-dropped",
            op=ops.causal_attention,
            reference=attended,
            domain=attention_cases(numbers, mask=True),
            constants=(1,),
            batched=(0, 1),
        ),
    ),
    "dropout": (
        OpUnderTest(
            name="dropout",
            op=ops.dropout,
            reference=lambda x, mask: np.where(mask, x / 0.8, 0) + 0 * x,
            domain=any_shape(numbers, keeps, min_dims=1),
            edges=shaped([(shape,) * 2 for shape in NO_AXES_OR_ENTRIES], numbers, keeps),
            extremes=any_shape(among(*HUGE), keeps),
            constants=(1,),
            batched=(0, 1),
        ),
    ),
    "cross_entropy": (
        OpUnderTest(
            name="cross_entropy",
            op=ops.cross_entropy,
            reference=surprise,
            domain=predictions(numbers),
            edges=case(numbers((0, 3)), index_arrays((0,), 3), reduction=st.just("sum")),
            extremes=predictions(lambda shape: masked_logits(shape)),
        ),
    ),
    "linear_cross_entropy": (
        OpUnderTest(
            name="linear_cross_entropy",
            op=ops.linear_cross_entropy,
            reference=lambda x, weight, *rest, **settings: surprise(affine(x, weight.T), *rest, **settings),
            domain=head_and_targets(numbers),
            edges=case(numbers((0, 2)), numbers((3, 2)), index_arrays((0,), 3), reduction=st.just("sum")),
            extremes=head_and_targets(among(0.0, 1.0, 1e4, -1e4)),
        ),
    ),
}
