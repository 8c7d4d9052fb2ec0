"""Broken ops, and the effect of each for a user."""

import math
from inspect import cleandoc
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutation import Mutant
from tinygrad_gpt.laws.ops.under_test import OpUnderTest, Strategy, Vjp
from tinygrad_gpt.laws.strategies import arrays, dyadic, index_arrays, normal, seeds

Answer = tuple[Array, Vjp]

OP_MUTANTS: list[Mutant] = []


def mutant(name, *cites, story=None, made=lambda broken: broken, **claims):
    """The op below, with these claims, is the mutant of this name; its docstring is the story."""

    def add(broken):
        sut = OpUnderTest(name=name, op=made(broken), **claims)
        OP_MUTANTS.append(Mutant(name, sut, cleandoc(story or broken.__doc__), cites))
        return broken

    return add


def drawn(*shapes: tuple[int, ...], shift: float = 0.0) -> Strategy:
    """Arrays of these shapes, numbers within 3 of shift."""
    numbers = (arrays(shape, dyadic(3)).map(lambda x: x + shift) for shape in shapes)
    return st.tuples(st.tuples(*numbers), st.just({}))


TABLE_AND_IDS: Strategy = st.tuples(st.tuples(arrays((3, 2), dyadic(3)), index_arrays((4,), 3)), st.just({}))
ROWS = drawn((2, 3))
LONG: Strategy = seeds().map(lambda seed: ((normal(seed, (3, 9)),), {}))
HUGE: Strategy = st.tuples(st.tuples(arrays((2, 3), st.sampled_from([0.0, 1e4, -1e4]))), st.just({}))
INFINITE: Strategy = st.tuples(
    st.tuples(arrays((3,), st.sampled_from([1.0, -np.inf])), arrays((3,), st.booleans(), bool)), st.just({})
)
TIED: Strategy = st.tuples(st.tuples(arrays((2, 3), st.sampled_from([0.0, 1.0]))), st.just({}))


def tanh_gelu(x: Array) -> Array:
    """The form that GPT-2 was trained with."""
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


@mutant("gelu-of-the-other-form", reference=tanh_gelu)
def erf_gelu(x: Array) -> Answer:
    """GELU by erf where the tanh form is claimed: off by up to 4.7e-4, enough to fail parity with GPT-2."""
    # y = x Φ(x), though GPT-2 was trained with the tanh form.
    below = 0.5 * (1 + np.array([math.erf(v / math.sqrt(2)) for v in x.flat]).reshape(x.shape))
    return x * below, lambda dy: (dy * (below + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)),)


