"""CONTRIBUTING's table is true: who touches just the files of a row is done, and who forgets one is told.

A copy of the package gets a toy op, and the generic tests of ops and of their pages run on the copy.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COPIED = ("tinygrad_gpt", "tests", "docs", "pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md")

CUBE = '''"""The third power, entry by entry.

    y = x³          dx = dy 3 x²

Gradient.  By the power rule.

Shapes.   x, y: any, the same.
Saved.    x.
Check.    2³ = 8 with slope 3 · 2² = 12:

    >>> import numpy as np
    >>> y, vjp = cube(np.array([2.0]))
    >>> y.tolist(), vjp(np.array([1.0]))[0].tolist()
    ([8.0], [12.0])
"""

from tinygrad_gpt.backend import Array, Vjp


def cube(x: Array) -> tuple[Array, Vjp]:
    """Third power: y = x³.

    Backward: the gradient is multiplied by three times the square of x.
    """
    y: Array = x * x * x

    def vjp(dy: Array) -> tuple[Array]:
        return (dy * 3 * x * x,)

    return y, vjp
'''
AN_OP = {  # the file's name, as the row has it: (text before which the new text goes, the new text), in this order
    "ops/cube.py": [("", CUBE)],
    "ops/__init__.py": [
        ("from tinygrad_gpt.ops.dropout import", "from tinygrad_gpt.ops.cube import cube as cube\n"),
        ("exp, log, sqrt, tanh, relu", "cube, "),
    ],
    "examples.py": [('    "exp": (', '    "cube": (_elementwise_example(_numbers, 0.4, -1.0, 1.8),),\n')],
    "tests/ops/cases.py": [('    "exp": (', '    "cube": (elementwise("cube", lambda x: x**3, numbers),),\n')],
}
TESTS_OF_AN_OP = ("test_op_laws.py", "test_explain.py", "test_formulas.py", "test_gradient_pages.py")
THOSE_ABOUT_IT = "cube or every_op or current or no_case or listing"


def row(added):
    """The cell of CONTRIBUTING's table that says what one touches who adds this."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^\| {added} \| (.+?) \|", text, re.MULTILINE)
    return found


def files_in(cell):
    """The files and commands between its backticks, in order."""
    return [word for word in re.findall(r"`([^`]+)`", cell) if word.startswith("python -m ") or word.endswith(".py")]


def path_of(file, folder):
    """A file of a row; those of the package are named from the package on."""
    return folder / file if file.startswith("tests/") else folder / "tinygrad_gpt" / file


def insert(path, before, new):
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    assert before in text, f"{path.name} has no line with {before}"
    at = text.index(before)
    path.write_text(text[:at] + new + text[at:], encoding="utf-8")


@pytest.fixture
def copy(tmp_path):
    unneeded = shutil.ignore_patterns("__pycache__", ".*", "*.npz", "emulator", "texts")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=unneeded)
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def python(folder, *arguments):
    """Run Python on the copy; its exit code and what it prints."""
    environment = os.environ | {"HYPOTHESIS_STORAGE_DIRECTORY": str(folder / ".hypothesis"), "PYTHONPATH": str(folder)}
    for name in ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "HYPOTHESIS_PROFILE", "PYTEST_XDIST_WORKER"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    return done.returncode, done.stdout + done.stderr


def add_op(folder, left_out=None):
    """Do what the row says, but for one thing; returns how many things it says."""
    todo = files_in(row("an op").replace("<op>", "cube"))
    assert {word if word in AN_OP else Path(word).name for word in todo if not word.startswith("python")} == set(AN_OP)
    for i, word in enumerate(todo):
        if i == left_out:
            continue
        if word.startswith("python -m "):
            code, printed = python(folder, *word.split()[1:])
            assert code == 0, printed
        else:
            for before, new in AN_OP[word if word in AN_OP else Path(word).name]:
                insert(path_of(word, folder), before, new)
    return len(todo)


def generic_tests(folder):
    """The exit code and output of the tests that find an op by themselves."""
    (tests_of_ops,) = (folder / "tests" / "ops").rglob(TESTS_OF_AN_OP[0])
    files = [tests_of_ops, *(next((folder / "tests" / "study").rglob(name)) for name in TESTS_OF_AN_OP[1:])]
    chosen = ["-n", "0", "-q", "-p", "no:cacheprovider", "-k", THOSE_ABOUT_IT]
    return python(folder, "-m", "pytest", *chosen, *map(str, files))


@pytest.mark.slow
def test_an_op_that_follows_its_row_passes_the_generic_tests(copy):
    add_op(copy)
    code, printed = generic_tests(copy)
    assert code == 0, printed
    passed = re.search(r"(\d+) passed", printed)
    assert int(passed[1]) > 20, printed  # its laws, and its pages
    code, printed = python(copy, "-m", "tinygrad_gpt", "explain", "cube")
    assert (code, "Third power" in printed or "third power" in printed) == (0, True), printed


@pytest.mark.slow
@pytest.mark.parametrize("left_out", [1, 2, 3, 4])
def test_an_op_that_leaves_out_one_thing_of_the_row_is_told(copy, left_out):
    if left_out == list(AN_OP).index("examples.py"):  # then the pages cannot be written
        with pytest.raises(AssertionError, match="KeyError: 'cube'"):
            add_op(copy, left_out)
        return
    assert add_op(copy, left_out) == 5
    code, printed = generic_tests(copy)
    assert code in (1, 2), printed
    assert "cube" in printed or "pages_are_current" in printed


@pytest.mark.slow
def test_an_op_whose_docstring_says_nothing_of_its_vjp_is_told(copy):
    add_op(copy)
    file = copy / "tinygrad_gpt" / "ops" / "cube.py"
    file.write_text(CUBE.replace("Backward: the", "The"), encoding="utf-8")
    code, printed = generic_tests(copy)
    assert code == 1
    assert "test_every_op_has_a_rule_in_words[cube]" in printed
