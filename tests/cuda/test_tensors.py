"""A tensor on a device: what leaves it, and what stays."""

import numpy as np
import pytest

from tinygrad_gpt import Tensor
from tinygrad_gpt.tape import where


def test_it_becomes_numpys_by_its_own_method_alone(device):
    t = Tensor(device.asarray(np.array([1.0, 2.0])), requires_grad=True)
    assert isinstance(t.numpy(), np.ndarray)
    assert t.numpy().tolist() == t.tolist() == [1.0, 2.0]
    assert f"{t.sum():.2f}" == "3.00"
    for function in (np.asarray, np.array, lambda x: np.allclose(x, 1)):
        with pytest.raises(TypeError, match=r"a tensor on a GPU is not a NumPy array; use \.numpy\(\)"):
            function(t)


def test_comparisons_stay_on_the_device_and_are_masks(device):
    t = Tensor(device.asarray(np.array([0.0, 2.0])), requires_grad=True)
    mask = t == 0
    assert type(mask) is type(t.data)
    assert device.get(mask).tolist() == [True, False]
    assert device.get(where(t > 1, 7.0, t).data).tolist() == [0.0, 7.0]
    t.masked_fill(mask, 1.0).log().sum().backward()
    assert device.get(t.grad).tolist() == [0.0, 0.5]


def test_a_leaf_has_its_array_for_itself(device):
    array = device.asarray(np.ones(2))
    t = Tensor(array, requires_grad=True)
    t.data += 1
    assert device.get(array).tolist() == [1.0, 1.0]
    assert Tensor(array).data is array


def test_the_absolute_value_and_the_deviation(device):
    t = Tensor(device.asarray(np.array([-1.0, 3.0])), requires_grad=True)
    (abs(t).sum() + t.std()).backward()
    assert device.get(t.grad).tolist() == [-1.5, 1.5]
