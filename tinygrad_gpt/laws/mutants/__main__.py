"""python -m tinygrad_gpt.laws.mutants > docs/law-mutant-matrix.md: the page of the measured matrix (minutes).

Names of areas limit it to those: python -m tinygrad_gpt.laws.mutants checkpoint
"""

import sys
from collections.abc import Sequence

from tinygrad_gpt.console import quiet_pipe
from tinygrad_gpt.laws.mutants import MUTANTS
from tinygrad_gpt.laws.mutants.measured import matrix_page


def main(areas: Sequence[str]) -> int:
    """Measure, print the page; the exit code."""
    unknown = [name for name in areas if name not in MUTANTS]
    if unknown:
        known = ", ".join(MUTANTS)
        print(f"python -m tinygrad_gpt.laws.mutants: no area {unknown[0]!r}; areas are {known}", file=sys.stderr)
        return 2
    print(matrix_page({area: zoo for area, zoo in MUTANTS.items() if area in areas or not areas}), end="")
    return 0


if __name__ == "__main__":
    quiet_pipe()
    sys.exit(main(sys.argv[1:]))
