"""torch and transformers set environment variables when they are first used; no test is to blame for that."""

from contextlib import suppress

import pytest

from tinygrad_gpt.laws.adapters import hf_warper


@pytest.fixture(scope="session", autouse=True)
def libraries_have_been_used():
    with suppress(ImportError):
        import torch

        torch.optim.AdamW([torch.zeros(1)])
        hf_warper()
