"""Two runs are the same if they differ by rounding alone."""

import pytest

from tests.examples.printed import difference


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        ("loss 2.380053", "loss 2.380054"),
        ("[ 0.09   0.2447]", "[0.0901 0.2447]"),
        ("off by 4e-16 from it", "off by 0e+00 from it"),
        ("3e-10", "2.1e-10"),
        ("perplexity 51,544.7  ", "perplexity 51,544.8"),
        ("-11.3251 in 12 steps", "-11.3252 in 12 steps"),
    ],
)
def test_roundings_are_the_same(stored, fresh):
    assert difference(stored, fresh) is None


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        ("loss 2.380053", "loss 2.380153"),
        ("8 broken", "9 broken"),
        ("20,479 characters", "20,478 characters"),
        ("equal", "DIFFERENT"),
        ("a\nb", "a"),
        ("2e-10", "2e-03"),
        ("0.5", "-0.5"),
        ("loss 6.110", "loss 6.119"),
        ("'The statement is'", "'The statement was'"),
    ],
)
def test_all_else_is_a_difference(stored, fresh):
    assert difference(stored, fresh) is not None


def test_after_training_more_is_the_same_but_not_all():
    stored = "step  150: train loss 5.793, perplexity 450.2\n    'The statement of of the3, corresponding'"
    fresh = 'step  150: train loss 5.769, perplexity 440.7\n    "The statement \'of"'
    assert difference(stored, fresh, trains=True) is None
    assert difference(stored, fresh.replace("150", "151"), trains=True) is not None
    assert difference(stored, fresh.replace("5.769", "5.1"), trains=True) is not None
    assert difference(stored, fresh.replace("The", "This"), trains=True) is not None
