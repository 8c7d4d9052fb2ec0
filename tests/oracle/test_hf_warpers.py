"""transformers' warpers, alone and together, under the laws of samplers.

docs/deviations.md says what fails and why.
"""

import numpy as np
import pytest

from tests.oracle.steady import check
from tinygrad_gpt import laws
from tinygrad_gpt.laws.adapters import hf_warper

torch = pytest.importorskip("torch", reason="PyTorch is not installed: there is nothing to check")
pytest.importorskip("transformers", reason="transformers is not installed: there is nothing to check")

WHY = {
    "S07": "scores / T comes before the softmax: at a tiny T it overflows, and inf - inf is nan",
    "S19": "top-k ranks scores / T, where neighbouring float32 scores may have become equal",
    "S24": "a warper hands nan, inf and rows of -inf on; torch.multinomial refuses them later",
    "S25": "T = inf, a nan, Boolean or text top_p, and min_p = True are taken; NumPy's scalars and T = 2 are refused",
}
CHAINS = [
    hf_warper(*names)
    for names in (["temperature"], ["top_k"], ["top_p"], ["min_p"], ["temperature", "top_k", "top_p", "min_p"])
]


def expected(sut):
    return {id: reason for id, reason in WHY.items() if laws.find(id).applies_to(sut)}


@laws.parametrize_with_laws(CHAINS, expected_failures=expected)
def test_warpers(sut, law):
    check(sut, law)


def drawn_by_multinomial(logits, seed, n, **settings):
    p = torch.softmax(torch.from_numpy(logits), -1)
    return torch.multinomial(p, n, replacement=True, generator=torch.Generator().manual_seed(seed % 2**63)).numpy()


MULTINOMIAL = laws.SamplerUnderTest(name="torch-multinomial", token=drawn_by_multinomial, errors=(RuntimeError,))


@laws.parametrize_with_laws([MULTINOMIAL])
def test_multinomial(sut, law):
    check(sut, law)


@pytest.mark.parametrize("faulty", [[np.nan, 1.0], [np.inf, 1.0], [-np.inf, -np.inf]])
def test_what_the_warpers_hand_on_is_refused_by_multinomial(faulty):
    scores = hf_warper().warp(np.array([faulty]), temperature=0.7, top_k=2)
    with pytest.raises(RuntimeError, match="probability tensor contains"):
        torch.multinomial(torch.softmax(torch.from_numpy(scores), -1), 1)
