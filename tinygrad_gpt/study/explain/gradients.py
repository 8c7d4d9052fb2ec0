"""docs/gradients: one page per op with its mathematics typeset, written from the ops themselves.

    python -m tinygrad_gpt.study.explain.gradients [--check] [FOLDER]

The formulas come from the docstrings and become LaTeX; code and numbers are those of `explain`.  --check writes
nothing: the exit code is 1 if a page is out of date, or a gradient disagrees with the complex step or differences.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tinygrad_gpt import ops
from tinygrad_gpt.console import quiet_pipe
from tinygrad_gpt.study.explain.docstrings import Block, blocks
from tinygrad_gpt.study.explain.explanation import (
    ENTRY_BY_ENTRY,
    HOW_TO_READ_SUMS,
    IN_NUMBERS,
    OPS,
    OTHER_MEANS,
    Explanation,
    explain,
    purpose,
)
from tinygrad_gpt.study.explain.tex import formula
from tinygrad_gpt.study.explain.text import HEAD, comparison_rows, farthest_row, worked_text

_FOLDER = "docs/gradients"
_WIDTH = 100  # columns of the numbers
_WRITTEN = "<!-- Written by `python -m tinygrad_gpt.study.explain.gradients`; edit the op, not this page. -->\n"
_MORE_ON_SUMS = "[More on this notation](../trace.md#how-to-read-the-formula)."
_INTRODUCTION = f"""# Every gradient

{_WRITTEN}
An op is a function on arrays that returns its result and its vjp (vector-Jacobian product), which turns dLoss/dy
into dLoss/dx:

```python
y, vjp = gelu(x)
(dx,) = vjp(dy)
```

Here is each of them: its formula and derivation, every entry as a sum, its code, and its gradient worked out line by
line in small numbers, beside what the complex step and central differences give. `tinygrad-gpt explain gelu` shows the
same in the terminal, and `--seed 1` with other numbers.
"""


def pages(explanations: Sequence[Explanation]) -> dict[str, str]:
    """The text of every page, by its file's name."""
    return {"README.md": _index(), **{f"{it.name}.md": page(it) for it in explanations}}


def _index() -> str:
    """The contents: every op by family, one line each."""
    families = ""
    for family, functions in ops.FAMILIES.items():
        names = [op.__name__ for op in functions]
        families += f"\n## {family}\n\n"
        families += "".join(f"- [{name}]({name}.md): {escaped(purpose(name))}\n" for name in names)
    return _INTRODUCTION + families


def page(explanation: Explanation) -> str:
    """The page of an op."""
    parts = [f"# {explanation.name}\n", _WRITTEN, _navigation(explanation)]
    parts += [_block_markdown(block) for block in blocks(explanation.docstring)]
    parts += [f"## {ENTRY_BY_ENTRY}\n", _fenced("text", explanation.sums), f"{HOW_TO_READ_SUMS} {_MORE_ON_SUMS}\n"]
    parts += ["## The code\n", _fenced("python", explanation.code)]
    if explanation.uses:
        parts += [f"It calls {', '.join(f'[{name}]({name}.md)' for name in explanation.uses)}.\n"]
    for worked in explanation.examples:
        parts += [f"## {worked.title or IN_NUMBERS}\n", "Numbers are float64, shown to four decimals.\n"]
        parts += [_fenced("text", worked_text(worked, _WIDTH)), f"{OTHER_MEANS}\n"]
        rows = [HEAD, *comparison_rows(worked.comparisons), farthest_row(worked.comparisons)]
        parts += [_table([row[:4] for row in rows])]
    return "\n".join(parts)


def _navigation(explanation: Explanation) -> str:
    """Links to the file, to the other ops in it and to the index."""
    file = f"[{explanation.path}](../../{explanation.path})"
    others = [f"[{name}]({name}.md)" for name in explanation.family if name != explanation.name]
    along = f", along with {', '.join(others)}" if others else ""
    return f"Defined in {file}{along}. [All ops](README.md).\n"


def _block_markdown(block: Block) -> str:
    """A part of the docstring: formulas as LaTeX, the rest as it is."""
    if block.kind == "formula":
        return _fenced("math", formula(block.lines))
    if block.kind == "doctest":
        return _fenced("pycon", "\n".join(block.lines))
    text = escaped(" ".join(" ".join(block.lines).split()))
    if block.kind == "section":
        return f"**{block.label}.** {text}\n"
    return re.sub(r"^Gradient\.", "**Gradient.**", text) + "\n"


def escaped(text: str) -> str:
    """Text without a meaning in Markdown, except between backticks."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(piece if piece.startswith("`") else re.sub(r"([\\*_<>\[\]|~])", r"\\\1", piece) for piece in pieces)


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```\n"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose numbers are right-aligned."""
    head, *body = [f"| {' | '.join(cell or ' ' for cell in row)} |" for row in rows]
    return "\n".join([head, "| :-- |" + " --: |" * (len(rows[0]) - 1), *body]) + "\n"


def findings(folder: Path, wanted: dict[str, str], explanations: Sequence[Explanation]) -> Iterator[str]:
    """What is wrong with a folder of pages: missing, stale or extra files, and wrong gradients."""
    for name, text in wanted.items():
        file = folder / name
        if not file.exists():
            yield f"{file} is missing"
        elif file.read_text(encoding="utf-8") != text:
            yield f"{file} is not what would be written"
    for file in sorted(folder.glob("*.md")):
        if file.name not in wanted:
            yield f"{file} is not about an op"
    for explanation in explanations:
        if not explanation.agrees:
            yield f"{explanation.name}: the vjp is not what the complex step and differences give"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages, or check them; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tinygrad_gpt.study.explain.gradients", description="Pages of the ops."
    )
    parser.add_argument("folder", nargs="?", default=_FOLDER, help=f"where the pages are (default: {_FOLDER})")
    parser.add_argument("--check", action="store_true", help="write nothing; report what is stale or wrong")
    options = parser.parse_args(argv)
    folder, explanations = Path(options.folder), [explain(name) for name in OPS]
    wanted = pages(explanations)
    if not options.check:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in wanted.items():
            (folder / name).write_text(text, encoding="utf-8")
    found = list(findings(folder, wanted, explanations))
    for finding in found:
        print(finding, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    quiet_pipe()
    sys.exit(main())
