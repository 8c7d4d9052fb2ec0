"""The laws of a cross-entropy and its gradient."""

import math

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.assertions import require_within
from tinygrad_gpt.laws.law import Array, Case, LawBroken, cases, law
from tinygrad_gpt.laws.losses.cases import (
    FINITE_LOGITS,
    GARBAGE_NUMBERS,
    SMALL_LOGITS,
    expected_gradient,
    logits_and_targets,
    nll_by_row,
    reduce_nll,
    require_close,
    require_error,
    softmax,
)
from tinygrad_gpt.laws.losses.under_test import LossUnderTest
from tinygrad_gpt.laws.strategies import arrays, dyadic, floats


@law(
    "L01",
    "log-sum-exp",
    area="loss",
    case=logits_and_targets,
    needs=("loss",),
    mutants=("log-of-softmax", "label-smoothing"),
)
def log_sum_exp(sut: LossUnderTest, logits: Array, targets: Array, counted: Array) -> None:
    """The loss of a row is log sum(exp(x)) - x[target], to 1e-12 or the declared rtol, for logits in [-1e4, 1e4]."""
    rows = nll_by_row(logits, targets)
    want, why = reduce_nll(sut, rows, counted), f"the {sut.reduction} over rows with losses {rows[counted]}"
    require_close("the loss", sut.loss_of(logits, targets, counted), want, sut.tolerance(1e-12, logits), why)


@st.composite
def _rearranged(draw: st.DrawFn, sut: LossUnderTest) -> Case:
    """Rows with targets, a shift per row, a permutation of the classes and one of the rows."""
    case = draw(logits_and_targets(sut, elements=(dyadic(256),)))
    n, v = case["logits"].shape
    shifts = draw(arrays((n, 1), dyadic(256)))
    classes, rows = draw(st.permutations(range(v))), draw(st.permutations(range(n)))
    return case | {"shifts": shifts, "classes": np.array(classes), "rows": np.array(rows)}


@law(
    "L02",
    "symmetries",
    area="loss",
    case=_rearranged,
    needs=("loss",),
    mutants=("clipped-logits", "id-0-is-padding"),
)
def symmetries(
    sut: LossUnderTest, logits: Array, targets: Array, counted: Array, shifts: Array, classes: Array, rows: Array
) -> None:
    """Adding a constant to a row, renumbering the classes, or reordering the rows does not change a loss (1e-12)."""
    plain, tolerance = sut.loss_of(logits, targets, counted), sut.tolerance(1e-12, logits, logits + shifts)
    shifted = sut.loss_of(logits + shifts, targets, counted)
    require_close("the loss of shifted logits", shifted, plain, tolerance, "as before the shift")
    renamed = np.argsort(classes)[targets]  # class c of the new logits is class classes[c] of the old
    other = sut.loss_of(logits[:, classes], renamed, counted)
    require_close("the loss of renumbered classes", other, plain, tolerance, "as under their old numbers")
    reordered, order = sut.loss_of(logits[rows], targets[rows], counted[rows]), f"as in the order before {rows}"
    want = plain[rows] if sut.reduction == "none" else plain
    require_close("the loss of reordered rows", reordered, want, tolerance, order)


@law(
    "L03",
    "never negative, never NaN",
    area="loss",
    case=lambda sut: logits_and_targets(
        sut, elements=(*FINITE_LOGITS, st.sampled_from([1e30, -1e30, 0.0])), masked=True
    ),
    needs=("loss",),
    mutants=("zero-times-infinity", "eps-inside-the-log"),
    cites=("huggingface/trl#7252",),
)
def never_negative(sut: LossUnderTest, logits: Array, targets: Array, counted: Array) -> None:
    """A loss is at least 0 and never NaN. A target whose logit is -inf has loss inf. A row of only -inf is an error."""
    loss = sut.loss_of(logits, targets, counted)
    if not (loss >= 0).all():
        raise LawBroken(f"{loss}", "at least 0, not NaN")
    forbidden = counted & np.isneginf(logits[np.arange(len(targets)), targets])
    infinite = forbidden if sut.reduction == "none" else forbidden.any()
    if not np.isposinf(loss[infinite]).all():
        raise LawBroken(f"{loss}", "inf: the logit of a counted target is -inf")
    impossible = np.full_like(logits, -np.inf)
    if sut.impossible_row == "nan":
        hopeless = sut.loss_of(impossible, targets, counted)
        if not np.isnan(hopeless[counted] if sut.reduction == "none" else hopeless).all():
            raise LawBroken(f"{hopeless} where no class is possible", "NaN", "impossible_row='nan'")
    else:
        require_error("logits that are all -inf", lambda: sut.loss_of(impossible, targets, counted))


@law(
    "L04",
    "uniform logits",
    area="loss",
    case=lambda sut: cases(
        vocabulary=st.sampled_from([1, 2, 3, 10, 256, 50257]), level=st.sampled_from([0.0, 1.0, -1e4, 88.0])
    ),
    needs=("loss",),
    mutants=("bits-for-nats",),
    examples=24,
)
def uniform_logits(sut: LossUnderTest, vocabulary: int, level: float) -> None:
    """Equal logits over V classes have loss log V (10.8249 for 50,257), a perplexity of V."""
    x, targets = np.full((2, vocabulary), level), np.array([0, vocabulary - 1])
    want = np.full(2, math.log(vocabulary))
    counted = np.ones(2, bool)
    loss = reduce_nll(sut, want, counted)
    # The logits' common value is added and subtracted again, which rounds.
    bound = 4 * np.spacing(loss) + 2**-52 * abs(level)
    if sut.rtol > 1e-12:
        bound += sut.tolerance(1e-12, x) * np.maximum(1, loss)
    require_within("the loss", sut.loss_of(x, targets, counted), loss, bound)
    if sut.perplexity is not None:
        require_close("the perplexity", sut.perplexity(want, np.array([1, 1])), vocabulary, sut.tolerance(1e-12))


