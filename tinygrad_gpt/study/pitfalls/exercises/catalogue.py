"""The nine exercises, from a product of two numbers to causal attention.

Each knows the mistakes that people make.  A mistake is a function that returns the wrong gradient; a solution with the
same numbers has made this mistake.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_gpt import ops
from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.study.pitfalls.exercises import starters
from tinygrad_gpt.study.pitfalls.exercises.exercise import Arrays, Exercise, Mistake


def _floats(*shapes: tuple[int, ...], seed: int = 1) -> Arrays:
    """Arrays of normal numbers."""
    return tuple(np.random.Generator(np.random.Philox(key=seed + i)).standard_normal(s) for i, s in enumerate(shapes))


def _floats_of(*choices: tuple[tuple[int, ...], ...]) -> Callable[[], Any]:
    """A function that makes the domain, so that only a check needs Hypothesis."""

    def domain() -> Any:
        from tinygrad_gpt.study.pitfalls import domains

        return domains.floats_of(*choices)

    return domain


def _table_and_ids(rows: int, width: int, *shapes: tuple[int, ...]) -> Callable[[], Any]:
    """A function that makes the domain of a table and ids."""

    def domain() -> Any:
        from tinygrad_gpt.study.pitfalls import domains

        return domains.table_and_ids(rows, width, *shapes)

    return domain


def _attention(q: Array, k: Array, v: Array) -> tuple[Array, Vjp]:
    """One head of `ops.causal_attention`, with separate queries, keys and values (T, D)."""
    y, vjp = ops.causal_attention(np.concatenate([q, k, v], -1)[None], n_heads=1)
    return y[0], lambda dy: tuple(part[0] for part in np.split(np.asarray(vjp(dy[None])[0]), 3, axis=-1))


# ---- wrong gradients, as people write them


def _normalised(x: Array) -> tuple[Array, Array]:
    """Layer norm's xhat and 1/deviation."""
    centred = x - x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return centred * rstd, rstd


def _layer_norm_dx(dy: Array, x: Array, gain: Any, *, mean: bool, variance: bool, rstd: bool = True) -> Array:
    """Layer norm's dx, with or without some of its terms."""
    xhat, r = _normalised(x)
    dxhat = dy * gain
    dx = dxhat - mean * dxhat.mean(-1, keepdims=True) - variance * xhat * (dxhat * xhat).mean(-1, keepdims=True)
    return dx * r if rstd else dx


def _over_rows(dy: Array) -> Array:
    return dy.sum(tuple(range(dy.ndim - 1)))


def _gelu_dx(
    dy: Array, x: Array, *, product: bool = True, inner: float = 3.0, chain: bool = True, power: int = 2
) -> Array:
    """GELU's dx, with or without some of its factors and terms."""
    c, a = math.sqrt(2 / math.pi), 0.044715
    t = np.tanh(c * (x + a * x**3))
    slope = c * (1 + inner * a * x * x) if chain else 1.0
    return 0.5 * dy * (1 + t + product * x * (1 - t**power) * slope)


def _shared(dtable: Array, ids: Array) -> Array:
    """Each row divided by the number of its ids."""
    return dtable / np.maximum(np.bincount(ids.ravel(), minlength=len(dtable)), 1)[:, None]


def _scattered(dy: Array, table: Array, ids: Array) -> Array:
    """The correct gradient of an embedding."""
    dtable = np.zeros_like(table)
    np.add.at(dtable, ids, dy)
    return dtable


def _last_written(dy: Array, table: Array, ids: Array) -> Array:
    """dtable[ids] += dy"""
    dtable = np.zeros_like(table)
    dtable[ids] += dy
    return dtable


def _onehot(targets: Array, like: Array) -> Array:
    """1 at the target, else 0."""
    return np.asarray(np.eye(like.shape[-1])[targets])


def _softmax(x: Array) -> Array:
    """Rows of probabilities."""
    return np.asarray(ops.softmax(x)[0])


def _dscores(
    dy: Array, q: Array, k: Array, v: Array, *, coupled: bool = True, p_used: bool = True
) -> tuple[Array, Array]:
    """Attention's weights, and the gradient of its scores, with or without some of its terms."""
    scores = np.where(np.tril(np.ones((len(q), len(q)), bool)), q @ k.T / math.sqrt(q.shape[-1]), -np.inf)
    p = _softmax(scores)
    dp = dy @ v.T
    ds = dp - coupled * (dp * p).sum(-1, keepdims=True)
    return p, p * ds if p_used else ds


