"""A finding tells apart two numbers that print alike, and says how far they may be from each other."""

import math

import numpy as np
import pytest

from tinygrad_gpt.laws.assertions import require_same, require_within
from tinygrad_gpt.laws.law import LawBroken
from tinygrad_gpt.laws.losses import cases as losses
from tinygrad_gpt.laws.optimizers import cases as optimizers

ONE = np.ones((2, 2))
NEARLY = np.array([[1.0, 1.0], [1.0 + 1e-10, 1.0]])


@pytest.mark.parametrize("compare", [losses.require_close, optimizers.require_close, require_within])
def test_the_worst_entry_is_named_in_full(compare):
    with pytest.raises(LawBroken) as broken:
        compare("p", NEARLY, ONE, 1e-12)
    assert broken.value.observed == f"p[1, 0] = {1 + 1e-10!r}"
    assert broken.value.expected == "1.0, to within 1.0e-12"
    compare("p", NEARLY, ONE, 1e-9)


@pytest.mark.parametrize("compare", [losses.require_close, optimizers.require_close, require_within])
@pytest.mark.parametrize(("got", "want"), [(math.nan, math.nan), (math.nan, 1.0), (1.0, math.inf), (math.inf, 1.0)])
def test_nan_is_near_nothing_and_inf_near_inf_alone(compare, got, want):
    with pytest.raises(LawBroken):
        compare("p", got, want, 1e-9)
    compare("p", math.inf, math.inf, 1e-9)


def test_bits_differ_where_signs_of_zero_do():
    with pytest.raises(LawBroken) as broken:
        require_same("p", np.array([0.0, -0.0]), np.zeros(2))
    assert (broken.value.observed, broken.value.expected) == ("p[1] = -0.0", "0.0, bit by bit")
