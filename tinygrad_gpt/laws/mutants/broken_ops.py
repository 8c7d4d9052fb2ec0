"""What is broken about the ops in the zoo: one function each.  Their stories are in ops.py."""

import math
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.ops.under_test import Vjp

Answer = tuple[Array, Vjp]


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


def half_summing_add(a: Array, b: Array) -> Answer:
    """Adds up in float16: three digits, and past 2048 adding 1 changes nothing."""
    return a + b, lambda dy: tuple(home(dy.astype(np.float16), x.shape).astype(x.dtype) for x in (a, b))


def half_summing_embedding(table: Array, ids: Array) -> Answer:
    """The same, for a row that is read several times."""

    def vjp(dy: Array) -> tuple[Array, None]:
        dtable = np.zeros(table.shape, np.float16)
        np.add.at(dtable, ids, dy.astype(np.float16))
        return dtable.astype(table.dtype), None

    return table[ids], vjp


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


def rounding_by_batch(x: Array) -> Answer:
    """127 steps from 0 to the largest number of the whole batch, as in 8-bit inference."""
    scale = abs(x).max(initial=0) / x.dtype.type(127)
    return np.rint(x / scale) * scale if scale else x.copy(), lambda dy: (dy.copy(),)


def centring_vjp(x: Array) -> Answer:
    """Forward each row by itself, back minus the mean row."""
    return 2 * x, lambda dy: (2 * (dy - dy.mean(0)),)


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


def twin_add(a: Array, b: Array) -> Answer:
    """A copy of dy, handed out twice."""

    def vjp(dy: Array) -> tuple[Array, Array]:
        dx = dy.copy()
        return dx, dx

    return a + b, vjp


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
