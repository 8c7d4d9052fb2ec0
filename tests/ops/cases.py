"""What is claimed of each op: where it is smooth, what it should equal, and how it treats memory and odd input.

One entry per op in `ops.EVERY`, by name; an op without one fails the suite with a KeyError that names it.  References
are written the long way, from the definition: loops where the op has none, another formula where there is one.  They
work on complex numbers, so that the laws can differentiate them exactly.
"""

import functools
import math
import operator

import numpy as np
import scipy.special
from hypothesis import strategies as st

from tinygrad_gpt import ops
from tinygrad_gpt.laws import OpUnderTest
from tinygrad_gpt.laws.ops.under_test import SHAPES, shapes
from tinygrad_gpt.laws.strategies import GRID, arrays, dyadic, index_arrays, normal, seeds

Y, DX = frozenset({"y"}), frozenset({"dx"})
HUGE = (0.0, 1.0, -1.0, 1e4, -1e4, 1e-42, -1e-42)  # 1e-42 is a denormal in float32


# ---- strategies: shapes, then numbers to fill them, then (arrays, settings)


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


# ---- arithmetic


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


def power_by_logarithms(a, b):
    """1 to any power and any number to the power of 0 are 1, nan too, says IEEE 754."""
    return np.where((a == 1) | (b == 0), 1, np.exp(b * np.log(a)))


def whole_power(x, n):
    """A whole exponent, also of negative numbers; it is a constant there."""
    y, vjp = ops.power(x, np.full(x.shape, float(n), x.dtype))
    return y, lambda dy: vjp(dy)[:1]


# ---- reductions

AXES = ((3,), None), ((2, 3), 0), ((2, 3), -1), ((2, 3), (0, 1)), ((2, 2, 3), (0, -1)), ((2, 2, 3), 1), ((), None)


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


def axes_of(x, axis):
    return tuple(range(x.ndim)) if axis is None else tuple(i % x.ndim for i in np.atleast_1d(axis))


def fibres(x, axis):
    """A list of arrays: what is reduced, entry by entry."""
    axes = axes_of(x, axis)
    moved = np.moveaxis(x, axes, range(len(axes)))
    return [moved[k] for k in np.ndindex(moved.shape[: len(axes)])]


def kept(y, x, axis, keepdims):
    return np.expand_dims(y, axes_of(x, axis)) if keepdims else np.asarray(y)


def total(terms):
    return functools.reduce(operator.add, terms, 0.0)


def largest(terms):
    """By the real part; nan counts as largest."""
    stack = np.stack(terms)
    return np.take_along_axis(stack, np.argmax(stack.real, axis=0)[None], axis=0)[0]


def variance(terms, ddof=0):
    """Without a mean: half the mean squared distance of all pairs."""
    n = len(terms)
    return total((a - b) ** 2 for a in terms for b in terms) / (2 * n * (n - ddof))


def equal_shares(dy, x, axis, keepdims):
    """dy over the number of ties, to each of them; entry by entry."""
    axes = axes_of(x, axis)
    dy = dy if keepdims else np.expand_dims(dy, axes)
    dx = np.zeros(x.shape)
    for k in np.ndindex(x.shape):
        rivals = x[tuple(slice(None) if i in axes else k[i] for i in range(x.ndim))]
        if x[k] == rivals.max():
            dx[k] = dy[tuple(0 if i in axes else k[i] for i in range(x.ndim))] / (rivals == x[k]).sum()
    return [dx]


# ---- moving entries


def transposed(x, axes=None):
    axes = tuple(reversed(range(x.ndim))) if axes is None else axes
    y = np.zeros([x.shape[i] for i in axes], x.dtype)
    for k in np.ndindex(x.shape):
        y[tuple(k[i] for i in axes)] = x[k]
    return y


def chosen(mask, a, b):
    mask, a, b = np.broadcast_arrays(mask, a, b)
    return np.array([p if m else q for m, p, q in zip(mask.flat, a.flat, b.flat, strict=True)]).reshape(mask.shape)


def joined(*parts, axis):
    moved = [np.moveaxis(part, axis, 0) for part in parts]
    return np.moveaxis(np.array([row for part in moved for row in part]), 0, axis)


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


