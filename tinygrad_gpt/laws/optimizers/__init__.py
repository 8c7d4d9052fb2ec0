"""The laws of optimizers: AdamW, gradient clipping, learning-rate schedules."""

from tinygrad_gpt.laws.optimizers.adamw import ADAMW_LAWS
from tinygrad_gpt.laws.optimizers.around import AROUND_LAWS
from tinygrad_gpt.laws.optimizers.conduct import CONDUCT_LAWS
from tinygrad_gpt.laws.optimizers.under_test import OptimizerUnderTest as OptimizerUnderTest

OPTIMIZER_LAWS = tuple(sorted(ADAMW_LAWS + CONDUCT_LAWS + AROUND_LAWS, key=lambda law: law.id))