@st.composite
def _beliefs(draw: st.DrawFn, sut: LossUnderTest) -> Case:
    """A source q (V), in which some classes may be impossible, and logits (V) of a model."""
    v = draw(st.integers(2, 6))
    weights = draw(arrays((v,), st.integers(0, 20), np.int64))
    weights[0] += not weights.any()
    return {"q": weights / weights.sum(), "x": draw(arrays((v,), floats(20)))}


@law(
    "L05",
    "Gibbs' inequality",
    area="loss",
    case=_beliefs,
    needs=("loss",),
    mutants=("label-smoothing", "tempered"),
)
def gibbs(sut: LossUnderTest, q: Array, x: Array) -> None:
    """For targets from q, the expected loss is the entropy of q if p = q, else at least 2 TV(p, q)^2 more (1e-12)."""
    possible = np.flatnonzero(q)

    def expected_loss(x: Array) -> float:
        rows = [float(sut.loss_of(x[None], np.array([i]), np.ones(1, bool)).reshape(())) for i in possible]
        return math.fsum(q[i] * loss for i, loss in zip(possible, rows, strict=True))

    entropy = -math.fsum(q[i] * math.log(q[i]) for i in possible)
    excess = 2 * (np.abs(softmax(x) - q).sum() / 2) ** 2  # Pinsker's inequality
    if not expected_loss(x) >= entropy + excess - sut.tolerance(1e-12, x):
        raise LawBroken(f"{expected_loss(x)}", f"at least the entropy {entropy} and {excess:.6g}")
    logq = np.log(q)
    why = f"the entropy of q = {q}"
    require_close("the expected loss of q itself", expected_loss(logq), entropy, sut.tolerance(1e-12, logq), why)


@law(
    "L06",
    "the gradient is p - onehot",
    area="loss",
    case=lambda sut: logits_and_targets(sut, masked=True),
    needs=("gradient",),
    mutants=("gradient-of-the-sum", "gradient-of-all-rows"),
)
def gradient_law(sut: LossUnderTest, logits: Array, targets: Array, counted: Array) -> None:
    """dloss/dlogits is (p - onehot) / n; for a sum, without / n. Every row sums to 0. A row that is not counted is 0
    (1e-12).
    """
    dx = sut.gradient_of(logits, targets, counted)
    divisor, tolerance = int(counted.sum()) if sut.reduction == "mean" else 1, sut.tolerance(1e-12, logits)
    require_close("the gradient", dx, expected_gradient(logits, targets, counted, divisor), tolerance, f"n = {divisor}")
    require_close("the sum of a row of the gradient", dx.sum(-1), np.zeros(len(logits)), tolerance)


@st.composite
def _left_out(draw: st.DrawFn, sut: LossUnderTest) -> Case:
    """Rows with targets, other values for the uncounted rows, and a target outside the vocabulary."""
    case = draw(logits_and_targets(sut, elements=SMALL_LOGITS))
    shape = case["logits"].shape
    outside = draw(st.sampled_from([-1, -100, shape[1], shape[1] + 1000, -shape[1]]))
    return case | {"garbage": draw(arrays(shape, GARBAGE_NUMBERS)), "outside": outside}


@law(
    "L12",
    "only counted rows matter",
    area="loss",
    case=_left_out,
    needs=("loss",),
    mutants=("mask-times-loss", "mask-missing-below", "all-masked-is-nan", "negative-target-wraps", "magic-index"),
    cites=("pytorch/pytorch#64572", "pytorch/pytorch#63004"),
)
def only_counted_rows(
    sut: LossUnderTest, logits: Array, targets: Array, counted: Array, garbage: Array, outside: int
) -> None:
    """The values in uncounted rows do not matter, even NaN. A mean without any counted row is an error. A target
    outside [0, V) is an error, unless the call says that rows with this target are not counted.
    """
    require_error(
        f"target {outside}", lambda: sut.loss_of(logits, np.full_like(targets, outside), np.ones_like(counted))
    )
    if sut.mask is None:
        return
    spoilt, tolerance = np.where(counted[:, None], logits, garbage), sut.tolerance(1e-12, logits)
    rows = nll_by_row(logits, targets)
    want, why = reduce_nll(sut, rows, counted), f"the {sut.reduction} over counted rows with losses {rows[counted]}"
    require_close(
        "the loss (other values in uncounted rows)", sut.loss_of(spoilt, targets, counted), want, tolerance, why
    )
    if sut.gradient is not None:
        plain, other = (sut.gradient_of(x, targets, counted) for x in (logits, spoilt))
        why = "as with plain numbers in uncounted rows"
        require_close("the gradient (other values in uncounted rows)", other, plain, tolerance, why)
    if not counted.all():
        nothing = np.zeros_like(counted)
        if sut.reduction == "mean":
            require_error("a mean over no row", lambda: sut.loss_of(logits, targets, nothing))
        else:
            require_close(
                "the loss of no row", sut.loss_of(logits, targets, nothing), reduce_nll(sut, rows, nothing), 0
            )


CROSS_ENTROPY_LAWS = (
    log_sum_exp,
    symmetries,
    never_negative,
    uniform_logits,
    gibbs,
    gradient_law,
    only_counted_rows,
)
