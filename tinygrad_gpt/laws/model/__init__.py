"""The laws of language models: which tokens a logit may depend on, the loss at the start, learning."""

from tinygrad_gpt.laws.model.laws import MODEL_LAWS as MODEL_LAWS
from tinygrad_gpt.laws.model.under_test import ModelUnderTest as ModelUnderTest
