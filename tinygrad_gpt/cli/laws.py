"""tinygrad-gpt laws: the command line of tinygrad_gpt.laws, under this name."""

from collections.abc import Sequence

from tinygrad_gpt.laws.command import main as check_named


def main(argv: Sequence[str]) -> int:
    """Parse, check; the exit code: 0 if every law passed, 1 if one failed, 2 for bad input."""
    return check_named(argv, program="tinygrad-gpt laws")
