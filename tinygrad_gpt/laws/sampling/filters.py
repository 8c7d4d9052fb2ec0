"""Laws of top-k, top-p and min-p: which ids stay, and with what probability (S13 to S22)."""

import itertools
import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.law import Array, Case, LawBroken, law
from tinygrad_gpt.laws.predicates import close_probabilities, holds_top_k
from tinygrad_gpt.laws.sampling import reference
from tinygrad_gpt.laws.sampling.cases import (
    EXACT_LOGITS,
    TIED_LOGITS,
    allowed_ids,
    allowed_k,
    format_array,
    logits_and_settings,
    row_difference,
)
from tinygrad_gpt.laws.sampling.under_test import SamplerUnderTest
from tinygrad_gpt.laws.strategies import dyadic, fractions, ks, logits, logits_of, shapes, temperatures


@st.composite
def _logits_and_k(draw: st.DrawFn, sut: SamplerUnderTest, elements: Any = TIED_LOGITS, unique: bool = False) -> Case:
    """Logits and a k drawn from V."""
    shape = draw(shapes())
    k = draw(ks(shape[-1]))
    return {"logits": draw(logits_of(shape, elements, unique=unique)), "top_k": k}


@law(
    "S13",
    "top-k keeps the k likeliest",
    area="sampling",
    case=_logits_and_k,
    needs=("probabilities", "top_k"),
    mutants=("keeps-k-plus-one", "argpartition", "all-declared-exact", "masks-to-zero"),
    cites=("kingoflolz/mesh-transformer-jax#164",),
)
def keeps_the_k_likeliest(sut: SamplerUnderTest, logits: Array, top_k: int) -> None:
    """The ids that can be drawn are the first min(k, V) by (-x, id). With ties="all": all ids with x >= the k-th
    largest. With ties="any": k ids; the choice among those tied with the k-th is free.
    """
    policy, k = f"ties={sut.ties!r}", allowed_k(sut, top_k, logits.shape[-1])
    for i, (p, x) in enumerate(zip(sut.p(logits, top_k=k), logits, strict=True)):
        if not holds_top_k(p, x, k, sut.ties):
            expected = sorted(reference.top_k_support(x.tolist(), k, sut.ties))
            either = ", or other ids tied with the last" if sut.ties == "any" else ""
            raise LawBroken(f"row {i}: kept {allowed_ids(p)}", f"kept {expected}{either}", policy)


@law(
    "S14",
    "filters keep ratios",
    area="sampling",
    case=lambda sut: logits_and_settings(sut, elements=TIED_LOGITS),
    needs=("probabilities",),
    mutants=("not-renormalised", "masks-to-zero"),
    cites=("skyzh/tiny-llm#32",),
)
def filters_keep_ratios(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any]) -> None:
    """Top-k, top-p and min-p keep ratios: the result is the unfiltered distribution divided by the mass kept."""
    before = sut.p(logits, **{name: settings[name] for name in settings if name == "temperature"})
    after = sut.p(logits, **settings)
    left = np.where(after > 0, before, 0)
    expected = left / left.sum(-1, keepdims=True)
    if not close_probabilities(after, expected, sut.tolerance(1e-9)):
        raise LawBroken(*row_difference(after, expected))


@law(
    "S15",
    "k = 1 and k >= V",
    area="sampling",
    case=_logits_and_k,
    needs=("probabilities", "top_k"),
    mutants=("k-above-v-crashes", "k-above-v-wraps", "one-means-off"),
    cites=("vllm-project/vllm#5404", "vllm-project/tpu-inference#1386"),
)
def ends_of_k(sut: SamplerUnderTest, logits: Array, top_k: int) -> None:
    """k = 1 is greedy (with ties="all": equal shares for the likeliest). k >= V changes nothing (or, by policy, k > V
    is an error).
    """
    V = logits.shape[-1]
    policy = f"ties={sut.ties!r}, large_k={sut.large_k!r}"
    likeliest = logits == logits.max(-1, keepdims=True)
    one = sut.p(logits, top_k=1)
    expected = np.eye(V)[logits.argmax(-1)] if sut.ties == "exact" else likeliest / likeliest.sum(-1, keepdims=True)
    if sut.ties == "any":
        expected = np.where(likeliest & (one > 0), 1.0, 0.0)
    if not close_probabilities(one, expected, sut.tolerance(1e-12)) or not np.allclose(one.sum(-1), 1):
        raise LawBroken(*row_difference(one, expected, " at k = 1"), policy)
    if top_k < V:
        return
    if sut.large_k == "error" and top_k > V:
        try:
            p = sut.p(logits, top_k=top_k)
        except sut.errors:
            return
        raise LawBroken(f"k = {top_k}, V = {V}: {format_array(p)}", "an error", policy)
    p, unlimited = sut.p(logits, top_k=top_k), sut.p(logits)
    if not np.array_equal(p, unlimited):
        raise LawBroken(*row_difference(p, unlimited, f" at k = {top_k}, V = {V}"), policy)


