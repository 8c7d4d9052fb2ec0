"""Sampling in three pure stages (probabilities, uniforms, draw), and the generation of text with them."""

from tinygrad_gpt.sampling.chart import probability_bars
from tinygrad_gpt.sampling.distribution import greedy, probabilities
from tinygrad_gpt.sampling.draw import draw, uniforms
from tinygrad_gpt.sampling.generate import Step, generate
from tinygrad_gpt.sampling.sample import sample
from tinygrad_gpt.sampling.settings import SamplerSettings

__all__ = [
    "SamplerSettings",
    "Step",
    "draw",
    "generate",
    "greedy",
    "probabilities",
    "probability_bars",
    "sample",
    "uniforms",
]
