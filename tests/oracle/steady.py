"""The same cases in every run: an expected failure that is found by chance would sometimes pass."""

from hypothesis import settings

from tinygrad_gpt.laws.profiles import settings_for

STEADY = settings(settings_for(), derandomize=True, database=None)  # as many cases as the profile says


def check(sut, law):
    """What is expected to fail (and so is not shrunk) is searched for as long as in CI."""
    law.check(sut, STEADY if law.shrink else "ci")