@law(
    "S16",
    "a larger k keeps more",
    area="sampling",
    case=_logits_and_k,
    needs=("probabilities", "top_k"),
    mutants=("k-above-v-wraps",),
)
def larger_k_keeps_more(sut: SamplerUnderTest, logits: Array, top_k: int) -> None:
    """Every id kept by k is kept by k + 1."""
    V = logits.shape[-1]
    less, more = (sut.p(logits, top_k=allowed_k(sut, k, V)) for k in (top_k, top_k + 1))
    for i, (p, q) in enumerate(zip(less, more, strict=True)):
        lost = sorted(set(allowed_ids(p)) - set(allowed_ids(q)))
        if lost:
            raise LawBroken(f"row {i}: k = {top_k} keeps {allowed_ids(p)}, k + 1 drops {lost}", "nothing dropped")


@st.composite
def _small_vocabulary(draw: st.DrawFn, sut: SamplerUnderTest) -> Case:
    """Few enough ids to try all subsets, none of them forbidden, and k <= V."""
    shape = draw(shapes(vocabulary=(1, 7)))
    k = draw(st.integers(1, shape[-1]))
    return {"logits": draw(logits_of(shape, TIED_LOGITS, masked=False)), "top_k": k}


@law(
    "S17",
    "top-k keeps the most mass",
    area="sampling",
    case=_small_vocabulary,
    needs=("probabilities", "top_k"),
    mutants=("keeps-the-unlikeliest", "dropped-mass-to-the-likeliest"),
)
def keeps_most_mass(sut: SamplerUnderTest, logits: Array, top_k: int) -> None:
    """No other k ids have more mass than those that top-k keeps. The total variation to the unfiltered distribution is
    the mass dropped, and the relative entropy is -log of the mass kept.
    """
    for i, (p, q) in enumerate(zip(sut.p(logits), sut.p(logits, top_k=top_k), strict=True)):
        best = max(math.fsum(p[list(ids)]) for ids in itertools.combinations(range(len(p)), top_k))
        kept = math.fsum(p[q > 0])
        if kept < best * (1 - sut.tolerance(1e-12)):
            raise LawBroken(f"row {i}: kept {allowed_ids(q)} of mass {kept:.6g}", f"ids of mass {best:.6g}")
        variation = math.fsum(np.abs(p - q)) / 2
        if abs(variation - (1 - kept)) > sut.tolerance(1e-9):
            raise LawBroken(f"row {i}: total variation {variation:.6g}", f"the mass dropped, {1 - kept:.6g}")
        divergence = math.fsum(q[q > 0] * np.log(q[q > 0] / p[q > 0]))
        if abs(divergence + math.log(kept)) > sut.tolerance(1e-9):
            seen = f"row {i}: relative entropy {divergence:.6g}"
            raise LawBroken(seen, f"-log of the mass kept, {-math.log(kept):.6g}")


@st.composite
def _two_ks(draw: st.DrawFn, sut: SamplerUnderTest) -> Case:
    """Distinct logits, so that the rounding of a logarithm does not matter."""
    shape = draw(shapes())
    first, second = draw(ks(shape[-1])), draw(ks(shape[-1]))
    return {"logits": draw(logits_of(shape, EXACT_LOGITS, unique=True)), "first": first, "second": second}


@law(
    "S18",
    "top-k composes",
    area="sampling",
    case=_two_ks,
    needs=("probabilities", "top_k"),
    mutants=("k-is-a-share-of-what-is-left",),
    cites=("ml-explore/mlx-lm#388",),
)
def top_k_composes(sut: SamplerUnderTest, logits: Array, first: int, second: int) -> None:
    """Top-k after top-k' is top-min(k, k').  (Top-p has no such law: with p = .6, (.5, .3, .2) becomes (.625, .375),
    and that becomes (1, 0).)
    """
    k, n = (allowed_k(sut, value, logits.shape[-1]) for value in (first, second))
    twice, once = sut.p(np.log(sut.p(logits, top_k=k)), top_k=n), sut.p(logits, top_k=min(k, n))
    if not close_probabilities(twice, once, sut.tolerance(1e-9)):
        raise LawBroken(*row_difference(twice, once, " in two steps"))


