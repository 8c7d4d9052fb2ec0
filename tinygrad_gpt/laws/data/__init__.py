"""The laws of data: windows and batches, splits, ids on disk, tokenizers."""

from tinygrad_gpt.laws.data.loading import DATA_LAWS as DATA_LAWS
from tinygrad_gpt.laws.data.under_test import LoaderUnderTest as LoaderUnderTest
