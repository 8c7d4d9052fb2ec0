"""The laws of losses: the cross-entropy, means over a text, perplexity, evaluation."""

from tinygrad_gpt.laws.losses.cross_entropy import CROSS_ENTROPY_LAWS
from tinygrad_gpt.laws.losses.text_metrics import TEXT_LAWS
from tinygrad_gpt.laws.losses.under_test import LossUnderTest as LossUnderTest

LOSS_LAWS = tuple(sorted(CROSS_ENTROPY_LAWS + TEXT_LAWS, key=lambda law: law.id))
