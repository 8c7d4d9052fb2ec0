"""The laws of samplers: temperature, top-k, top-p, min-p, the draw and its random numbers."""

from tinygrad_gpt.laws.law import Law
from tinygrad_gpt.laws.sampling.distribution import DISTRIBUTION_LAWS
from tinygrad_gpt.laws.sampling.draws import DRAW_LAWS
from tinygrad_gpt.laws.sampling.filters import FILTER_LAWS
from tinygrad_gpt.laws.sampling.gpt2_vocabulary import GPT2_VOCABULARY_LAWS
from tinygrad_gpt.laws.sampling.robustness import ROBUSTNESS_LAWS
from tinygrad_gpt.laws.sampling.under_test import SamplerUnderTest as SamplerUnderTest

SAMPLER_LAWS: tuple[Law, ...] = tuple(
    sorted(
        DISTRIBUTION_LAWS + FILTER_LAWS + ROBUSTNESS_LAWS + DRAW_LAWS + GPT2_VOCABULARY_LAWS,
        key=lambda law: law.id,
    )
)

DROPPED = {
    "S12": "KL(p_T, uniform on S) = log|S| - H(p_T) is true of every distribution, so no sampler can break it",
    "S30": "that a Gumbel-max sampler draws like an inverse transform is goodness of fit (S31) for one kind of sampler",
}
