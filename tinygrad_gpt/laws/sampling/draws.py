"""Laws of the draw (S26 to S28), of uniform numbers (S29, S42), and of the drawn tokens (S31, S32, S38, S41).

The draw is checked on a grid of u, which needs no statistics: an inverse transform gives id i for an interval of u of
length p_i.  Tokens are counted only where nothing else is visible.
"""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.law import Array, Case, LawBroken, cases, law
from tinygrad_gpt.laws.predicates import holds_monotone_draw, holds_stratified_counts
from tinygrad_gpt.laws.sampling import reference
from tinygrad_gpt.laws.sampling.cases import (
    EXACT_LOGITS,
    allowed_ids,
    format_array,
    logits_and_settings,
    settings_for,
    uniform_grid,
)
from tinygrad_gpt.laws.sampling.under_test import SamplerUnderTest
from tinygrad_gpt.laws.statistics import assert_frequencies, assert_uniform
from tinygrad_gpt.laws.strategies import N_SEEDS, arrays, logits, normal, seeds, unit

GPT2_VOCABULARY = 50257
_LEAST_SLICE = 2.0**-50  # what a running sum in float64 can still tell from 0
_ALMOST_ONE = 1 - 2.0**-53
_FINE_GRID = 2**20  # parts of [0, 1): with 4,096 a running sum in float32 would not be noticed
N_DRAWS = 20_000
N_TOKENS_PER_SEED = 128  # enough to distinguish two seeds


def _full_size_distribution(name: str) -> Array:
    """Four distributions over GPT-2's vocabulary in float32, and a tiny one that is as uneven as float64 allows."""
    V = GPT2_VOCABULARY
    rank = np.arange(1.0, V + 1)
    shapes = {
        "uniform": np.ones(V),
        "softmax of N(0, 4)": np.exp(2 * normal(0, (V,))),
        "1/rank": 1 / rank,
        "1/rank^2": 1 / rank**2,
    }
    if name == "uneven":
        return np.array([0.0, 2.0**-50, 0.5, 0.0, 2.0**-40, 0.5 - 2.0**-39, 2.0**-49, 0.0])
    return (shapes[name] / shapes[name].sum()).astype(np.float32)


_FULL_SIZE = ("uniform", "softmax of N(0, 4)", "1/rank", "1/rank^2", "uneven")


@st.composite
def _softmax_with_zeros(draw: st.DrawFn, sut: SamplerUnderTest) -> Case:
    """A distribution in float64 as from a softmax, with a rounded sum; impossible ids at both ends."""
    weights = draw(arrays((draw(st.integers(1, 40)),), st.sampled_from([1, 3, 0, 10]) | st.integers(0, 10**6)))
    weights[0] += 1
    first, last = (np.zeros(draw(st.integers(0, 2))) for _ in range(2))
    weights = np.concatenate([first, weights, last])
    return {"p": weights / weights.sum(), "u": draw(arrays((8,), unit()))}


@law(
    "S26",
    "the draw rises with u",
    area="sampling",
    level="stratified",
    case=_softmax_with_zeros,
    needs=("draw",),
    mutants=("draws-with-side-left", "draws-with-u-unscaled", "draws-scaled-by-the-sum"),
    cites=("NVIDIA/Megatron-Energon#260", "hunkim/word-rnn-tensorflow#67", "huggingface/swift-transformers#384"),
)
def draw_rises_with_u(sut: SamplerUnderTest, p: Array, u: Array) -> None:
    """A larger u never draws a lower id. u = 0 draws the first possible id, u = 1 - 2^-53 the last. An id with p = 0 is
    never drawn.
    """
    possible = allowed_ids(p)
    ends = sut.draw_ids(p, np.array([0.0, _ALMOST_ONE])).tolist()
    if ends != [possible[0], possible[-1]]:
        raise LawBroken(
            f"u = 0 and u = 1 - 2^-53 drew {ends}", f"{[possible[0], possible[-1]]}, the ends of the support"
        )
    if not holds_monotone_draw(sut.draw_ids, p, u):
        drawn = sut.draw_ids(p, np.sort(u)).tolist()
        raise LawBroken(f"sorted u drew {drawn}", f"ids in rising order, of {possible}")


