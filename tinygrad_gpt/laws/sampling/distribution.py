"""Laws of every distribution (S01 to S04) and of the temperature (S05 to S11)."""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.law import Array, Case, LawBroken, cases, law
from tinygrad_gpt.laws.predicates import (
    close_probabilities,
    holds_distribution,
    holds_permutation_equivariance,
    holds_shift_invariance,
    holds_temperature,
    underflow_floor,
)
from tinygrad_gpt.laws.sampling.cases import (
    EXACT_LOGITS,
    TIED_LOGITS,
    format_array,
    logits_and_settings,
    row_difference,
    setting_values,
)
from tinygrad_gpt.laws.sampling.under_test import SamplerUnderTest
from tinygrad_gpt.laws.strategies import dyadic, logits, temperatures

_SMALLEST = 5e-324  # the least number above 0
_UNDERFLOW = 746.0  # exp(-746) is 0 in float64


@law(
    "S01",
    "the result is a distribution",
    area="sampling",
    case=lambda sut: logits_and_settings(sut),
    needs=("probabilities",),
    mutants=("writes-into-its-input", "no-maximum-subtracted", "not-renormalised"),
)
def is_a_distribution(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any]) -> None:
    """The probabilities are finite, not negative, have the logits' shape and sum to 1. The logits do not change."""
    before = logits.copy()
    p = sut.p(logits, **settings)
    if logits.tobytes() != before.tobytes():
        raise LawBroken(f"the logits became {format_array(logits)}", f"unchanged: {format_array(before)}")
    if p.shape != logits.shape or p.dtype.kind != "f":
        raise LawBroken(f"an array of shape {p.shape}, dtype {p.dtype}", f"floats of the logits' shape {logits.shape}")
    if not holds_distribution(p, sut.tolerance(1e-12)):
        raise LawBroken(f"{format_array(p)}, row sums {format_array(p.sum(-1))}", "numbers in [0, 1], row sums 1")


@st.composite
def _shifted_logits(draw: st.DrawFn, sut: SamplerUnderTest) -> Case:
    """Multiples of 1/256 and a temperature that is a power of 2, so that the shift is exact."""
    case = draw(logits_and_settings(sut, "top_k", "top_p", elements=TIED_LOGITS))
    if "temperature" in sut.capabilities:
        case["settings"]["temperature"] = draw(st.sampled_from([1.0, 0.5, 2.0]))
    if "min_p" in sut.capabilities and draw(st.booleans()):
        case["settings"]["min_p"] = draw(st.sampled_from([0.3, 0.05]))
    return case | {"shift": draw(dyadic())}


@law(
    "S02",
    "shift invariance",
    area="sampling",
    case=_shifted_logits,
    needs=("probabilities",),
    mutants=("masks-to-zero", "min-p-on-logits"),
    cites=("MoonshotAI/Kimi-Audio#161",),
)
def shift_invariance(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any], shift: float) -> None:
    """Adding a constant to a row of logits changes no probability. So log-probabilities can be used as logits."""

    def f(x: Array) -> Array:
        return sut.p(x, **settings)

    if not holds_shift_invariance(f, logits, shift, sut.tolerance(1e-12)):
        raise LawBroken(*row_difference(f(logits + shift), f(logits), f" with {shift} added"))


@st.composite
def _permuted_logits(draw: st.DrawFn, sut: SamplerUnderTest) -> Case:
    """Distinct logits: which id stays must then not depend on its number."""
    case = draw(logits_and_settings(sut, elements=EXACT_LOGITS, unique=True))
    return case | {"order": draw(st.permutations(range(case["logits"].shape[-1])))}


@law(
    "S03",
    "permutation equivariance",
    area="sampling",
    case=_permuted_logits,
    needs=("probabilities",),
    mutants=("top-p-mask-not-scattered",),
)
def permutation_equivariance(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any], order: list[int]) -> None:
    """If no two logits are equal, permuting the ids permutes the probabilities."""

    def f(x: Array) -> Array:
        return sut.p(x, **settings)

    if not holds_permutation_equivariance(f, logits, order, sut.tolerance(1e-12)):
        raise LawBroken(*row_difference(f(logits[:, order]), f(logits)[:, order], " for the permuted ids"))


@st.composite
def _batched_settings(draw: st.DrawFn, sut: SamplerUnderTest) -> Case:
    """At least two rows; one value of every setting per row where the sampler takes arrays."""
    case = draw(logits_and_settings(sut, rows=(2, 3), elements=TIED_LOGITS))
    if "per_row" in sut.capabilities and draw(st.booleans()):
        B, V = case["logits"].shape
        for name in sorted(case["settings"]):
            case["settings"][name] = np.array([draw(setting_values(sut, name, V)) for _ in range(B)])
    return case


