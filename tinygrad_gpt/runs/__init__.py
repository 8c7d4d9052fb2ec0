"""A run folder: what `train` writes, and how others read it."""

from tinygrad_gpt.runs.run import Run as Run
from tinygrad_gpt.runs.run import load_run as load_run