_OTHER = "the gradient of a factor contains the other factor: d(ab)/da = b."
_UNCHAINED = "dy is missing: multiply your result by the incoming gradient."
_SCALE = "the scores were divided by √D; their gradients have to be divided too."
_ROOT = math.sqrt

_MULTIPLY = Exercise(
    name="multiply",
    task="y = a b, entry by entry; a and b have one shape.",
    op=ops.multiply,
    inputs=("a", "b"),
    starter=starters.MULTIPLY,
    cases=(_floats((2, 3), (2, 3)), _floats((4,), (4,))),
    domain=_floats_of(((3,), (3,)), ((2, 3), (2, 3))),
    mistakes=(
        Mistake("a", lambda dy, a, b: dy * a, _OTHER),
        Mistake("b", lambda dy, a, b: dy * b, _OTHER),
        Mistake("a", lambda dy, a, b: b, _UNCHAINED),
        Mistake("b", lambda dy, a, b: a, _UNCHAINED),
    ),
    claims={},
)

_MEAN_FOR_SUM = "an entry that is used n times receives the sum of n gradients, not their mean."
_ADD = Exercise(
    name="add",
    task="y = a + b; axes of length 1, or missing, are repeated.",
    op=ops.add,
    inputs=("a", "b"),
    starter=starters.ADD,
    cases=(_floats((2, 3), (2, 3)), _floats((2, 3), (3,)), _floats((2, 1), (4, 1, 3)), _floats((1,), (2, 1))),
    domain=None,
    mistakes=(
        Mistake("a", lambda dy, a, b: _home(dy, a.shape, np.mean), _MEAN_FOR_SUM),
        Mistake("b", lambda dy, a, b: _home(dy, b.shape, np.mean), _MEAN_FOR_SUM),
    ),
    claims={"arity": 2, "broadcast": True},
)


def _home(dy: Array, shape: tuple[int, ...], how: Callable[..., Array]) -> Array:
    """dy reduced to a shape, by `how` over the repeated axes: np.sum would be right."""
    extra = dy.ndim - len(shape)
    axes = (*range(extra), *(i + extra for i, n in enumerate(shape) if n == 1 != dy.shape[i + extra]))
    return how(dy, axis=axes, keepdims=True).reshape(shape)


_MATMUL = Exercise(
    name="matmul",
    task="Y = A B for two matrices, (M, K) and (K, N).",
    op=ops.matmul,
    inputs=("a", "b"),
    starter=starters.MATMUL,
    cases=(_floats((2, 2), (2, 2)), _floats((2, 3), (3, 4))),
    domain=_floats_of(((2, 3), (3, 2)), ((3, 1), (1, 2)), ((1, 3), (3, 4))),
    mistakes=(
        Mistake("a", lambda dy, a, b: dy @ b, "dA = dY Bᵀ: B has to be transposed."),
        Mistake("a", lambda dy, a, b: b.T @ dy, "the order of a product matters: Bᵀ stands to the right of dY."),
        Mistake("b", lambda dy, a, b: a @ dy, "dB = Aᵀ dY: A has to be transposed."),
        Mistake("b", lambda dy, a, b: dy @ a.T, "the order of a product matters: Aᵀ stands to the left of dY."),
        Mistake("b", lambda dy, a, b: dy.T @ a, "that is dB transposed: Aᵀ dY, not dYᵀ A."),
    ),
    claims={},
)

_EMBEDDING = Exercise(
    name="embedding",
    task="Rows of a table (V, C), looked up by ids of any shape.",
    op=ops.embedding,
    inputs=("table", "ids"),
    starter=starters.EMBEDDING,
    cases=(
        (*_floats((4, 2)), np.array([0, 3, 1])),
        (*_floats((4, 2)), np.array([2, 0, 2, 2])),
        (*_floats((5, 3)), np.array([[1, 4, 1], [4, 4, 0]])),
    ),
    domain=_table_and_ids(3, 2, (4,), (2, 3)),
    mistakes=(
        Mistake(
            "table",
            _last_written,
            "dtable[ids] += dy writes one row per id: where an id repeats, only one dy stays. NumPy has np.add.at.",
        ),
        Mistake("table", lambda dy, table, ids: _shared(_scattered(dy, table, ids), ids), _MEAN_FOR_SUM),
    ),
    claims={"gathers": True},
)

