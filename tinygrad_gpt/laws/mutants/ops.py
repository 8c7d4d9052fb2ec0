"""Broken ops."""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutants.mutant import Mutant
from tinygrad_gpt.laws.ops.under_test import OpUnderTest, Strategy, Vjp
from tinygrad_gpt.laws.strategies import arrays, dyadic, index_arrays, normal, seeds

Answer = tuple[Array, Vjp]


def drawn(*shapes: tuple[int, ...], shift: float = 0.0) -> Strategy:
    """Arrays of these shapes, numbers within 3 of shift."""
    numbers = (arrays(shape, dyadic(3)).map(lambda x: x + shift) for shape in shapes)
    return st.tuples(st.tuples(*numbers), st.just({}))


TABLE_AND_IDS: Strategy = st.tuples(st.tuples(arrays((3, 2), dyadic(3)), index_arrays((4,), 3)), st.just({}))


# ---- the result


def erf_gelu(x: Array) -> Answer:
    """y = x Φ(x), though GPT-2 was trained with the tanh form."""
    below = 0.5 * (1 + np.array([math.erf(v / math.sqrt(2)) for v in x.flat]).reshape(x.shape))
    return x * below, lambda dy: (dy * (below + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)),)


def tanh_gelu(x: Array) -> Array:
    """The form that GPT-2 was trained with."""
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def narrow_matmul(a: Array, b: Array) -> Answer:
    """Half the bits are lost on the way."""
    y = (a.astype(np.float32) @ b.astype(np.float32)).astype(a.dtype)
    return y, lambda dy: (dy @ b.T, a.T @ dy)


# ---- the vjp


