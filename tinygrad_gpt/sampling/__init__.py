"""Sampling in three pure stages, probabilities, draw and uniforms, and the generation of text over them."""

from tinygrad_gpt.sampling.chart import probability_bars
from tinygrad_gpt.sampling.distribution import greedy, probabilities
from tinygrad_gpt.sampling.draw import draw, uniforms
from tinygrad_gpt.sampling.generate import Step, generate

__all__ = ["Step", "draw", "generate", "greedy", "probabilities", "probability_bars", "uniforms"]
