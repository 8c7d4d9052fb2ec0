"""Gradients to look at: an op worked out in numbers, and a training step watched op by op."""

from tinygrad_gpt.study.explain import explain as explain
from tinygrad_gpt.study.trace import Trace as Trace
from tinygrad_gpt.study.trace import trace as trace
