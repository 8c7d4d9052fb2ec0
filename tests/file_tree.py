"""docs/file-tree.md, made from the first sentence of each module: python -m tests.file_tree writes it anew."""

import ast
import textwrap
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "file-tree.md"
PACKAGE = ROOT / "tinygrad_gpt"
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]["layers"]
IMPORTS = textwrap.fill(f"`{' → '.join(LAYERS)}`. `laws` imports none of them.", 120)

INTRODUCTION = f"""\
# What is where

    pyproject.toml   dependencies, each with its reason; settings of ruff, mypy, pytest, import-linter
    tinygrad_gpt/    the package; each file is listed below
    examples/        a course in numbered scripts, and the same as notebooks ([reading-order.md](reading-order.md))
    tests/           one folder for each folder of the package; tests/cuda runs the CUDA kernels on a CPU,
                     tests/mutants holds planted bugs for the laws, tests/reliability breaks disks and kills processes,
                     tests/oracle compares with PyTorch and others where they are installed
    benchmarks/      speed and memory beside PyTorch, JAX and HIPS autograd
    docs/            these pages
    findings/        scripts that show where other libraries surprise

Imports run one way, from the bottom of this list to its top, and a linter checks it:
{IMPORTS}
"""
FOLDERS = {  # in the order in which a reader meets them
    "": "",
    "ops": "every gradient by hand",
    "kernels": "the same ops, faster",
    "nn": "the model",
    "optim": "AdamW",
    "text": "tokenizers and batches",
    "sampling": "the next token",
    "training": "training and evaluation",
    "checkpoints": "what a run saves",
    "runs": "a run's folder",
    "debug": "profile, and the search for a nan",
    "study": "explanations, traces, pitfalls",
    "laws": "property tests for any sampler, op, loss, optimizer, loader or checkpoint",
    "cli": "the commands",
}


def first_sentence(module):
    """What a module says it is: its docstring's first line."""
    return (ast.get_docstring(ast.parse(module.read_text("utf-8"))) or "").partition("\n")[0].removesuffix(".")


def page():
    """The page: a table of files for each folder, each with its docstring's first line."""
    sections = [INTRODUCTION]
    for folder, purpose in FOLDERS.items():
        here = PACKAGE / folder
        modules = sorted(here.glob("*.py")) if not folder else sorted(here.rglob("*.py"))
        lines = [
            f"| `{module.relative_to(here).as_posix()}` | {first_sentence(module).replace('|', chr(92) + '|')} |\n"
            for module in modules
            if first_sentence(module)
        ]
        title = f"`{folder}/`: {purpose}" if folder else "At the top of `tinygrad_gpt/`"
        sections.append(f"\n## {title}\n\n| file | |\n|---|---|\n{''.join(lines)}")
    return "".join(sections)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