@law(
    "S27",
    "counts on a grid",
    area="sampling",
    level="stratified",
    case=lambda sut: cases(distribution=st.sampled_from(_FULL_SIZE)),
    needs=("draw",),
    mutants=("draws-by-float32-sums", "draws-the-argmax"),
)
def counts_on_a_grid(sut: SamplerUnderTest, distribution: str) -> None:
    """For u = (j + 1/2) / 2^20 every id is drawn 2^20 p times ± 1, over GPT-2's 50,257 ids in float32."""
    p = _full_size_distribution(distribution)
    ids = sut.draw_ids(p, uniform_grid(_FINE_GRID))
    if not holds_stratified_counts(ids, p, sut.slice_tolerance):
        if ids.min() < 0 or ids.max() >= len(p):
            raise LawBroken(f"ids from {ids.min()} to {ids.max()}", f"ids from 0 to {len(p) - 1}")
        expected = _FINE_GRID * p / p.sum(dtype=np.float64)
        counts = np.bincount(ids, minlength=len(p))
        worst = int(np.abs(counts - expected).argmax())
        raise LawBroken(f"id {worst} drawn {counts[worst]} times", f"{expected[worst]:.2f} ± 1 times")


@law(
    "S28",
    "every possible id can be drawn",
    area="sampling",
    level="stratified",
    case=lambda sut: cases(distribution=st.sampled_from(_FULL_SIZE)),
    needs=("draw",),
    mutants=("draws-by-float32-sums", "draws-with-float32-u"),
    cites=("vllm-project/vllm#43150",),
)
def every_id_can_be_drawn(sut: SamplerUnderTest, distribution: str) -> None:
    """Every id with p >= 2^-50 (for token_u: 4 rtol) is drawn by the middle of its slice, over GPT-2's 50,257 ids in
    float32.
    """
    p = _full_size_distribution(distribution).astype(np.float64)
    ids = np.flatnonzero(p >= max(_LEAST_SLICE, 4 * sut.slice_tolerance))
    sums = np.cumsum(p)
    middles = (sums[ids] - p[ids] / 2) / sums[-1]
    drawn = sut.draw_ids(_full_size_distribution(distribution), middles)
    wrong = np.flatnonzero(drawn != ids)
    if len(wrong):
        u, seen, id = middles[wrong[0]], drawn[wrong[0]], ids[wrong[0]]
        raise LawBroken(f"{len(wrong)} ids missed; u = {u} drew {seen}", f"{id}, of probability {p[id]:.3g}")


@law(
    "S29",
    "uniform numbers are a function of seed, row and position",
    area="sampling",
    case=lambda sut: cases(
        seed=seeds().map(lambda seed: min(seed, N_SEEDS - 3)), row=st.integers(0, 1000), position=st.integers(0, 2000)
    ),
    needs=("uniforms",),
    mutants=(
        "uniforms-from-the-global-generator",
        "uniforms-ignore-the-row",
        "uniforms-keyed-by-seed-plus-row",
        "uniforms-keyed-through-floats",
        "uniforms-reach-one",
        "uniforms-of-24-bits",
    ),
    cites=("tenstorrent/tt-metal#53802",),
)
def uniforms_are_pure(sut: SamplerUnderTest, seed: int, row: int, position: int) -> None:
    """Uniform numbers depend on (seed, row, position) alone. Neighbours differ. All are in [0, 1), also for words of
    all zeros or all ones. They have more than float32's 24 bits. Known numbers are reproduced.
    """
    assert sut.uniforms is not None
    rows, positions = row + np.arange(4)[:, None], position + np.arange(6)
    block = np.stack([np.asarray(sut.uniforms(seed + i, rows, positions)) for i in range(3)])  # (seed, row, position)
    if block.shape != (3, 4, 6):
        raise LawBroken(f"shape {block.shape[1:]} for rows (4, 1) and positions (6,)", "(4, 6)")
    again = np.asarray(sut.uniforms(seed + 1, np.array([row + 2]), np.array([position + 5])))
    if again.tolist() != [block[1, 2, 5]]:
        raise LawBroken(f"computed alone: {again.tolist()}", f"the same as in a block: {block[1, 2, 5]}")
    if not ((block >= 0) & (block < 1)).all():
        raise LawBroken(f"numbers from {block.min()} to {block.max()}", "numbers in [0, 1)")
    if len(np.unique(block)) < block.size:
        raise LawBroken(
            f"{block.size - len(np.unique(block))} equal numbers in {block.size}", "none at adjacent positions"
        )
    if (block.astype(np.float32) == block).all():
        raise LawBroken("no number needs more than 24 bits", "53 random bits: ids of probability below 2^-24 need them")
    if sut.to_unit is not None:
        ends = np.asarray(sut.to_unit(np.array([0, 2**64 - 1], np.uint64))).tolist()
        if not (0 <= ends[0] < 1 and 0 <= ends[1] < 1):
            raise LawBroken(f"words of all zeros and all ones give {ends}", "numbers in [0, 1)")
    for (s, r, t), known in (sut.known_uniforms or {}).items():
        found = float(np.asarray(sut.uniforms(s, np.array([r]), np.array([t])))[0])
        if found != known:
            raise LawBroken(f"{found!r} for seed {s}, row {r}, position {t}", f"{known!r}")