@mutant(
    "matmul-in-float32",
    reference=lambda a, b: (a[:, :, None] * b[None]).sum(1),
    domain=seeds().map(lambda seed: ((normal(seed, (2, 3)), normal(seed // 2, (3, 2))), {})),
)
def narrow_matmul(a: Array, b: Array) -> Answer:
    """float64 arrays are multiplied in float32."""
    y = (a.astype(np.float32) @ b.astype(np.float32)).astype(a.dtype)
    return y, lambda dy: (dy @ b.T, a.T @ dy)


def softmax(x: Array) -> Array:
    """Along the last axis."""
    weights = np.exp(x - np.real(x).max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


@mutant("softmax-without-its-second-term", reference=softmax, domain=ROWS)
def half_softmax(x: Array) -> Answer:
    """dx = p dy ignores that the other probabilities fall."""
    p = softmax(x)
    return p, lambda dp: (p * dp,)


def rows_normalised(x: Array) -> Array:
    """Layer norm without gain and bias."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)


@mutant("layer-norm-without-its-last-term", reference=rows_normalised, domain=ROWS)
def half_layer_norm(x: Array) -> Answer:
    """The gradient through the variance is left out."""
    centred = x - x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return centred * rstd, lambda dy: (rstd * (dy - dy.mean(-1, keepdims=True)),)


@mutant("vjp-of-zeros", reference=np.exp)
def motionless_exp(x: Array) -> Answer:
    """The vjp returns zeros: nothing is learned."""
    return np.exp(x), lambda dy: (0 * dy,)


@mutant("factors-swapped", arity=2)
def swapping_multiply(a: Array, b: Array) -> Answer:
    """Each factor receives its own value instead of the other's."""
    return a * b, lambda dy: (dy * a, dy * b)


@mutant("last-entries-of-a-long-row-forgotten", reference=np.tanh, domain=LONG)
def forgetful_tanh(x: Array) -> Answer:
    """Wrong only where an array does not fill the kernel's last block, so small tests pass."""
    # A kernel of eight lanes that forgets the last entries.
    y = np.tanh(x)

    def vjp(dy: Array) -> tuple[Array]:
        dx = dy * (1 - y * y)
        dx.reshape(-1)[x.size - x.size % 8 if x.size > 8 else x.size :] = 0
        return (dx,)

    return y, vjp


@mutant("vjp-ignores-dy")
def deaf_exp(x: Array) -> Answer:
    """Differentiates the sum of y, whatever the loss is."""
    # Right for a loss that is the sum of y, and for no other.
    y = np.exp(x)
    return y, lambda dy: (y,)


@mutant("gradient-left-broadcast", "pytorch/pytorch#1787", "raskr/rust-autograd#38", arity=2, broadcast=True)
def unsummed_add(a: Array, b: Array) -> Answer:
    """The gradient of a bias has the batch's shape."""
    return a + b, lambda dy: (dy.copy(), dy.copy())


def home(dy: Array, shape: tuple[int, ...], how: Any = np.sum) -> Array:
    """dy, summed over the repeated axes to a shape."""
    extra = dy.ndim - len(shape)
    axes = (*range(extra), *(i + extra for i, n in enumerate(shape) if n == 1 and dy.shape[i + extra] != 1))
    return how(dy, axis=axes, keepdims=True).reshape(shape)


@mutant("repeats-get-a-mean", arity=2, broadcast=True)
def averaging_add(a: Array, b: Array) -> Answer:
    """A bias learns more slowly the larger the batch is."""
    # Takes the mean over the copies: the right shape, too small by their number.
    return a + b, lambda dy: (home(dy, a.shape, np.mean), home(dy, b.shape, np.mean))


@mutant("repeats-summed-in-half", arity=2, broadcast=True, dtypes=("float32",))
def half_summing_add(a: Array, b: Array) -> Answer:
    """A kernel in float32 sums a bias's gradient in float16: in large batches the sum stops growing."""
    # Adds up in float16: three digits, and past 2048 adding 1 changes nothing.
    return a + b, lambda dy: tuple(home(dy.astype(np.float16), x.shape).astype(x.dtype) for x in (a, b))


@mutant("repeated-ids-summed-in-half", domain=TABLE_AND_IDS, gathers=True, dtypes=("float32",))
def half_summing_embedding(table: Array, ids: Array) -> Answer:
    """A kernel in float32 sums a token's gradients in float16."""

    def vjp(dy: Array) -> tuple[Array, None]:
        dtable = np.zeros(table.shape, np.float16)
        np.add.at(dtable, ids, dy.astype(np.float16))
        return dtable.astype(table.dtype), None

    return table[ids], vjp


@mutant("repeated-ids-overwrite", "HIPS/autograd#39", "karpathy/nn-zero-to-hero#57", domain=TABLE_AND_IDS, gathers=True)
def overwriting_embedding(table: Array, ids: Array) -> Answer:
    """The gradient of a token that occurs twice in a batch is counted once."""

    # dtable[ids] += dy adds one row per id.
    def vjp(dy: Array) -> tuple[Array, None]:
        dtable = np.zeros_like(table)
        dtable[ids] += dy
        return dtable, None

    return table[ids], vjp


@mutant("a-numpy-scalar-promotes")
def promoting_scale(x: Array) -> Answer:
    """A constant made with np.sqrt turns float32 into float64: half the speed, twice the memory."""
    # np.sqrt(2) is a float64, and float32 times it is another.
    return x * np.sqrt(2), lambda dy: (dy * np.sqrt(2),)


@mutant("gradient-in-float64")
def widening_tanh(x: Array) -> Answer:
    """float32 parameters get float64 gradients."""
    y = np.tanh(x)
    return y, lambda dy: (dy * (1 - y.astype(np.float64) ** 2),)


@mutant("variance-by-cancellation", domain=drawn((2, 4), shift=64.0))
def cancelling_variance(x: Array) -> Answer:
    """E[x²] - E[x]² loses its digits where the mean is large."""
    # E[x²] - E[x]²: at 64 ± 3 in float32 three digits are left.
    y = (x * x).mean(-1) - x.mean(-1) ** 2
    return y, lambda dy: (dy[..., None] * 2 * (x - x.mean(-1, keepdims=True)) / x.dtype.type(x.shape[-1]),)


@mutant("shifts-its-input-in-place")
def shifting_exp(x: Array) -> Answer:
    """The op changes the caller's array."""
    x -= 1
    y = np.exp(x) * math.e
    return y, lambda dy: (dy * y,)


@mutant("masks-dy-in-place")
def masking_relu(x: Array) -> Answer:
    """Writes into dy, which a second branch of the graph still needs."""
    y = np.maximum(x, 0)

    def vjp(dy: Array) -> tuple[Array]:
        dy[x <= 0] = 0
        return (dy.copy(),)

    return y, vjp


@mutant("hands-dy-on-undeclared", arity=2)
def sharing_add(a: Array, b: Array) -> Answer:
    """Both gradients are dy itself, which is not declared."""
    return a + b, lambda dy: (dy, dy)


@mutant("identity-returns-its-input")
def transparent_dropout(x: Array) -> Answer:
    """y is x, so writing into one changes the other."""
    return x, lambda dy: (dy.copy(),)


@mutant("one-array-for-two-gradients", arity=2)
def twin_add(a: Array, b: Array) -> Answer:
    """Both gradients are one array, which is not declared."""

    def vjp(dy: Array) -> tuple[Array, Array]:
        dx = dy.copy()
        return dx, dx

    return a + b, vjp


@mutant("reads-memory-order")
@mutant(
    "reads-memory-order-in-float32",
    dtypes=("float32",),
    story="A kernel for float32 that reads a transposed array as if it were in C order.",
)
def memory_order(x: Array) -> Answer:
    """Right for C order only: a transposed array is read in the wrong order."""
    return np.tanh(x.ravel(order="K").reshape(x.shape)), lambda dy: (dy * (1 - np.tanh(x) ** 2),)


@mutant("a-number-becomes-a-row", reference=lambda x: -x)
def rowing_negative(x: Array) -> Answer:
    """A 0-d array gains an axis."""
    return np.atleast_1d(-x), lambda dy: (-dy.reshape(x.shape),)


@mutant("draws-its-own-mask")
def moody_dropout(x: Array) -> Answer:
    """The op draws its own random mask: no two runs agree."""
    keep = np.random.default_rng().random(x.shape) < 0.5
    return x * keep, lambda dy: (dy * keep,)


@mutant("state-on-the-op", made=lambda kind: kind())
class Remembering:
    """The op stores its input on itself: the vjp reads that of the last call."""

    y: Array = None

    def __call__(self, x: Array) -> Answer:
        """e^x"""
        self.y = np.exp(x)
        return self.y.copy(), lambda dy: (home(np.resize(self.y, dy.shape) * dy, x.shape),)


@mutant("ids-get-zeros", domain=TABLE_AND_IDS)
def counting_embedding(table: Array, ids: Array) -> Answer:
    """Integers get a gradient."""

    def vjp(dy: Array) -> tuple[Array, Array]:
        dtable = np.zeros_like(table)
        np.add.at(dtable, ids, dy)
        return dtable, np.zeros(ids.shape)

    return table[ids], vjp


@mutant("softmax-without-its-shift", domain=ROWS, extremes=HUGE)
def unshifted_softmax(x: Array) -> Answer:
    """Logits above 709 give nan."""
    # e^1e4 is infinite, and inf/inf is nan.
    p = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    return p, lambda dp: (p * (dp - (dp * p).sum(-1, keepdims=True)),)


@mutant("mask-by-multiplying", "huggingface/trl#7252", domain=INFINITE, extremes=INFINITE)
def multiplying_mask(x: Array, mask: Array) -> Answer:
    """Masks by multiplying by 0, which turns a masked -inf into nan."""
    # 0 times -inf is nan.
    return x * mask, lambda dy: (dy * mask, None)


@mutant("relu-hides-nan", reference=lambda x: np.maximum(x, 0))
def deafened_relu(x: Array) -> Answer:
    """A nan becomes 0."""
    # nan > 0 is False, so a diverged model looks healthy.
    return np.where(x > 0, x, 0), lambda dy: (np.where(x > 0, dy, 0),)


@mutant("first-row-decides-for-all", domain=ROWS, batched=(0,))
def first_row_shift(x: Array) -> Answer:
    """Uses a number of row 0 for all rows: right for a batch of one."""
    y = x - x[:1].max(-1, keepdims=True)
    return y, lambda dy: (dy.copy(),)


@mutant("statistics-of-the-whole-batch", domain=ROWS, batched=(0,))
def batch_statistics(x: Array) -> Answer:
    """A row's result depends on the other rows of its batch."""
    return x - x.mean(), lambda dy: (dy - dy.mean(),)


@mutant("one-scale-for-the-batch-in-float32", domain=ROWS, batched=(0,), dtypes=("float32",))
def rounding_by_batch(x: Array) -> Answer:
    """Rounds in steps given by the largest number of the batch: a row's result depends on the other rows."""
    # 127 steps from 0 to the largest number of the whole batch, as in 8-bit inference.
    scale = abs(x).max(initial=0) / x.dtype.type(127)
    return np.rint(x / scale) * scale if scale else x.copy(), lambda dy: (dy.copy(),)


@mutant("gradient-centred-over-the-batch", domain=ROWS, batched=(0,))
def centring_vjp(x: Array) -> Answer:
    """The forward pass is right; the gradient of a row has the mean of all rows subtracted."""
    return 2 * x, lambda dy: (2 * (dy - dy.mean(0)),)


def equal_shares(dy: Array, x: Array) -> tuple[Array]:
    """Equal shares for ties."""
    ties = x == x.max(-1, keepdims=True)
    return (dy[..., None] * ties / ties.sum(-1, keepdims=True),)


@mutant("every-tie-gets-all", "microsoft/CNTK#3855", kinks=TIED, subgradient=equal_shares)
@mutant(
    "every-tie-gets-all-in-float32",
    kinks=TIED,
    subgradient=equal_shares,
    dtypes=("float32",),
    story="The same fault at a tie, in a kernel for float32.",
)
def greedy_max(x: Array) -> Answer:
    """The gradient of max is doubled at a tie of two."""
    y = x.max(-1)
    return y, lambda dy: (dy[..., None] * (x == y[..., None]),)


@mutant("accumulates-into-empty", "pytorch/pytorch#185495", domain=TABLE_AND_IDS)
def unclean_embedding(table: Array, ids: Array) -> Answer:
    """Sums into memory that was not cleared."""

    # In a new process such memory is often zero.
    def vjp(dy: Array) -> tuple[Array, None]:
        dtable = np.empty_like(table)
        dtable[:] = np.where(np.isfinite(dtable) & (abs(dtable) > 1e-300), 0, dtable)
        np.add.at(dtable, ids, dy)
        return dtable, None

    return table[ids], vjp


def tanh(x: Array) -> Answer:
    """The original of the kernel below."""
    y = np.tanh(x)
    return y, lambda dy: (dy * (1 - y * y),)


@mutant("kernel-forgets-the-tail", original=tanh)
def tailless_tanh(x: Array) -> Answer:
    """Entries after the last multiple of four are zeros."""
    y = np.zeros_like(x)
    whole = x.size - x.size % 4
    y.reshape(-1)[:whole] = np.tanh(x.ravel()[:whole])
    return y, lambda dy: (dy * (1 - y * y),)
