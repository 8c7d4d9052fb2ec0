"""The parts of an op file's docstring: prose, formulas, labelled sections, the doctest."""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["prose", "formula", "section", "doctest"]
_SECTION = re.compile(r"(Shapes|Settings|Saved|Views|Errors|Numerics|Source|Check)\.\s+(.*)")


@dataclass
class Block:
    """Lines that belong together, without their indentation; formulas lose only the first four spaces."""

    kind: Kind
    lines: list[str]
    label: str = ""


def blocks(docstring: str) -> list[Block]:
    """The parts of a docstring (after inspect.cleandoc), in order."""
    found: list[Block] = []
    for paragraph in re.split(r"\n\s*\n", docstring.strip("\n")):
        inside: Block | None = None
        for line in paragraph.split("\n"):
            labelled = _SECTION.match(line)
            kind: Kind = "doctest" if line.startswith("    >>>") else "formula" if line.startswith("    ") else "prose"
            if labelled:
                inside = Block("section", [labelled[2]], labelled[1])
                found.append(inside)
            elif inside and (inside.kind in ("section", "doctest") or inside.kind == kind):
                inside.lines.append(line.strip() if inside.kind in ("section", "prose") else line[4:])
            else:
                inside = Block(kind, [line[4:] if kind != "prose" else line])
                found.append(inside)
    return found
