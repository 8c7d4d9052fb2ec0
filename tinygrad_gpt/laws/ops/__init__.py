"""The laws of ops: functions on arrays that come with their gradients."""

from tinygrad_gpt.laws.ops.memory import MEMORY_LAWS
from tinygrad_gpt.laws.ops.numbers import NUMBER_LAWS
from tinygrad_gpt.laws.ops.under_test import OpUnderTest as OpUnderTest
from tinygrad_gpt.laws.ops.values import VALUE_LAWS

OP_LAWS = tuple(sorted((*VALUE_LAWS, *MEMORY_LAWS, *NUMBER_LAWS), key=lambda law: (law.id[0] != "G", law.id)))