_GELU = Exercise(
    name="gelu",
    task="y = ½ x (1 + t) with t = tanh(C (x + A x³)): GPT-2's form.",
    op=ops.gelu,
    inputs=("x",),
    starter=starters.GELU,
    cases=(_floats((4,)), _floats((2, 3), seed=5)),
    domain=_floats_of(((3,),), ((2, 3),)),
    mistakes=(
        Mistake(
            "x",
            lambda dy, x: _gelu_dx(dy, x, product=False),
            "x occurs in y twice: the second half of the product rule, ½ x dt/dx, is missing.",
        ),
        Mistake("x", lambda dy, x: _gelu_dx(dy, x, chain=False), "dt/dx = (1 - t²) du/dx: du/dx is missing."),
        Mistake(
            "x",
            lambda dy, x: _gelu_dx(dy, x, inner=0.0),
            "the slope of A x³ is missing: u = C (x + A x³) has two terms.",
        ),
        Mistake("x", lambda dy, x: _gelu_dx(dy, x, inner=1.0), "the slope of x³ is 3 x², not x²."),
        Mistake("x", lambda dy, x: _gelu_dx(dy, x, power=1), "the slope of tanh is 1 - t², not 1 - t."),
        Mistake("x", lambda dy, x: _gelu_dx(np.ones_like(dy), x), _UNCHAINED),
    ),
    claims={},
)

_COUPLED = "only the term that couples a row is missing in your dx: p sums to 1, so dx has to sum to 0 in each row."
_SOFTMAX = Exercise(
    name="softmax",
    task="Each row of x becomes probabilities p.",
    op=ops.softmax,
    inputs=("x",),
    starter=starters.SOFTMAX,
    cases=(_floats((1, 3)), _floats((2, 4), seed=7)),
    domain=_floats_of(((1, 3),), ((2, 3),), ((3, 4),)),
    mistakes=(
        Mistake("x", lambda dp, x: _softmax(x) * dp, _COUPLED),
        Mistake(
            "x",
            lambda dp, x: _softmax(x) * (1 - _softmax(x)) * dp,
            "p (1 - p) is the diagonal of the Jacobian: x_k moves the other probabilities too, by -p_k p_i.",
        ),
        Mistake(
            "x",
            lambda dp, x: _softmax(x) * (dp - dp.mean(-1, keepdims=True)),
            "the mean of dp to subtract is the one weighted by p, not the plain one.",
        ),
        Mistake(
            "x",
            lambda dp, x: dp - _softmax(x) * dp.sum(-1, keepdims=True),
            "that is the gradient of log softmax. For p itself dp has to be multiplied by p first.",
        ),
        Mistake(
            "x",
            lambda dp, x: dp - (dp * _softmax(x)).sum(-1, keepdims=True),
            "the factor p in front is missing.",
        ),
    ),
    claims={},
)

_CROSS_ENTROPY = Exercise(
    name="cross_entropy",
    task="The mean loss of logits (N, V) against targets (N).",
    op=ops.cross_entropy,
    inputs=("logits", "targets"),
    starter=starters.CROSS_ENTROPY,
    cases=((*_floats((2, 3)), np.array([1, 0])), (*_floats((4, 3), seed=3), np.array([2, 2, 0, 2]))),
    domain=_table_and_ids(3, 4, (3,)),
    mistakes=(
        Mistake(
            "logits",
            lambda dy, x, t: (_softmax(x) - _onehot(t, x)) * dy,
            "the loss is a mean: each row counts 1/N.",
        ),
        Mistake("logits", lambda dy, x, t: (_softmax(x) - _onehot(t, x)) / len(t), "dloss is missing."),
        Mistake("logits", lambda dy, x, t: _softmax(x) - _onehot(t, x), "dloss and the mean's 1/N are missing."),
        Mistake(
            "logits",
            lambda dy, x, t: _softmax(x) * dy / len(t),
            "softmax is only half of it: subtract 1 at the target.",
        ),
        Mistake(
            "logits",
            lambda dy, x, t: -_onehot(t, x) * dy / len(t),
            "the target's logit is half of it: ln Σ e^x depends on every logit of the row, with slope softmax.",
        ),
        Mistake(
            "logits",
            lambda dy, x, t: (_softmax(x) - _onehot(t, x)) * dy / x.size,
            "the mean is over the N rows, not over all N·V entries.",
        ),
    ),
    claims={},
)