@law(
    "S04",
    "rows are independent",
    area="sampling",
    case=_batched_settings,
    needs=("probabilities",),
    mutants=("row-zero-threshold", "top-p-of-row-zero"),
    cites=("vllm-project/vllm#50979", "vllm-project/vllm#51226", "vllm-project/vllm-ascend#11419"),
)
def rows_are_independent(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any]) -> None:
    """A row has the same probabilities alone and in any batch."""
    together = sut.p(logits, **settings)
    for i in range(len(logits)):
        own = {name: value[i : i + 1] if isinstance(value, np.ndarray) else value for name, value in settings.items()}
        alone = sut.p(logits[i : i + 1], **own)[0]
        if not close_probabilities(alone, together[i], sut.tolerance(1e-12)):
            seen, wanted = row_difference(together[i : i + 1], alone[None], " in the batch", first_row=i)
            raise LawBroken(seen, f"{wanted}, as alone")


@law(
    "S05",
    "temperature 0 is greedy",
    area="sampling",
    case=lambda sut: cases(logits=logits(), temperature=st.sampled_from([0.0, 0])),
    needs=("results", "temperature"),
    mutants=("zero-temperature-means-one", "greedy-takes-the-last"),
    cites=("inclusionAI/LLaDA2.X#6", "EricLBuehler/mistral.rs#2424"),
)
def zero_is_greedy(sut: SamplerUnderTest, logits: Array, temperature: float) -> None:
    """At temperature 0 the first of the likeliest ids has probability 1 (or, by policy, temperature 0 is an error)."""
    policy = f"zero_temperature={sut.zero_temperature!r}"
    if sut.zero_temperature == "error":
        try:
            seen = sut.results(logits, temperature=temperature)
        except sut.errors:
            return
        raise LawBroken(format_array(seen), "an error", policy)
    seen = sut.results(logits, temperature=temperature)
    likeliest = logits.argmax(-1)
    if "probabilities" in sut.capabilities:
        expected = np.eye(logits.shape[-1])[likeliest]
    else:
        expected = np.repeat(likeliest[:, None], seen.shape[-1], axis=-1)
    if not np.array_equal(seen, expected):
        raise LawBroken(*row_difference(seen, expected), policy)


@law(
    "S06",
    "without settings it is the softmax",
    area="sampling",
    case=lambda sut: cases(logits=logits()),
    needs=("probabilities",),
    mutants=("always-the-argmax", "computes-in-half"),
)
def is_softmax(sut: SamplerUnderTest, logits: Array) -> None:
    """Without settings, and at temperature 1, the probabilities are exp(x) / sum exp(x)."""
    rows = []
    for x in logits.tolist():
        weights = [math.exp(v - max(x)) for v in x]
        rows.append([w / math.fsum(weights) for w in weights])
    expected = np.array(rows)
    for settings in [{}, {"temperature": 1.0}] if "temperature" in sut.capabilities else [{}]:
        p = sut.p(logits, **settings)
        if p.shape != expected.shape or not np.allclose(
            p, expected, rtol=sut.tolerance(1e-12), atol=underflow_floor(sut.rtol)
        ):
            raise LawBroken(*row_difference(p, expected, f" with settings {settings}"))


@law(
    "S07",
    "a tiny temperature",
    area="sampling",
    case=lambda sut: cases(
        logits=logits(elements=TIED_LOGITS), share=st.sampled_from([1.0, 0.5, 1e-3, 1e-30, 0.0]) | st.floats(0.0, 1.0)
    ),
    needs=("probabilities", "temperature"),
    mutants=("divides-before-shifting-in-float32",),
    cites=("vllm-project/vllm#3063", "vllm-project/vllm#1623"),
)
def tiny_temperature(sut: SamplerUnderTest, logits: Array, share: float) -> None:
    """For every T from 5e-324 to (gap to the second likeliest)/746, the likeliest ids share all the mass equally."""
    largest = logits.max(-1, keepdims=True)
    likeliest = logits == largest
    gaps = (largest - logits)[~likeliest & np.isfinite(logits)]
    T = max(_SMALLEST, share * float(gaps.min(initial=1.0)) / _UNDERFLOW)
    p = sut.p(logits, temperature=T)
    expected = likeliest / likeliest.sum(-1, keepdims=True)
    if not np.allclose(p, expected, rtol=sut.tolerance(1e-15), atol=0):
        raise LawBroken(*row_difference(p, expected, f" at T = {T!r}"))


