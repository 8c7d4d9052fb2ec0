"""The laws of optimizers: AdamW, gradient clipping, learning-rate schedules."""

from tinygrad_gpt.laws.optimizers.adamw import ADAMW_LAWS
from tinygrad_gpt.laws.optimizers.clipping_and_schedule import CLIPPING_AND_SCHEDULE_LAWS
from tinygrad_gpt.laws.optimizers.state_and_errors import STATE_AND_ERROR_LAWS
from tinygrad_gpt.laws.optimizers.under_test import OptimizerUnderTest as OptimizerUnderTest

OPTIMIZER_LAWS = tuple(sorted(ADAMW_LAWS + STATE_AND_ERROR_LAWS + CLIPPING_AND_SCHEDULE_LAWS, key=lambda law: law.id))
