"""torch.nn.functional.cross_entropy under the laws of losses.  docs/deviations.md says what fails and why."""

import numpy as np
import pytest

from tests.oracle.steady import check
from tinygrad_gpt import laws

torch = pytest.importorskip("torch", reason="PyTorch is not installed: there is nothing to check")


def loss(logits, targets, **settings):
    return torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(targets), **settings).numpy()


def gradient(logits, targets, **settings):
    x = torch.tensor(np.array(logits), requires_grad=True)
    return torch.autograd.grad(torch.nn.functional.cross_entropy(x, torch.tensor(targets), **settings), x)[0].numpy()


CROSS_ENTROPY = laws.LossUnderTest(
    name="torch-cross_entropy", loss=loss, gradient=gradient, mask="ignore_index", impossible_row="nan"
)
WHY = {
    "L12": "an ignored row that holds a nan gets a gradient of nan; a mean of no rows is nan; -100 is always ignored"
}


@laws.parametrize_with_laws([CROSS_ENTROPY], expected_failures=lambda sut: WHY)
def test_cross_entropy(sut, law):
    check(sut, law)