@law(
    "S42",
    "uniform numbers are uniform",
    area="sampling",
    level="statistical",
    case=lambda sut: cases(seed=seeds(), row=st.integers(0, 1000), position=st.integers(0, 2000)),
    needs=("uniforms",),
    mutants=("uniforms-added-up",),
    examples=3,
)
def uniforms_are_uniform(sut: SamplerUnderTest, seed: int, row: int, position: int) -> None:
    """20,000 uniform numbers, of 20 rows at 1,000 positions, are uniform on [0, 1) (Kolmogorov-Smirnov, alpha 1e-9). A
    distribution function that is off by 0.035 anywhere is noticed in 99 of 100 runs.
    """
    assert sut.uniforms is not None
    assert_uniform(sut.uniforms(seed, row + np.arange(20)[:, None], position + np.arange(N_DRAWS // 20)))


@st.composite
def _seeded_draws(draw: st.DrawFn, sut: SamplerUnderTest) -> Case:
    """Six logits that differ enough for 20,000 draws, settings, and the seed of the draws."""
    settings = draw(settings_for(sut, 6, sut.settings))
    if "temperature" in settings:
        settings["temperature"] = draw(st.sampled_from([0.5, 0.8, 1.5]))
    x = 2 * normal(draw(st.integers(0, 2**32)), (1, 6))
    return {"logits": x, "settings": settings, "seed": draw(seeds())}


@law(
    "S31",
    "goodness of fit",
    area="sampling",
    level="statistical",
    case=_seeded_draws,
    needs=("tokens",),
    mutants=("gumbel-with-the-wrong-sign",),
    cites=("chainer/chainerrl#104", "pytorch/pytorch#22442", "pytorch/pytorch#20179"),
    examples=3,
)
def goodness_of_fit(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any], seed: int) -> None:
    """20,000 tokens drawn from six fixed logits have the probabilities that the settings give (relative entropy, alpha
    1e-9). A total variation of 0.041 is noticed in 99 of 100 runs.
    """
    tokens = sut.tokens(logits[0], seed, N_DRAWS, **settings)
    assert_frequencies(_count_ids(tokens, logits.shape[-1]), _expected_p(sut, logits, settings))


@law(
    "S32",
    "tokens are independent",
    area="sampling",
    level="statistical",
    case=lambda sut: cases(
        logits=logits(rows=(1, 1), vocabulary=(2, 4), elements=EXACT_LOGITS, masked=False), seed=seeds()
    ),
    needs=("tokens",),
    mutants=("every-uniform-number-twice",),
    examples=3,
)
def tokens_are_independent(sut: SamplerUnderTest, logits: Array, seed: int) -> None:
    """In 10,000 pairs of successive tokens from two to four fixed logits, the pair (i, j) has the probability p_i p_j
    (relative entropy, alpha 1e-9). A total variation of 0.068 is noticed in 99 of 100 runs.
    """
    V = logits.shape[-1]
    first, second = sut.tokens(logits[0] / 8, seed, N_DRAWS).reshape(-1, 2).T
    p = _expected_p(sut, logits / 8, {})
    assert_frequencies(_count_ids(first * V + second, V * V), np.outer(p, p).reshape(-1))


@law(
    "S41",
    "one seed, one stream",
    area="sampling",
    level="statistical",
    case=lambda sut: cases(
        logits=logits(rows=(1, 1), vocabulary=(2, 4), elements=EXACT_LOGITS, masked=False),
        seed=seeds().map(lambda seed: min(seed, N_SEEDS - 3)),
    ),
    needs=("tokens",),
    mutants=("tokens-ignore-the-seed", "tokens-from-the-global-generator"),
    examples=3,
)
def a_seed_a_stream(sut: SamplerUnderTest, logits: Array, seed: int) -> None:
    """One seed gives the same tokens twice. Seeds s, s + 1 and s + 2 give different tokens within 128 draws (of logits
    for which two streams are equal by chance less than once in 10^9 runs).
    """
    x = logits[0] / 8  # within [-1, 1]: two draws are equal with probability at most 0.79, and 3 * 0.79^128 < 1e-12
    streams = [sut.tokens(x, seed + i, N_TOKENS_PER_SEED).tolist() for i in range(3)]
    again = sut.tokens(x, seed, N_TOKENS_PER_SEED).tolist()
    if again != streams[0]:
        raise LawBroken(
            f"seed {seed} drew {format_array(streams[0])}, then {format_array(again)}", "the same tokens both times"
        )
    for i, j in ((0, 1), (0, 2), (1, 2)):
        if streams[i] == streams[j]:
            raise LawBroken(f"seeds {seed + i} and {seed + j} both drew {format_array(streams[i])}", "other tokens")


@law(
    "S38",
    "from logits to tokens, on a grid",
    area="sampling",
    level="stratified",
    case=lambda sut: logits_and_settings(sut, rows=(1, 1), vocabulary=(1, 8), elements=EXACT_LOGITS, unique=True),
    needs=("ids",),
    mutants=("ids-count-from-one",),
)
def whole_way_on_a_grid(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any]) -> None:
    """For u = (j + 1/2) / 4096, every id is drawn 4096 p ± 1 times, with p by the logits and the settings."""
    ids = sut.ids(logits[0], uniform_grid(4096), **settings)
    counts, p = _count_ids(ids, logits.shape[-1]), _expected_p(sut, logits, settings)
    if (np.abs(counts - 4096 * p) > 1).any():
        raise LawBroken(f"counts {format_array(counts)}", format_array(4096 * p))


def _expected_p(sut: SamplerUnderTest, logits: Array, settings: dict[str, Any]) -> Array:
    """The reference sampler's p for one row, in the declared order; the logits are distinct, so there are no ties."""
    T = settings.get("temperature", 1.0)
    if sut.order == "temperature last" and T != 1:
        x = np.log(reference.probabilities(logits, **settings | {"temperature": 1.0}))
        return reference.probabilities(x, temperature=T)[0]
    return reference.probabilities(logits, **settings)[0]


def _count_ids(ids: Array, V: int) -> Array:
    """How often each of V ids occurs.  Raises LawBroken for other ids."""
    if len(ids) and (min(ids) < 0 or max(ids) >= V):
        raise LawBroken(f"ids from {min(ids)} to {max(ids)}", f"ids from 0 to {V - 1}")
    return np.bincount(ids, minlength=V)


DRAW_LAWS = (
    draw_rises_with_u,
    counts_on_a_grid,
    every_id_can_be_drawn,
    uniforms_are_pure,
    uniforms_are_uniform,
    goodness_of_fit,
    tokens_are_independent,
    a_seed_a_stream,
    whole_way_on_a_grid,
)
