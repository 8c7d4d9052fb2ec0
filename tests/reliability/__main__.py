"""Try every fault in full (a few minutes), and print the table of figures that docs/reliability.md shows.

    python -m tests.reliability            print it
    python -m tests.reliability --write    put it into the page

Exits with 1, naming each, if anything was lost.
"""

import re
import sys
from pathlib import Path

from tests.reliability.campaigns import table

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
FIGURES = re.compile(r"(?<=<!-- figures -->\n).*(?=<!-- end of figures -->)", re.DOTALL)


def main(arguments):
    figures, lost = table(full=True)
    if "--write" in arguments:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(FIGURES.sub(lambda _: f"\n{figures}\n\n", page), encoding="utf-8")
    else:
        print(figures)
    for point in lost:
        print("LOST", point, file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
