"""What `nn.cross_entropy` checks before the op runs; the laws of losses are run on it elsewhere."""

import numpy as np
import pytest

from tinygrad_gpt import Tensor, cross_entropy

LOGITS = Tensor(np.zeros((2, 3)), requires_grad=True)


@pytest.mark.parametrize(
    ("targets", "settings", "error", "text"),
    [
        ([0, 3], {}, ValueError, r"targets must be from 0 to 2; got 3 at offset 1"),
        ([-1, 0], {}, ValueError, r"targets must be from 0 to 2; got -1 at offset 0"),
        ([-1, -2], {"ignore_index": -1}, ValueError, "targets must be from 0 to 2; got -2 at offset 1"),
        ([0.0, 1.0], {}, TypeError, "targets must be whole numbers; got float64"),
        ([-1, -1], {"ignore_index": -1}, ValueError, "targets must hold at least one token that is not ignored"),
        ([0], {}, ValueError, r"cross_entropy of \(2, 3\), \(1,\): targets must have the shape \(2,\)"),
        ([0, 1], {"reduction": "max"}, ValueError, "reduction must be 'mean' or 'sum'; got 'max'"),
    ],
)
def test_targets_that_are_refused(targets, settings, error, text):
    with pytest.raises(error, match=text):
        cross_entropy(LOGITS, np.array(targets), **settings)


def test_nothing_to_sum_sums_to_nothing():
    assert cross_entropy(LOGITS, np.array([-1, -1]), ignore_index=-1, reduction="sum").item() == 0


def test_an_ignored_index_may_be_in_the_vocabulary():
    loss = cross_entropy(LOGITS, [0, 2], ignore_index=2)
    assert loss.item() == pytest.approx(np.log(3))
    loss.backward()
    assert not LOGITS.grad[1].any()


def test_leading_axes_are_rows():
    x = np.arange(12.0).reshape(2, 2, 3)
    flat = cross_entropy(Tensor(x.reshape(4, 3)), [0, 1, 2, 0]).item()
    assert cross_entropy(Tensor(x), [[0, 1], [2, 0]]).item() == flat