_LAYER_NORM = Exercise(
    name="layer_norm",
    task="Rows of mean 0 and variance 1, times a gain, plus a bias.",
    op=ops.layer_norm,
    inputs=("x", "gain", "bias"),
    starter=starters.LAYER_NORM,
    cases=(_floats((2, 4), (4,), (4,)), _floats((2, 2, 3), (3,), (3,), seed=11)),
    domain=_floats_of(((2, 3), (3,), (3,)), ((3, 4), (4,), (4,)), ((2, 1, 3), (3,), (3,))),
    mistakes=(
        Mistake(
            "x",
            lambda dy, x, gain, bias: _layer_norm_dx(dy, x, gain, mean=False, variance=False),
            "mean and deviation are not constants: each x moves both, and so the whole row. Two terms are missing.",
        ),
        Mistake(
            "x",
            lambda dy, x, gain, bias: _layer_norm_dx(dy, x, gain, mean=True, variance=False),
            "the way through the variance is missing: the term with x̂ mean(dx̂ x̂).",
        ),
        Mistake(
            "x",
            lambda dy, x, gain, bias: _layer_norm_dx(dy, x, gain, mean=False, variance=True),
            "only the term that couples a row is missing in your dx: its mean is not 0.",
        ),
        Mistake(
            "x",
            lambda dy, x, gain, bias: _layer_norm_dx(dy, x, 1.0, mean=True, variance=True),
            "the gain is missing: dx̂ = dy gain comes first.",
        ),
        Mistake(
            "x",
            lambda dy, x, gain, bias: _layer_norm_dx(dy, x, gain, mean=True, variance=True, rstd=False),
            "the factor 1/deviation is missing.",
        ),
        Mistake(
            "gain",
            lambda dy, x, gain, bias: _over_rows(dy),
            "the gain multiplies x̂: its gradient is the sum of dy x̂.",
        ),
        Mistake(
            "gain",
            lambda dy, x, gain, bias: _over_rows(dy * x),
            "the gain multiplies x̂, not x.",
        ),
        Mistake(
            "gain",
            lambda dy, x, gain, bias: _over_rows(dy * _normalised(x)[0]) / (dy.size // dy.shape[-1]),
            _MEAN_FOR_SUM,
        ),
        Mistake("bias", lambda dy, x, gain, bias: _over_rows(dy) / (dy.size // dy.shape[-1]), _MEAN_FOR_SUM),
        Mistake("bias", lambda dy, x, gain, bias: _over_rows(dy * gain), "the bias is added after the gain."),
    ),
    claims={"dtypes": ("float64",)},  # a row of near equals is too much for float32
)

_CAUSAL_ATTENTION = Exercise(
    name="causal_attention",
    task="One head: y = softmax(q kᵀ/√D, masked) v.  The hardest.",
    op=_attention,
    inputs=("q", "k", "v"),
    starter=starters.CAUSAL_ATTENTION,
    cases=(_floats((2, 2), (2, 2), (2, 2)), _floats((4, 3), (4, 3), (4, 3), seed=21)),
    domain=_floats_of(((1, 2),) * 3, ((3, 2),) * 3),
    mistakes=(
        Mistake("q", lambda dy, q, k, v: _dscores(dy, q, k, v)[1] @ k, _SCALE),
        Mistake("k", lambda dy, q, k, v: _dscores(dy, q, k, v)[1].T @ q, _SCALE),
        Mistake(
            "k",
            lambda dy, q, k, v: _dscores(dy, q, k, v)[1] @ q / _ROOT(q.shape[-1]),
            "scores = q kᵀ: for k the gradient of the scores has to be transposed.",
        ),
        Mistake(
            "q",
            lambda dy, q, k, v: _dscores(dy, q, k, v, coupled=False)[1] @ k / _ROOT(q.shape[-1]),
            "the softmax's gradient lacks the term that couples the row: p (dp - Σ dp p).",
        ),
        Mistake(
            "q",
            lambda dy, q, k, v: _dscores(dy, q, k, v, p_used=False)[1] @ k / _ROOT(q.shape[-1]),
            "the softmax's gradient lacks its factor p, which is 0 for later positions.",
        ),
        Mistake(
            "v",
            lambda dy, q, k, v: _dscores(dy, q, k, v)[0] @ dy,
            "y = p v, so dv = pᵀ dy: p has to be transposed.",
        ),
        Mistake("v", lambda dy, q, k, v: dy, "v is mixed by p: dv = pᵀ dy."),
    ),
    claims={},
)

ALL_EXERCISES = (_MULTIPLY, _ADD, _MATMUL, _EMBEDDING, _GELU, _SOFTMAX, _CROSS_ENTROPY, _LAYER_NORM, _CAUSAL_ATTENTION)
BY_NAME = {exercise.name: exercise for exercise in ALL_EXERCISES}