@st.composite
def _neighbouring_floats(draw: st.DrawFn, sut: SamplerUnderTest) -> Case:
    """Rows of float32 neighbours in any order: dividing by T makes some of them equal."""
    V = draw(st.integers(3, 8))
    start = np.float32(draw(st.sampled_from([1.0, 3.0, 7.0, 11.0, 0.3])))
    steps = np.array([draw(st.permutations(range(V))) for _ in range(3)], np.int32)
    x = (np.array(start).view(np.int32) + steps).view(np.float32)  # number of floats above the start
    T = draw(st.sampled_from([0.7, 0.9, 1.3, 3.0]) | st.floats(0.3, 3.0))
    return {"logits": x, "top_k": draw(st.integers(1, V - 1)), "temperature": T}


@law(
    "S19",
    "top-k ranks the raw logits",
    area="sampling",
    case=_neighbouring_floats,
    needs=("probabilities", "temperature", "top_k"),
    mutants=("ranks-after-dividing",),
)
def ranks_raw_logits(sut: SamplerUnderTest, logits: Array, top_k: int, temperature: float) -> None:
    """The ids that top-k keeps do not depend on the temperature, not even for neighbouring float32 numbers."""
    cold, warm = sut.p(logits, top_k=top_k), sut.p(logits, top_k=top_k, temperature=temperature)
    for i, (p, q) in enumerate(zip(cold, warm, strict=True)):
        if allowed_ids(p) != allowed_ids(q):
            seen = f"row {i}: kept {allowed_ids(q)} at T = {temperature!r}"
            raise LawBroken(seen, f"{allowed_ids(p)}, as at T = 1", f"ties={sut.ties!r}")


@st.composite
def _temperature_and_top_p(draw: st.DrawFn, sut: SamplerUnderTest) -> Case:
    """Distinct logits, T and top_p; sometimes a k before them."""
    if draw(st.booleans()):  # kept is [0]; measured at T = 1 it would be [0, 1]
        return {"logits": np.array([[3.0, 2.0, 1.0]]), "settings": {"temperature": 0.5, "top_p": 0.8}}
    case = draw(logits_and_settings(sut, "top_k", rows=(1, 1), vocabulary=(2, 8), elements=EXACT_LOGITS, unique=True))
    case["settings"] |= {"temperature": draw(temperatures()), "top_p": draw(fractions())}
    return case


@law(
    "S20",
    "the declared order",
    area="sampling",
    case=_temperature_and_top_p,
    needs=("probabilities", "temperature", "top_p"),
    mutants=("temperature-after-top-p",),
    cites=("mlc-ai/mlc-llm#951", "sgl-project/sglang-jax#1563", "timtoole02/Camelid#534"),
)
def declared_order(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any]) -> None:
    """Top-p measures the mass that top-k leaves, at temperature T (policy "temperature last": at temperature 1)."""
    T = settings["temperature"] if sut.order == "temperature first" else 1.0
    _check_prefix(sut, logits, settings, T, f"order={sut.order!r}")


def _check_prefix(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any], T: float, policy: str) -> None:
    """Raise LawBroken unless each row keeps a shortest prefix with mass top_p, after top-k, at temperature T."""
    margin = sut.tolerance(1e-12)
    V = logits.shape[-1]
    for i, (p, row) in enumerate(zip(sut.p(logits, **settings), logits, strict=True)):
        x = row.tolist()
        order = reference.top_k_support(x, settings.get("top_k", V), sut.ties)
        weights = [math.exp((x[id] - x[order[0]]) / T) for id in order]
        lengths = reference.prefix_lengths(weights, settings["top_p"], margin)
        if settings["top_p"] > 1 - margin:
            lengths.append(len(order))  # a sum that is 1 up to rounding
        kept = allowed_ids(p)
        first = order[: len(kept)]
        same = kept == sorted(first) if sut.ties == "exact" else sorted(row[kept]) == sorted(row[first])
        if len(kept) not in lengths or not same:
            wanted = " or ".join(str(sorted(order[:n])) for n in sorted(set(lengths)))
            mass = math.fsum(weights[: len(kept)]) / math.fsum(weights)
            top = f"top {len(kept)} have mass {mass:.6g}"
            raise LawBroken(f"row {i}: kept {kept} ({top})", f"{wanted} for top_p = {settings['top_p']!r}", policy)


