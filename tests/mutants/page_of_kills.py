"""python -m tests.mutants.page_of_kills > docs/law-mutant-matrix.md: the page of the measured matrix (minutes).

Only some areas: python -m tests.mutants.page_of_kills checkpoint
"""

import sys

from tests.mutants.zoo import MUTANTS
from tinygrad_gpt.console import quiet_pipe
from tinygrad_gpt.laws.catalogue import LAWS, TITLES
from tinygrad_gpt.laws.mutation import measure

INTRODUCTION = """# Which law kills which mutant

<!-- Written by `python -m tests.mutants.page_of_kills`; it takes minutes.  Edit laws and mutants, not this page. -->

Measured: every [law](laws.md) on every mutant of its area that has what the law needs, in 100 cases, which are the same
as long as the code is. A law *names* the mutants that it must kill, and CI tries these. The mutants that it kills
*besides* are given by number, and may change with the cases. A `!` would mark a named mutant that survived. To kill
more mutants is not better: a law about checks of the input kills every mutant that was written without them.
"""


def page(zoo):
    """An introduction, and each area's summary and table.  Progress is reported on stderr, a line per area."""
    parts = [INTRODUCTION]
    for area, mutants in zoo.items():
        print(f"{area}: {len(LAWS[area])} laws, {len(mutants)} mutants", file=sys.stderr)
        measured = measure(area, LAWS[area], mutants)
        parts.append(f"## {TITLES[area]}\n\n{measured.summary}\n\n{measured.table()}")
    return "\n".join(parts)


def main(areas):
    """Measure, print the page; the exit code."""
    unknown = [name for name in areas if name not in MUTANTS]
    if unknown:
        known = ", ".join(MUTANTS)
        print(f"python -m tests.mutants.page_of_kills: no area {unknown[0]!r}; areas are {known}", file=sys.stderr)
        return 2
    print(page({area: zoo for area, zoo in MUTANTS.items() if area in areas or not areas}), end="")
    return 0


if __name__ == "__main__":
    quiet_pipe()
    sys.exit(main(sys.argv[1:]))
