"""Broken samplers: each the shortest form of a mistake that was published or is easily made.

Each declares only the settings that its mistake is about.  Broken draws and random numbers are in draws.py.
"""

from collections.abc import Callable
from inspect import cleandoc
from typing import Any

import numpy as np

from tinygrad_gpt.laws.law import Array
from tinygrad_gpt.laws.mutation import Mutant
from tinygrad_gpt.laws.sampling.under_test import SamplerUnderTest


def softmax(x: Array) -> Array:
    """Right: exp(x - max x) / sum, rows along the last axis, in float64."""
    weights = np.exp(np.asarray(x, np.float64) - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def softmax_at(x: Array, T: float) -> Array:
    """Right: the softmax of x / T, T > 0, with the maximum taken off first."""
    return softmax((np.asarray(x, np.float64) - x.max(-1, keepdims=True)) / T)


def ranks(x: Array) -> Array:
    """Right: 0 for the likeliest id of a row, ties by id."""
    return np.argsort(np.argsort(-x, axis=-1, kind="stable"), axis=-1)


PROBABILITY_MUTANTS: list[Mutant] = []


def mutant(*capabilities, cites=(), ties="exact"):
    """The function below becomes the probabilities of a mutant with the same name; its docstring is the story."""

    def add(broken):
        name = broken.__name__.replace("_", "-")
        options = {"probabilities": broken, "capabilities": frozenset(capabilities), "ties": ties}
        PROBABILITY_MUTANTS.append(
            Mutant(name, SamplerUnderTest(name=name, **options), cleandoc(broken.__doc__), cites)
        )
        return broken

    return add


@mutant("temperature")
def writes_into_its_input(logits: Array, temperature: float = 1.0) -> Array:
    """Divides the caller's logits in place: later readers see other numbers."""
    logits /= temperature
    return softmax(logits)


@mutant()
def no_maximum_subtracted(logits: Array) -> Array:
    """exp of a logit of 1,000 is inf, and inf / inf is nan."""
    weights = np.exp(logits)
    return weights / weights.sum(-1, keepdims=True)


@mutant()
def always_the_argmax(logits: Array) -> Array:
    """Always greedy, whatever the settings: every generation is the same."""
    return np.eye(logits.shape[-1])[logits.argmax(-1)]


@mutant()
def computes_in_half(logits: Array) -> Array:
    """Softmax in float16: three digits."""
    return softmax(logits.astype(np.float16)).astype(np.float64)


@mutant(cites=("NVIDIA/Megatron-LM#7182",))
def float32_goes_to_half(logits: Array) -> Array:
    """Converts float32 logits to float16: tests that use float64 do not notice."""
    return softmax(logits.astype(np.float16) if logits.dtype == np.float32 else logits)


def renormalised(p: Array, kept: Array) -> Array:
    """Right: p of the ids kept, divided by their mass."""
    return np.where(kept, p, 0) / np.where(kept, p, 0).sum(-1, keepdims=True)


@mutant()
def float32_drops_rare_ids(logits: Array) -> Array:
    """In float32 probabilities below 1e-6 become 0: rare ids are never drawn."""
    p = softmax(logits)
    return renormalised(p, p >= 1e-6) if logits.dtype == np.float32 else p


@mutant()
def reads_memory_in_order(logits: Array) -> Array:
    """Reads the buffer instead of the array: a transposed view gives other rows."""
    return softmax(np.ravel(logits, order="K").reshape(logits.shape))


@mutant()
def squeezes_a_single_row(logits: Array) -> Array:
    """Drops axes of length 1: a batch of one row, or one id, changes shape."""
    return softmax(logits).squeeze()


@mutant("temperature")
def total_from_float32_sums(logits: Array, temperature: float = 1.0) -> Array:
    """Divides by the last of a float32 running sum, which over 50,257 ids is off by 1e-4."""
    weights = np.exp((logits - logits.max(-1, keepdims=True)) / temperature)
    return weights / weights.cumsum(-1)[..., -1:]


@mutant("temperature")
def temperature_twice(logits: Array, temperature: float = 1.0) -> Array:
    """Divides by T in two places."""
    return softmax_at(logits, temperature * temperature)


@mutant("temperature", cites=("google/gemma.cpp#981",))
def temperature_ignored(logits: Array, temperature: float = 1.0) -> Array:
    """Ignores the temperature."""
    return softmax(logits)


@mutant("temperature")
def temperature_multiplies(logits: Array, temperature: float = 1.0) -> Array:
    """Multiplies by T instead of dividing."""
    return softmax(logits * temperature)


@mutant("temperature")
def temperature_has_a_floor(logits: Array, temperature: float = 1.0) -> Array:
    """Silently raises a temperature below 0.5 to 0.5."""
    return softmax_at(logits, max(temperature, 0.5))


@mutant("temperature")
def low_temperatures_are_one(logits: Array, temperature: float = 1.0) -> Array:
    """`0 < T > 0.3` was meant to be `0 < T < 0.3`: temperatures up to 0.3 become 1."""
    return softmax_at(logits, temperature if 0 < temperature > 0.3 else 1.0)


@mutant("temperature", cites=("inclusionAI/LLaDA2.X#6",))
def zero_temperature_means_one(logits: Array, temperature: float = 1.0) -> Array:
    """`temperature or 1.0`: 0 is false, so greedy decoding samples."""
    return softmax_at(logits, temperature or 1.0)


@mutant("temperature")
def greedy_takes_the_last(logits: Array, temperature: float = 1.0) -> Array:
    """Takes the last of a stable sort: among equal logits the highest id."""
    if temperature == 0:
        return np.eye(logits.shape[-1])[np.argsort(logits, axis=-1, kind="stable")[:, -1]]
    return softmax_at(logits, temperature)


@mutant("temperature", cites=("vllm-project/vllm#3063",))
def divides_before_shifting_in_float32(logits: Array, temperature: float = 1.0) -> Array:
    """x / T overflows for a tiny T, and inf - inf is nan."""
    return softmax(logits.astype(np.float32) / np.float32(temperature))


@mutant("temperature")
def forbids_by_minus_1e10(logits: Array, temperature: float = 1.0) -> Array:
    """-1e10 instead of minus infinity: at a high temperature forbidden ids come back."""
    return softmax_at(np.where(np.isneginf(logits), -1e10, logits), temperature)


@mutant(cites=("pytorch/pytorch#48841",))
def forbids_by_minus_30(logits: Array) -> Array:
    """-30 instead of minus infinity: forbidden ids are sometimes drawn."""
    return softmax(np.where(np.isneginf(logits), -30.0, logits))


@mutant(cites=("JustVugg/colibri#369",))
def nan_becomes_zero(logits: Array) -> Array:
    """nan_to_num before the softmax: a broken model goes on generating."""
    return softmax(np.nan_to_num(logits, nan=0.0, posinf=1e9, neginf=-1e9))


@mutant("temperature")
def true_is_one(logits: Array, temperature: float = 1.0) -> Array:
    """True is accepted as temperature 1: a flag in the wrong place is not noticed."""
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature must be above 0; got {temperature}")
    return softmax_at(logits, temperature)


@mutant("top_k")
def keeps_k_plus_one(logits: Array, top_k: int) -> Array:
    """`>` for `>=`: one id too many."""
    return softmax(np.where(ranks(logits) > top_k, -np.inf, logits))


@mutant("top_k", ties="all", cites=("vllm-project/vllm#51226",))
def row_zero_threshold(logits: Array, top_k: int | None = None) -> Array:
    """Row 0's k-th largest logit for the whole batch: right for every batch of one."""
    if top_k is None:
        return softmax(logits)
    kth = np.sort(logits[0])[-min(top_k, logits.shape[-1])]
    return softmax(np.where(logits < min(kth, logits.max()), -np.inf, logits))


@mutant("top_k")
def argpartition(logits: Array, top_k: int) -> Array:
    """argpartition picks among equal logits as it pleases."""
    k = min(top_k, logits.shape[-1])
    kept = np.argpartition(logits, -k, axis=-1)[:, -k:]
    x = np.full_like(logits, -np.inf)
    np.put_along_axis(x, kept, np.take_along_axis(logits, kept, -1), -1)
    return softmax(x)


@mutant("top_k")
def all_declared_exact(logits: Array, top_k: int) -> Array:
    """Keeps all ids tied with the k-th, though it declares exactly k."""
    kth = np.sort(logits, axis=-1)[:, -min(top_k, logits.shape[-1]), None]
    return softmax(np.where(logits < kth, -np.inf, logits))


@mutant("top_k")
def masks_to_zero(logits: Array, top_k: int | None = None) -> Array:
    """A dropped logit becomes 0, which is likely where the others are negative."""
    return softmax(logits if top_k is None else np.where(ranks(logits) >= top_k, 0.0, logits))


@mutant("top_k")
def not_renormalised(logits: Array, top_k: int | None = None) -> Array:
    """Sets dropped ids to 0, but does not divide by the remaining mass."""
    return softmax(logits) * (ranks(logits) < (top_k or logits.shape[-1]))


@mutant("top_k")
def dropped_mass_to_the_likeliest(logits: Array, top_k: int | None = None) -> Array:
    """Gives the dropped mass to the likeliest id instead of dividing by the rest."""
    p, order = softmax(logits), ranks(logits)
    kept = np.where(order < (top_k or logits.shape[-1]), p, 0)
    return np.where(order == 0, kept + 1 - kept.sum(-1, keepdims=True), kept)


@mutant("top_k", cites=("TransformerLensOrg/TransformerLens#1347",))
def k_above_v_crashes(logits: Array, top_k: int | None = None) -> Array:
    """k = 50 with a vocabulary of 40: IndexError."""
    if top_k is None:
        return softmax(logits)
    kept = np.argsort(-logits, axis=-1, kind="stable")[:, np.arange(top_k)]
    x = np.full_like(logits, -np.inf)
    np.put_along_axis(x, kept, np.take_along_axis(logits, kept, -1), -1)
    return softmax(x)


@mutant("top_k")
def k_above_v_wraps(logits: Array, top_k: int | None = None) -> Array:
    """k is taken modulo V: V + 1 keeps a single id."""
    V = logits.shape[-1]
    return softmax(logits if top_k is None else np.where(ranks(logits) > (top_k - 1) % V, -np.inf, logits))


@mutant("top_k")
def one_means_off(logits: Array, top_k: int | None = None) -> Array:
    """`if top_k > 1`: k = 1, which should be greedy, has no effect."""
    return softmax(np.where(ranks(logits) >= top_k, -np.inf, logits) if top_k and top_k > 1 else logits)


@mutant("top_k")
def keeps_the_unlikeliest(logits: Array, top_k: int | None = None) -> Array:
    """Sorts in the wrong direction: the unlikeliest ids stay."""
    return softmax(logits if top_k is None else np.where(ranks(-logits) >= top_k, -np.inf, logits))


@mutant("top_k")
def k_is_a_share_of_what_is_left(logits: Array, top_k: int) -> Array:
    """Scales k by the share of ids that an earlier filter left, so that two filters keep less than either."""
    finite = np.isfinite(logits).sum(-1, keepdims=True)
    k = np.maximum(1, np.minimum(top_k, logits.shape[-1]) * finite // logits.shape[-1])
    return softmax(np.where(ranks(logits) >= k, -np.inf, logits))


@mutant("top_k", "temperature")
def ranks_after_dividing(logits: Array, top_k: int, temperature: float = 1.0) -> Array:
    """Ranks x / T: in float32 the division makes neighbouring numbers equal, and the wrong ids stay."""
    x = logits / logits.dtype.type(temperature)
    return softmax(np.where(ranks(x) >= top_k, -np.inf, x))


@mutant("top_k")
def k_of_at_most_1024(logits: Array, top_k: int) -> Array:
    """A kernel that sorts 1,024 candidates, whatever k is."""
    return softmax(np.where(ranks(logits) >= min(top_k, 1024), -np.inf, logits))


def top_p_mask(p: Array, top_p: float, reached: Callable[[Array, float], Array]) -> Array:
    """The ids that stay: those for which the mass of the likelier ids has not reached top_p."""
    order = np.argsort(-p, axis=-1, kind="stable")
    sorted_p = np.take_along_axis(p, order, -1)
    kept = np.zeros(p.shape, bool)
    np.put_along_axis(kept, order, ~reached(sorted_p.cumsum(-1) - sorted_p, top_p), -1)
    return kept


def at_least(mass: Array, top_p: float) -> Array:
    """Right: whether the mass has reached top_p; never for top_p = 1, so that every id stays."""
    return mass >= top_p if top_p < 1 else np.zeros(mass.shape, bool)


@mutant("temperature", "top_p", cites=("mlc-ai/mlc-llm#951", "sgl-project/sglang-jax#1563"))
def temperature_after_top_p(logits: Array, temperature: float = 1.0, top_p: float = 1.0) -> Array:
    """Top-p before the temperature, though the other order is declared."""
    kept = top_p_mask(softmax(logits), top_p, at_least)
    return softmax_at(np.where(kept, logits, -np.inf), temperature)


@mutant("top_p")
def top_p_mask_not_scattered(logits: Array, top_p: float = 1.0) -> Array:
    """The mask of the sorted ids is used on the unsorted ones."""
    p = softmax(logits)
    sorted_p = np.sort(p, axis=-1)[:, ::-1]
    return renormalised(p, ~at_least(sorted_p.cumsum(-1) - sorted_p, top_p))


@mutant("top_p", "per_row")
def top_p_of_row_zero(logits: Array, top_p: Any = 1.0) -> Array:
    """Uses row 0's top-p for every row: one request's setting applies to its whole batch."""
    p = softmax(logits)
    return renormalised(p, top_p_mask(p, float(np.ravel(top_p)[0]), at_least))


@mutant("top_p")
def top_p_ascending(logits: Array, top_p: float = 1.0) -> Array:
    """Sums from the unlikeliest id on: the tail stays."""
    p = softmax(logits)
    kept = np.zeros(p.shape, bool)
    order = np.argsort(p, axis=-1, kind="stable")
    sorted_p = np.take_along_axis(p, order, -1)
    np.put_along_axis(kept, order, ~at_least(sorted_p.cumsum(-1) - sorted_p, top_p), -1)
    return renormalised(p, kept)


@mutant("top_p", cites=("huggingface/transformers#18976",))
def top_p_one_too_many(logits: Array, top_p: float = 1.0) -> Array:
    """`>` for `>=`: where the mass is p exactly, one id too many."""
    p = softmax(logits)
    return renormalised(p, top_p_mask(p, top_p, lambda mass, limit: mass > limit))


@mutant("top_p", cites=("dmlc/gluon-nlp#1481",))
def top_p_may_keep_none(logits: Array, top_p: float = 1.0) -> Array:
    """Keeps ids while the sum is at most p: if the likeliest id is above p, nothing stays."""
    p = softmax(logits)
    order = np.argsort(-p, axis=-1, kind="stable")
    kept = np.zeros(p.shape, bool)
    np.put_along_axis(kept, order, np.take_along_axis(p, order, -1).cumsum(-1) <= top_p, -1)
    return renormalised(p, kept)


@mutant("top_p")
def top_p_of_logarithms(logits: Array, top_p: float = 1.0) -> Array:
    """Sums log-probabilities as if they were probabilities."""
    p = softmax(logits)
    order = np.argsort(-p, axis=-1, kind="stable")
    sums = np.exp(np.log(np.take_along_axis(p, order, -1)).cumsum(-1))
    kept = np.zeros(p.shape, bool)
    np.put_along_axis(kept, order, sums > 1 - top_p, -1)
    kept |= logits == logits.max(-1, keepdims=True)
    return renormalised(p, kept)


@mutant("top_p")
def nan_top_p_accepted(logits: Array, top_p: float = 1.0) -> Array:
    """nan is neither below 0 nor above 1, so it is accepted, and everything stays."""
    if isinstance(top_p, bool | str):
        raise TypeError(f"top_p must be a number; got {top_p!r}")
    if top_p < 0 or top_p > 1:
        raise ValueError(f"top_p must be from 0 to 1; got {top_p}")
    p = softmax(logits)
    return renormalised(p, top_p_mask(p, top_p, at_least))


@mutant("min_p", cites=("vllm-project/vllm-metal#728",))
def min_p_on_logits(logits: Array, min_p: float = 0.0) -> Array:
    """Compares logits with min_p times the largest: depends on an arbitrary constant."""
    if not min_p:
        return softmax(logits)
    return softmax(np.where(logits < min_p * logits.max(-1, keepdims=True), -np.inf, logits))


@mutant("temperature", "min_p")
def temperature_for_the_filter_only(logits: Array, temperature: float = 1.0, min_p: float = 0.0) -> Array:
    """Min-p at temperature T, then the probabilities at 1: the right ids with the wrong weights."""
    q = softmax_at(logits, temperature)
    return renormalised(softmax(logits), q >= min_p * q.max(-1, keepdims=True)) if min_p else q


@mutant("min_p")
def min_p_of_the_mean(logits: Array, min_p: float = 0.0) -> Array:
    """Measures against the mean probability, not the largest."""
    p = softmax(logits)
    possible = (p > 0).sum(-1, keepdims=True)
    return renormalised(p, p >= min_p / possible)