@law(
    "S21",
    "min-p's threshold",
    area="sampling",
    case=lambda sut: logits_and_settings(sut, "temperature", "min_p", always=("min_p",), elements=TIED_LOGITS),
    needs=("probabilities", "min_p"),
    mutants=("min-p-on-logits", "min-p-of-the-mean", "temperature-for-the-filter-only"),
    cites=("vllm-project/vllm-metal#728",),
)
def min_p_threshold(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any]) -> None:
    """Min-p keeps exactly the ids at least m times as likely as the likeliest, those with x >= max x + T log m. With
    the policy "temperature last", T is 1 here.
    """
    T = settings.get("temperature", 1.0) if sut.order == "temperature first" else 1.0
    margin = sut.tolerance(1e-9) * max(1.0, T)
    threshold = logits.max(-1) + T * math.log(settings["min_p"])
    for i, (p, x, t) in enumerate(zip(sut.p(logits, **settings), logits, threshold, strict=True)):
        if (p[x > t + margin] == 0).any() or (p[x < t - margin] > 0).any():
            raise LawBroken(f"row {i}: kept {allowed_ids(p)}", f"{allowed_ids(x >= t)}, those with x >= {t:.6g}")
    if "temperature" in settings and not (np.abs(logits - threshold[:, None]) <= margin).any():
        once, first = sut.p(logits, **settings), sut.p(logits, min_p=settings["min_p"] ** T)
        twice = sut.p(np.log(first), temperature=settings["temperature"])
        if not close_probabilities(once, twice, sut.tolerance(1e-9)):
            raise LawBroken(*row_difference(once, twice), f"order={sut.order!r}")


@law(
    "S22",
    "top-p keeps the shortest prefix",
    area="sampling",
    case=lambda sut: logits_and_settings(sut, "top_p", always=("top_p",), elements=TIED_LOGITS),
    needs=("probabilities", "top_p"),
    mutants=("top-p-ascending", "top-p-may-keep-none", "top-p-of-logarithms"),
    cites=("huggingface/transformers#18976", "dmlc/gluon-nlp#1481", "neuralmagic/deepsparse#1291"),
)
def shortest_prefix(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any]) -> None:
    """Top-p keeps the shortest prefix, in the order (-x, id), whose mass reaches p, and at least one id. With
    ties="all" or "any", the order among equal logits is free.
    """
    _check_prefix(sut, logits, settings, 1.0, f"ties={sut.ties!r}")


@st.composite
def _level_logits(draw: st.DrawFn, sut: SamplerUnderTest) -> Case:
    """V equal logits, V a power of 2, and n: all sums are exact."""
    V = draw(st.sampled_from([2, 4, 8, 64]))
    return {"logits": np.full((1, V), draw(dyadic())), "n": draw(st.integers(1, V))}


@law(
    "S36",
    "top-p at an exact sum",
    area="sampling",
    case=_level_logits,
    needs=("probabilities", "top_p"),
    mutants=("top-p-one-too-many",),
    cites=("huggingface/transformers#18976",),
)
def _require_exact_sum(sut: SamplerUnderTest, logits: Array, n: int) -> None:
    """Of V equal logits, V a power of 2, top-p keeps n at p = n/V: a prefix whose mass equals p has reached p."""
    V = logits.shape[-1]
    kept = allowed_ids(sut.p(logits, top_p=n / V)[0])
    if len(kept) != n:
        raise LawBroken(f"kept {len(kept)} of {V} equal logits at top_p = {n / V}", f"kept {n}")


@st.composite
def _logits_and_two_min_ps(draw: st.DrawFn, sut: SamplerUnderTest) -> Case:
    """Logits whose differences are multiples of 1/256, and thresholds whose logarithms are not."""
    values = st.sampled_from([0.3, 0.05, 0.6])
    return {"logits": draw(logits(elements=EXACT_LOGITS)), "first": draw(values), "second": draw(values)}


@law(
    "S37",
    "min-p composes",
    area="sampling",
    case=_logits_and_two_min_ps,
    needs=("probabilities", "min_p"),
    mutants=("min-p-of-the-mean",),
)
def min_p_composes(sut: SamplerUnderTest, logits: Array, first: float, second: float) -> None:
    """Min-p at m after min-p at m' is min-p at max(m, m'). So a second min-p at m changes nothing."""
    twice = sut.p(np.log(sut.p(logits, min_p=first)), min_p=second)
    once = sut.p(logits, min_p=max(first, second))
    if not close_probabilities(twice, once, sut.tolerance(1e-9)):
        raise LawBroken(*row_difference(twice, once, " in two steps"))


FILTER_LAWS = (
    keeps_the_k_likeliest,
    filters_keep_ratios,
    ends_of_k,
    larger_k_keeps_more,
    keeps_most_mass,
    top_k_composes,
    ranks_raw_logits,
    declared_order,
    min_p_threshold,
    shortest_prefix,
    _require_exact_sum,
    min_p_composes,
)
