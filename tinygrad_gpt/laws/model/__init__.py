"""The laws of language models: what they may look at, how they start, how they learn."""

from tinygrad_gpt.laws.model.laws import MODEL_LAWS as MODEL_LAWS
from tinygrad_gpt.laws.model.under_test import ModelUnderTest as ModelUnderTest