def softmax(x: Array) -> Array:
    """Along the last axis."""
    weights = np.exp(x - np.real(x).max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def half_softmax(x: Array) -> Answer:
    """As if no entry influenced the others."""
    p = softmax(x)
    return p, lambda dp: (p * dp,)


def rows_normalised(x: Array) -> Array:
    """Layer norm without gain and bias."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)


def half_layer_norm(x: Array) -> Answer:
    """As if the variance were a constant."""
    centred = x - x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return centred * rstd, lambda dy: (rstd * (dy - dy.mean(-1, keepdims=True)),)


def forgetful_tanh(x: Array) -> Answer:
    """A kernel of eight lanes that does not come round to the last entries."""
    y = np.tanh(x)

    def vjp(dy: Array) -> tuple[Array]:
        dx = dy * (1 - y * y)
        dx.reshape(-1)[x.size - x.size % 8 if x.size > 8 else x.size :] = 0
        return (dx,)

    return y, vjp


def deaf_exp(x: Array) -> Answer:
    """Right for a loss that is the sum of y, and for no other."""
    y = np.exp(x)
    return y, lambda dy: (y,)


# ---- broadcasting and repeated ids


def unsummed_add(a: Array, b: Array) -> Answer:
    """Hands dy on, whatever was repeated."""
    return a + b, lambda dy: (dy.copy(), dy.copy())


def home(dy: Array, shape: tuple[int, ...], how: Any = np.sum) -> Array:
    """dy brought back to a shape by summing over what was repeated."""
    extra = dy.ndim - len(shape)
    axes = (*range(extra), *(i + extra for i, n in enumerate(shape) if n == 1 and dy.shape[i + extra] != 1))
    return how(dy, axis=axes, keepdims=True).reshape(shape)


def averaging_add(a: Array, b: Array) -> Answer:
    """Takes the mean over the copies: the right shape, too small by their number."""
    return a + b, lambda dy: (home(dy, a.shape, np.mean), home(dy, b.shape, np.mean))


def overwriting_embedding(table: Array, ids: Array) -> Answer:
    """dtable[ids] += dy adds one row per id."""

    def vjp(dy: Array) -> tuple[Array, None]:
        dtable = np.zeros_like(table)
        dtable[ids] += dy
        return dtable, None

    return table[ids], vjp


def rows_of(table: Array, ids: Array) -> Array:
    """table[ids]"""
    return table[ids]


def counting_embedding(table: Array, ids: Array) -> Answer:
    """Answers zeros where there is no gradient: an optimizer would update ids."""

    def vjp(dy: Array) -> tuple[Array, Array]:
        dtable = np.zeros_like(table)
        np.add.at(dtable, ids, dy)
        return dtable, np.zeros(ids.shape)

    return table[ids], vjp


def unclean_embedding(table: Array, ids: Array) -> Answer:
    """Adds up in memory that nobody has cleared; on a fresh process it happens to hold zeros."""

    def vjp(dy: Array) -> tuple[Array, None]:
        dtable = np.empty_like(table)
        dtable[:] = np.where(np.isfinite(dtable) & (abs(dtable) > 1e-300), 0, dtable)
        np.add.at(dtable, ids, dy)
        return dtable, None

    return table[ids], vjp


# ---- dtypes, odd arrays, odd numbers


def promoting_scale(x: Array) -> Answer:
    """np.sqrt(2) is a float64, and float32 times it is another."""
    return x * np.sqrt(2), lambda dy: (dy * np.sqrt(2),)


def widening_tanh(x: Array) -> Answer:
    """y is float32, the gradient is not."""
    y = np.tanh(x)
    return y, lambda dy: (dy * (1 - y.astype(np.float64) ** 2),)


def cancelling_variance(x: Array) -> Answer:
    """E[x²] - E[x]²: at 64 ± 3 in float32 three digits are left."""
    y = (x * x).mean(-1) - x.mean(-1) ** 2
    return y, lambda dy: (dy[..., None] * 2 * (x - x.mean(-1, keepdims=True)) / x.dtype.type(x.shape[-1]),)


def rowing_negative(x: Array) -> Answer:
    """A number comes out as a row of one."""
    return np.atleast_1d(-x), lambda dy: (-dy.reshape(x.shape),)


def unshifted_softmax(x: Array) -> Answer:
    """e^1e4 is infinite, and inf/inf is nan."""
    p = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    return p, lambda dp: (p * (dp - (dp * p).sum(-1, keepdims=True)),)


def multiplying_mask(x: Array, mask: Array) -> Answer:
    """0 times -inf is nan: what is masked should not be touched."""
    return x * mask, lambda dy: (dy * mask, None)


def deafened_relu(x: Array) -> Answer:
    """nan > 0 is False, so a diverged model looks healthy."""
    return np.where(x > 0, x, 0), lambda dy: (np.where(x > 0, dy, 0),)


def greedy_max(x: Array) -> Answer:
    """Every tie receives the whole dy, so two ties make twice the gradient."""
    y = x.max(-1)
    return y, lambda dy: (dy[..., None] * (x == y[..., None]),)


def equal_shares(dy: Array, x: Array) -> tuple[Array]:
    """To every tie its share."""
    ties = x == x.max(-1, keepdims=True)
    return (dy[..., None] * ties / ties.sum(-1, keepdims=True),)


def first_row_shift(x: Array) -> Answer:
    """Subtracts row 0's maximum from all rows."""
    y = x - x[:1].max(-1, keepdims=True)
    return y, lambda dy: (dy.copy(),)


def batch_statistics(x: Array) -> Answer:
    """The mean is taken over the batch as well."""
    return x - x.mean(), lambda dy: (dy - dy.mean(),)


# ---- memory


def shifting_exp(x: Array) -> Answer:
    """Saves a temporary by writing into the caller's array."""
    x -= 1
    y = np.exp(x) * math.e
    return y, lambda dy: (dy * y,)


def masking_relu(x: Array) -> Answer:
    """Saves a temporary by writing into dy, which others may hold."""
    y = np.maximum(x, 0)

    def vjp(dy: Array) -> tuple[Array]:
        dy[x <= 0] = 0
        return (dy.copy(),)

    return y, vjp


def sharing_add(a: Array, b: Array) -> Answer:
    """Two gradients in one array: clipping one in place clips both."""
    return a + b, lambda dy: (dy, dy)


def transparent_dropout(x: Array) -> Answer:
    """At rate 0 the very array that went in comes out."""
    return x, lambda dy: (dy.copy(),)


def memory_order(x: Array) -> Answer:
    """Reads the entries as they lie in memory."""
    return np.tanh(x.ravel(order="K").reshape(x.shape)), lambda dy: (dy * (1 - np.tanh(x) ** 2),)


def moody_dropout(x: Array) -> Answer:
    """Asks the operating system for a mask."""
    keep = np.random.default_rng().random(x.shape) < 0.5
    return x * keep, lambda dy: (dy * keep,)


class Remembering:
    """Keeps y on the op, where the next forward pass overwrites it."""

    y: Array = None

    def __call__(self, x: Array) -> Answer:
        """e^x"""
        self.y = np.exp(x)
        return self.y.copy(), lambda dy: (home(np.resize(self.y, dy.shape) * dy, x.shape),)


def tanh(x: Array) -> Answer:
    """The original of the kernel below."""
    y = np.tanh(x)
    return y, lambda dy: (dy * (1 - y * y),)


def tailless_tanh(x: Array) -> Answer:
    """A kernel of four lanes that leaves the tail as it was."""
    y = np.zeros_like(x)
    whole = x.size - x.size % 4
    y.reshape(-1)[:whole] = np.tanh(x.ravel()[:whole])
    return y, lambda dy: (dy * (1 - y * y),)


def op(name: str, function: Any, story: str, *, cites: tuple[str, ...] = (), **claims: Any) -> Mutant:
    """A mutant op; a reference that is no function of the adapter's is one of NumPy's."""
    return Mutant(name, OpUnderTest(name=name, op=function, **claims), story, cites)


ROWS, PAIR = drawn((2, 3)), drawn((2, 3), (2, 3))
LONG: Strategy = seeds().map(lambda seed: ((normal(seed, (3, 9)),), {}))
HUGE: Strategy = st.tuples(st.tuples(arrays((2, 3), st.sampled_from([0.0, 1e4, -1e4]))), st.just({}))
INFINITE: Strategy = st.tuples(
    st.tuples(arrays((3,), st.sampled_from([1.0, -np.inf])), arrays((3,), st.booleans(), bool)), st.just({})
)
TIED: Strategy = st.tuples(st.tuples(arrays((2, 3), st.sampled_from([0.0, 1.0]))), st.just({}))
DX = frozenset({"dx"})

OP_MUTANTS: tuple[Mutant, ...] = (
    op(
        "gelu-of-the-other-form",
        erf_gelu,
        "GELU by erf where the tanh form is claimed: off by up to 4.7e-4, enough to fail parity with GPT-2.",
        reference=tanh_gelu,
    ),
    op(
        "matmul-in-float32",
        narrow_matmul,
        "float64 arrays are multiplied in float32.",
        reference=lambda a, b: (a[:, :, None] * b[None]).sum(1),
        domain=seeds().map(lambda seed: ((normal(seed, (2, 3)), normal(seed // 2, (3, 2))), {})),
    ),
    op(
        "softmax-without-its-second-term",
        half_softmax,
        "dx = p dy leaves out that the other probabilities fall.",
        reference=softmax,
        domain=ROWS,
    ),
    op(
        "layer-norm-without-its-last-term",
        half_layer_norm,
        "The way through the variance is left out.",
        reference=rows_normalised,
        domain=ROWS,
    ),
    op("vjp-of-zeros", lambda x: (np.exp(x), lambda dy: (0 * dy,)), "Nothing is ever learned.", reference=np.exp),
    op(
        "factors-swapped",
        lambda a, b: (a * b, lambda dy: (dy * a, dy * b)),
        "Each factor receives its own value instead of the other's.",
        arity=2,
    ),
    op(
        "last-entries-of-a-long-row-forgotten",
        forgetful_tanh,
        "Wrong only where an array does not fill the kernel's last block, so small tests pass.",
        reference=np.tanh,
        domain=LONG,
    ),
    op("vjp-ignores-dy", deaf_exp, "Differentiates the sum of y, whatever the loss is."),
    op(
        "gradient-left-broadcast",
        unsummed_add,
        "The gradient of a bias has the batch's shape.",
        cites=("pytorch/pytorch#1787", "raskr/rust-autograd#38"),
        arity=2,
        broadcast=True,
    ),
    op(
        "repeats-get-a-mean",
        averaging_add,
        "A bias learns more slowly the larger the batch is.",
        arity=2,
        broadcast=True,
    ),
    op(
        "repeated-ids-overwrite",
        overwriting_embedding,
        "A token that occurs twice in a batch counts once.",
        cites=("HIPS/autograd#39", "karpathy/nn-zero-to-hero#57"),
        domain=TABLE_AND_IDS,
        gathers=True,
    ),
    op(
        "a-numpy-scalar-promotes",
        promoting_scale,
        "A constant made with np.sqrt turns float32 into float64: half the speed, twice the memory.",
    ),
    op("gradient-in-float64", widening_tanh, "float32 parameters get float64 gradients."),
    op(
        "variance-by-cancellation",
        cancelling_variance,
        "E[x²] - E[x]² loses its digits where the mean is large.",
        domain=drawn((2, 4), shift=64.0),
    ),
    op("shifts-its-input-in-place", shifting_exp, "The caller's array is another one afterwards."),
    op("masks-dy-in-place", masking_relu, "Writes into dy, which a second branch of the graph still needs."),
    op("hands-dy-on-undeclared", sharing_add, "Both gradients are dy itself, and nobody was told.", arity=2),
    op("identity-returns-its-input", transparent_dropout, "y is x, so writing into one changes the other."),
    op("reads-memory-order", memory_order, "Right for C order only: a transposed array is read row by row."),
    op("a-number-becomes-a-row", rowing_negative, "A 0-d array gains an axis.", reference=lambda x: -x),
    op("draws-its-own-mask", moody_dropout, "No two runs agree, and forward cannot be repeated."),
    op("state-on-the-op", Remembering(), "The vjp reads what the op saw last, not what it saw then."),
    op("ids-get-zeros", counting_embedding, "Integers get a gradient.", domain=TABLE_AND_IDS),
    op(
        "softmax-without-its-shift",
        unshifted_softmax,
        "Logits above 709 give nan.",
        domain=ROWS,
        extremes=HUGE,
    ),
    op(
        "mask-by-multiplying",
        multiplying_mask,
        "Masks by multiplying with 0, which makes nan of the -inf it should hide.",
        cites=("huggingface/trl#7252",),
        domain=INFINITE,
        extremes=INFINITE,
    ),
    op("relu-hides-nan", deafened_relu, "A nan becomes 0.", reference=lambda x: np.maximum(x, 0)),
    op(
        "first-row-decides-for-all",
        first_row_shift,
        "Broadcasts a number of row 0, so it is right for a batch of one.",
        domain=ROWS,
        batched=(0,),
    ),
    op(
        "statistics-of-the-whole-batch",
        batch_statistics,
        "A row's result depends on what it was batched with.",
        domain=ROWS,
        batched=(0,),
    ),
    op(
        "every-tie-gets-all",
        greedy_max,
        "The gradient of max is doubled at a tie of two.",
        cites=("microsoft/CNTK#3855",),
        kinks=TIED,
        subgradient=equal_shares,
    ),
    op(
        "accumulates-into-empty",
        unclean_embedding,
        "Sums into memory that was never cleared.",
        cites=("pytorch/pytorch#185495",),
        domain=TABLE_AND_IDS,
    ),
    op("kernel-forgets-the-tail", tailless_tanh, "Sizes that are no multiple of four end in zeros.", original=tanh),
)
