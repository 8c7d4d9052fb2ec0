"""Temperature and top-k over GPT-2's 50,257 ids in float32 (S39, S40): faults that small vocabularies do not show."""

import numpy as np
from hypothesis import strategies as st

from tinygrad_gpt.laws.law import Array, LawBroken, cases, law
from tinygrad_gpt.laws.sampling.cases import allowed_k
from tinygrad_gpt.laws.sampling.draws import GPT2_VOCABULARY
from tinygrad_gpt.laws.sampling.under_test import SamplerUnderTest
from tinygrad_gpt.laws.strategies import normal, seeds


def _full_logits(seed: int, levels: int) -> Array:
    """(2, 50257) of float32 from N(0, 4), like a model's; rounded to multiples of 1/levels there are many ties."""
    return (np.round(2 * normal(seed, (2, GPT2_VOCABULARY)) * levels) / levels).astype(np.float32)


@law(
    "S39",
    "temperature at full size",
    area="sampling",
    case=lambda sut: cases(seed=seeds(), temperature=st.sampled_from([0.7, 1.0, 1.5])),
    needs=("probabilities", "temperature"),
    mutants=("total-from-float32-sums",),
    examples=3,
)
def temperature_at_full_size(sut: SamplerUnderTest, seed: int, temperature: float) -> None:
    """Over 50,257 ids in float32, the probabilities sum to 1 within 1e-6, and each is exp(x/T) / sum within 1e-4."""
    logits = _full_logits(seed, 10**6)
    p = sut.p(logits, temperature=temperature).astype(np.float64)
    if not np.allclose(p.sum(-1), 1, rtol=0, atol=1e-6):
        raise LawBroken(f"row sums {p.sum(-1)}", "1 within 1e-6")
    x = logits.astype(np.float64)
    weights = np.exp((x - x.max(-1, keepdims=True)) / temperature)
    expected = weights / weights.sum(-1, keepdims=True)
    error = np.abs(p / expected - 1)
    if not (error <= sut.tolerance(1e-4)).all():
        row, id = np.unravel_index(int(np.nan_to_num(error, nan=np.inf).argmax()), error.shape)
        raise LawBroken(f"p = {p[row, id]:.9g} at row {row}, id {id}", f"{expected[row, id]:.9g}")


@law(
    "S40",
    "top-k at full size",
    area="sampling",
    case=lambda sut: cases(
        seed=seeds(), top_k=st.sampled_from([1, 50, 1000, 1025, 5000, 50256]), levels=st.sampled_from([1000, 10])
    ),
    needs=("probabilities", "top_k"),
    mutants=("k-of-at-most-1024",),
    cites=("vllm-project/tpu-inference#3580", "flashinfer-ai/flashinfer#3774"),
    examples=6,
)
def top_k_at_full_size(sut: SamplerUnderTest, seed: int, top_k: int, levels: int) -> None:
    """Over 50,257 ids in float32 with many ties, top-k keeps the same ids as a stable sort."""
    logits = _full_logits(seed, levels)
    k = allowed_k(sut, top_k, GPT2_VOCABULARY)
    for i, (p, x) in enumerate(zip(sut.p(logits, top_k=k), logits, strict=True)):
        order = np.argsort(-x, kind="stable")
        kept, last = p > 0, x[order[k - 1]]
        expected = np.isin(np.arange(len(x)), order[:k]) if sut.ties == "exact" else x >= last
        wrong = kept != expected
        if sut.ties == "any":
            wrong &= x != last
        if wrong.any() or (sut.ties == "any" and kept.sum() < k):
            id = int(wrong.argmax())
            seen = f"row {i}: kept {kept.sum()} ids; id {id} {'kept' if kept[id] else 'dropped'}"
            raise LawBroken(seen, f"kept {expected.sum()}", f"ties={sut.ties!r}")


GPT2_VOCABULARY_LAWS = (temperature_at_full_size, top_k_at_full_size)