def getitem_by_ids(x, ids):
    y, vjp = ops.getitem(x, key=ids)
    return y, lambda dy: (*vjp(dy), None)


def rows_by_loop(table, ids):
    return np.array([table[i] for i in ids.flat], table.dtype).reshape(*ids.shape, *table.shape[1:])


TABLES = shaped(
    [((3, 2), (4,)), ((4, 1), (2, 3)), ((2, 3), ()), ((6, 4), (3, 5))], numbers, lambda s: index_arrays(s, 2)
)
NO_IDS = case(numbers((3, 2)), index_arrays((0,), 2)) | case(numbers((3, 0)), index_arrays((2,), 2))


# ---- products

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


def product(a, b):
    left, right = (a if a.ndim > 1 else a[None]), (b if b.ndim > 1 else b[:, None])
    y = (left[..., :, :, None] * right[..., None, :, :]).sum(-2)
    y = y if b.ndim > 1 else y[..., 0]
    return y if a.ndim > 1 else y[..., 0, :] if b.ndim > 1 else y[..., 0]


LAYERS = [((2, 3), (3, 2)), ((3, 1), (1, 2)), ((2, 2, 2), (2, 3)), ((3, 11), (11, 5))]


def affine(x, weight, bias=None):
    y = np.einsum("...i,io->...o", x, weight)
    return y if bias is None else y + bias


# ---- rows


def normalised(x, gain, bias, eps=1e-5):
    rows = [(row - total(row) / len(row)) / np.sqrt(variance(row) + eps) for row in x.reshape(-1, x.shape[-1])]
    return gain * np.array(rows).reshape(x.shape) + bias


def far_from_zero(shape):
    """Squares of such numbers cancel in float32; that the numbers themselves do not, they lie a step of 1 apart."""
    return numbers(shape) | among(61.0, 63.0, 64.0, 66.0, 67.0)(shape)


def softened(x, axis=-1):
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


ROWS = [((1, 3),), ((2, 2),), ((3, 4),), ((2, 2, 3),), ((2, 30),)]
AXIS = st.sampled_from([-1, 0])


@st.composite
def masked_logits(draw, shape):
    """Huge numbers, some of them -inf, never a whole row or column."""
    x = draw(arrays(shape, st.sampled_from([0.0, 1.0, 1e4, -1e4, 1e30, -np.inf])))
    for axis in range(x.ndim):
        x = np.where(np.isneginf(x).all(axis, keepdims=True), 0.0, x)
    return x


# ---- attention


def attended(qkv, keep=None, *, n_heads):
    """Row by row, head by head, position by position."""
    B, T, width = qkv.shape
    C = width // 3
    D = C // n_heads
    y = np.zeros((B, T, C), qkv.dtype)
    for b in range(B):
        for h in range(n_heads):
            q, k, v = (qkv[b, :, i * C + h * D : i * C + (h + 1) * D] for i in range(3))
            for t in range(T):
                weights = np.array([np.exp((q[t] * k[s]).sum() / math.sqrt(D)) for s in range(t + 1)])
                weights = weights / weights.sum()
                if keep is not None:
                    weights = weights * keep[b, h, t, : t + 1]
                y[b, t, h * D : (h + 1) * D] = total(w * v[s] for s, w in enumerate(weights))
    return y


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


# ---- cross-entropy


def surprise(logits, targets, ignore_index=None, reduction="mean"):
    rows = logits.reshape(-1, logits.shape[-1])
    nats = [
        -np.log(np.exp(row[target]) / np.exp(row).sum())
        for row, target in zip(rows, targets.flat, strict=True)
        if target != ignore_index
    ]
    return np.asarray(total(nats) / (len(nats) if reduction == "mean" else 1))


def predictions(fill):
    return st.sampled_from([(1, 2), (3, 4), (2, 2, 3), (3,), (4, 30)]).flatmap(
        lambda shape: case(
            fill(shape),
            counted_targets(shape),
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


# ---- the claims

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
            reference=lambda x, keep: np.where(keep, x / 0.8, 0) + 0 * x,
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
}