@law(
    "S08",
    "a huge temperature",
    area="sampling",
    case=lambda sut: cases(logits=logits(elements=TIED_LOGITS), temperature=st.sampled_from([1e30, 1e18, 1e300])),
    needs=("probabilities", "temperature"),
    mutants=("forbids-by-minus-1e10",),
)
def huge_temperature(sut: SamplerUnderTest, logits: Array, temperature: float) -> None:
    """For a large T all ids that are not forbidden become equally likely, and a forbidden one stays impossible."""
    possible = logits > -np.inf
    p, expected = sut.p(logits, temperature=temperature), possible / possible.sum(-1, keepdims=True)
    if not np.allclose(p, expected, rtol=sut.tolerance(1e-12), atol=0):
        raise LawBroken(*row_difference(p, expected))


@law(
    "S09",
    "temperatures multiply",
    area="sampling",
    case=lambda sut: cases(logits=logits(elements=TIED_LOGITS), first=temperatures(), second=temperatures()),
    needs=("probabilities", "temperature"),
    mutants=("temperature-has-a-floor",),
    cites=("RL-Align/RL-Kernel#81",),
)
def temperatures_multiply(sut: SamplerUnderTest, logits: Array, first: float, second: float) -> None:
    """Applying T1 and then T2 to the log-probabilities is the same as applying T1 T2.

    Rows in which T1 makes a probability too small for an exact logarithm are left out.
    """
    known = [_fit_for_logarithms(x, first, underflow_floor(sut.rtol)) for x in logits]
    twice = sut.p(np.log(sut.p(logits, temperature=first)), temperature=second)[known]
    once = sut.p(logits, temperature=first * second)[known]
    if not np.allclose(twice, once, rtol=sut.tolerance(1e-6), atol=1e-9, equal_nan=True):
        raise LawBroken(*row_difference(twice, once, f" in two steps instead of at T = {first * second!r}"))


def _fit_for_logarithms(x: Array, temperature: float, least: float) -> bool:
    """Whether every id of a row that is not forbidden has at least this probability at this temperature."""
    weights = np.exp((x - x.max()) / temperature)
    return bool(((weights >= least * weights.sum()) | (x == -np.inf)).all())


@law(
    "S10",
    "temperature divides logits",
    area="sampling",
    case=lambda sut: cases(logits=logits(elements=EXACT_LOGITS), temperature=temperatures()),
    needs=("probabilities", "temperature"),
    mutants=("temperature-twice", "temperature-ignored", "low-temperatures-are-one"),
    cites=("google/gemma.cpp#981",),
)
def temperature_divides(sut: SamplerUnderTest, logits: Array, temperature: float) -> None:
    """log(p_i / p_j) = (x_i - x_j) / T for all ids that are not forbidden."""
    for i, (row, x) in enumerate(zip(sut.p(logits, temperature=temperature), logits, strict=True)):
        weights = np.exp((x - x.max()) / temperature)
        p = weights / weights.sum()
        missing = (p > 2 * underflow_floor(sut.rtol)) & ~(row > 0)
        if missing.any() or row[p == 0].any() or not holds_temperature(row, x, temperature, sut.tolerance(1e-9)):
            raise LawBroken(*row_difference(row[None], p[None], first_row=i))


@law(
    "S11",
    "entropy grows with temperature",
    area="sampling",
    case=lambda sut: cases(
        logits=logits(elements=TIED_LOGITS), temperature=temperatures(), factor=st.sampled_from([1.1, 2, 9])
    ),
    needs=("probabilities", "temperature"),
    mutants=("temperature-multiplies",),
    cites=("UKGovernmentBEIS/inspect_ai#266",),
)
def entropy_grows(sut: SamplerUnderTest, logits: Array, temperature: float, factor: float) -> None:
    """A higher temperature never lowers the entropy, and never raises the mass of the n likeliest ids, for any n."""
    cold, warm = sut.p(logits, temperature=temperature), sut.p(logits, temperature=temperature * factor)
    for i, (p, q) in enumerate(zip(cold, warm, strict=True)):
        if _entropy(q) < _entropy(p) - sut.tolerance(1e-9):
            raise LawBroken(f"row {i}: entropy {_entropy(q):.9g}, at the lower T {_entropy(p):.9g}", "no less")
        heads = np.cumsum(np.sort(p)[::-1]) - np.cumsum(np.sort(q)[::-1])
        if (heads < -sut.tolerance(1e-9)).any():
            n = int(heads.argmin()) + 1
            raise LawBroken(
                f"row {i}: the {n} likeliest ids gain {-heads.min():.3g} of mass at the higher T", "no gain"
            )


def _entropy(p: Array) -> float:
    """-sum p log p of one row, in nats."""
    possible = p[p > 0]
    return float(-(possible * np.log(possible)).sum())


DISTRIBUTION_LAWS = (
    is_a_distribution,
    shift_invariance,
    permutation_equivariance,
    rows_are_independent,
    zero_is_greedy,
    is_softmax,
    tiny_temperature,
    huge_temperature,
    temperatures_multiply,
    temperature_divides,
    entropy_grows,
)
