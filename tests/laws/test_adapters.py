"""Adapters: row by row, and transformers' warpers where they are installed (their deviations written down)."""

import subprocess
import sys

import numpy as np
import pytest

from tinygrad_gpt import laws
from tinygrad_gpt.laws.adapters import hf_warper, row_by_row
from tinygrad_gpt.laws.sampling import reference

one_row = laws.SamplerUnderTest(
    name="one-row",
    probabilities=row_by_row(lambda x, **settings: reference.probabilities(x, **settings)),
    capabilities={"temperature", "top_k"},
)


@laws.parametrize_with_laws([one_row], only=["S01", "S04", "S13", "S33"])
def test_a_sampler_of_single_rows(sut, law):
    law.check(sut)


def test_no_library_is_imported_before_its_adapter_is_called():
    script = "import sys, tinygrad_gpt.laws.adapters; print(sorted({'torch', 'transformers'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_unknown_setting_is_refused():
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match="names must be among temperature, top_k, top_p, min_p; got beam"):
        hf_warper("beam")


def test_a_processor_of_ones_own_is_taken_in_place_of_transformers():
    pytest.importorskip("torch")

    class KeepsOne:
        def __init__(self, k):
            self.k = k

        def __call__(self, ids, scores):
            return scores.masked_fill(scores < scores.max(-1, keepdim=True).values, -np.inf)

    with pytest.raises(AssertionError, match="S13, top-k keeps the k likeliest: broken by mine"):
        laws.check(hf_warper(name="mine", top_k=KeepsOne), profile="ci", only=["S13"])
