"""Cases for the laws of losses, the reference loss, and the comparison with it."""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.assertions import require_within
from tinygrad_gpt.laws.law import Array, Case, LawBroken
from tinygrad_gpt.laws.losses.under_test import Batch, LossUnderTest
from tinygrad_gpt.laws.strategies import arrays, floats, index_arrays, logits, ties

FINITE_LOGITS = (ties(), floats(), floats(1e4), st.sampled_from([0.0, 1e4, -1e4, 88.0]))
SMALL_LOGITS = (ties(), floats(10))
GARBAGE_NUMBERS = st.sampled_from([math.nan, math.inf, -math.inf, 1e30, -1e4, 7.0])


@st.composite
def logits_and_targets(
    draw: st.DrawFn, sut: LossUnderTest, elements: Any = FINITE_LOGITS, masked: bool = False
) -> Case:
    """logits (N, V), targets (N), counted (N); some rows are not counted if the object can leave rows out."""
    x = draw(logits((1, 4), (1, 6), elements=elements, masked=masked))
    targets = draw(index_arrays(x.shape[:1], x.shape[1], distinct=6))
    return {"logits": x, "targets": targets, "counted": draw(_counted_rows(sut, len(x)))}


def _counted_rows(sut: LossUnderTest, n: int) -> st.SearchStrategy[Array]:
    """Which of n rows are counted: at least one; all if the object cannot leave rows out."""
    if sut.mask is None:
        return st.just(np.ones(n, bool))
    return arrays((n,), st.booleans(), bool).map(lambda counted: counted if counted.any() else ~counted)


@st.composite
def batches_of_a_text(draw: st.DrawFn, sut: LossUnderTest) -> list[Batch]:
    """A text in 1 to 4 batches of 1 to 4 rows over one vocabulary; a later batch may have no counted row."""
    vocabulary = draw(st.integers(1, 6))
    batches = []
    for i in range(draw(st.integers(1, 4))):
        x = draw(logits((1, 4), (vocabulary, vocabulary), elements=SMALL_LOGITS, masked=False))
        counted = draw(_counted_rows(sut, len(x)))
        if i and sut.mask and draw(st.booleans()):
            counted = np.zeros(len(x), bool)
        batches.append((x, draw(index_arrays(x.shape[:1], vocabulary, distinct=6)), counted))
    return batches


def _nll(x: Array, target: int) -> float:
    """log sum(exp(x)) - x[target], by the row's largest logit and an exact sum of the other exponentials."""
    if x[target] == -math.inf:
        return math.inf
    top = int(np.argmax(x))
    return float(x[top] - x[target]) + math.log1p(math.fsum(math.exp(v - x[top]) for i, v in enumerate(x) if i != top))


def nll_by_row(x: Array, targets: Array) -> Array:
    """nll (N) row by row."""
    return np.array([_nll(row, target) for row, target in zip(x, targets, strict=True)])


def reduce_nll(sut: LossUnderTest, values: Array, counted: Array) -> Array:
    """nll (N) of rows -> their loss by the object's reduction."""
    if sut.reduction == "none":
        return np.where(counted, values, 0)
    total = math.fsum(values[counted])
    return np.float64(total / counted.sum() if sut.reduction == "mean" else total)


def softmax(x: Array) -> Array:
    """Probabilities, rows along the last axis."""
    weights = np.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def expected_gradient(x: Array, targets: Array, counted: Array, divisor: float) -> Array:
    """(p - onehot) / divisor; 0 in rows that are not counted."""
    return np.where(counted[:, None], (softmax(x) - np.eye(x.shape[1])[targets]) / divisor, 0.0)


def require_close(what: str, got: Any, want: Any, tolerance: float, why: str = "") -> None:
    """Raise LawBroken unless the shapes are equal and |got - want| <= tolerance * max(1, |want|); inf equals inf.

    With `why`, the finding gives it, and the error of the worst entry.
    """
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    try:
        require_within(what, got, want, tolerance * np.maximum(1, np.where(np.isinf(want), 1, abs(want))))
    except LawBroken as broken:
        if not why or got.shape != want.shape:
            raise
        off = np.abs(got - want)[got != want].max()
        raise LawBroken(f"{broken.observed}, off by {off:.3g}", f"{broken.expected}: {why}") from None


def require_error(what: str, action: Any) -> None:
    """Raise LawBroken unless the action raises."""
    try:
        answer = action()
    except Exception:
        return
    raise LawBroken(f"{answer} for {what}", "an error")
