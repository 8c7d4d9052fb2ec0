"""CONTRIBUTING's table is true: the files of a row are enough, and a test fails if one of them is forgotten.

A copy of the package gets a toy op, on which the generic tests of ops and of their pages run, and a toy setting of the
sampler, which is tried in Python and on the command line.
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

NAME = "min_probability"  # a toy setting: tokens less likely than this are not drawn, but for the likeliest
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
    "rules/__init__.py": [
        (
            "    ops.log: ",
            '    ops.cube: arithmetic.function("{}³", lambda x: x**3, "3{}²", lambda x: 3 * x * x),\n',
        )
    ],
    "tests/ops/cases.py": [('    "exp": (', '    "cube": (elementwise("cube", lambda x: x**3, numbers),),\n')],
}
TESTS_OF_AN_OP = ("test_op_laws.py", "test_explain.py", "test_formulas.py", "test_gradient_pages.py", "test_sums.py")
THOSE_ABOUT_IT = "cube or every_op or current or no_case or listing"


A_SETTING = {
    "sampling/settings.py": [
        ('    "min_p": Rule', f'    "{NAME}": Rule("f", "a number from 0 to 1", lambda e: (e >= 0) & (e <= 1)),\n'),
        ("    ties: str\n", f"    {NAME}: Array | None\n"),
        ('    ties: str = "exact"', f"    {NAME}: float | Array | None = None\n"),
    ],
    "sampling/distribution.py": [
        ('    ties: str = "exact",', f"    {NAME}: float | Array | None = None,\n"),
        ("ties=ties)", f"{NAME}={NAME}, "),
        (
            "    return weights\n",
            f"    if settings.{NAME} is not None:\n"
            f"        least = xp.asarray(settings.{NAME}) * weights.sum(-1, keepdims=True)\n"
            "        weights *= (weights >= least) | (weights == 1)\n",
        ),
    ],
    "sampling/sample.py": [
        ('    ties: str = "exact",', f"    {NAME}: float | Array | None = None,\n"),
        ("ties=ties)", f"{NAME}={NAME}, "),
    ],
    "sampling/generate.py": [
        ('    ties: str = "exact",', f"    {NAME}: float | Array | None = None,\n"),
        ("ties=ties)", f"{NAME}={NAME}, "),
    ],
    "cli/sampler_options.py": [("TopK = ", "MinProbability = Annotated[float | None, Range(0, 1)]\n")],
    "cli/generate.py": [("MinP,", "MinProbability, "), ("    min_p: MinP", f"    {NAME}: MinProbability = None\n")],
    "cli/sampling.py": [
        ("MinP,", "MinProbability, "),
        ("    min_p: MinP", f"    {NAME}: MinProbability = None\n"),
        ("min_p=options.min_p)", f"{NAME}=options.{NAME}, "),
    ],
    "next_token/page.html": [
        ("min_p = null}", f"{NAME} = null, "),
        (
            "  const total = weights.reduce",
            f"  if ({NAME} !== null) keep(weights.map(w => w === 1 || w >= {NAME} * sumOf(weights)));\n",
        ),
        ('  min_p: {label: "min-p"', f'  {NAME}: {{label: "least", start: null, step: 0.01, ...linear}},\n'),
    ],
}
CHECKS_OF_A_SETTING = """
import numpy as np, pytest
from pathlib import Path
from tinygrad_gpt import GPT, GPTConfig, generate, probabilities, sample, study
from tinygrad_gpt.sampling import SamplerSettings
from tinygrad_gpt.sampling.settings import RULES

x = np.log([0.5, 0.3, 0.2])
np.testing.assert_allclose(probabilities(x, min_probability=0.25), [0.625, 0.375, 0])
np.testing.assert_allclose(probabilities(x, temperature=2.0, min_probability=0.9), [1, 0, 0])
assert sample(x, 0.99, min_probability=0.25) == 1
assert SamplerSettings(min_probability=0.25).limits() == {"min_probability": 0.25}
for ask in (lambda: probabilities(x, min_probability=2.0), lambda: SamplerSettings(min_probability=np.nan)):
    with pytest.raises(ValueError, match="min_probability must be a number from 0 to 1; got "):
        ask()
model = GPT(GPTConfig(vocab_size=5, context_length=4, emb_dim=4, n_heads=1, n_layers=1))
likeliest = list(generate(model, [[1]], 3))
assert list(generate(model, [[1]], 3, temperature=1.0, min_probability=1.0)) == likeliest
(page,) = Path(study.__file__).parent.rglob("next_token/page.html")
page = page.read_text("utf-8")
missing = [name for name in RULES if f"  {name}: {{label: " not in page or f"{name} = " not in page]
assert not missing, f"the page lacks {missing}"
"""


def row(added):
    """The cell of CONTRIBUTING's table that says what one touches who adds this."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^\| {added} \| (.+?) \|", text, re.MULTILINE)
    return found


def todo_of(cell):
    """The files and commands between its backticks, in order."""
    return [word for word in re.findall(r"`([^`]+)`", cell) if re.match(r"python -m |.*\.(py|html)$", word)]


def path_of(file, folder):
    """A file of a row; those of the package are named from the package on."""
    return folder / file if file.startswith(("tests/", "docs/")) else folder / "tinygrad_gpt" / file


def insert(path, before, new):
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    assert before in text, f"{path.name} has no line with {before}"
    at = text.index(before)
    path.write_text(text[:at] + new + text[at:], encoding="utf-8")


def follow(cell, edits, folder, left_out=None):
    """Do all that a row says, but for one thing."""
    todo = todo_of(cell)
    files = {word: key for word in todo for key in edits if f"/{word}".endswith(f"/{key}")}
    assert list(files.values()) == list(edits)
    for i, word in enumerate(todo):
        if i == left_out:
            continue
        if word.startswith("python -m "):
            code, printed = python(folder, *word.split()[1:])
            assert code == 0, printed
        else:
            for before, new in edits[files[word]]:
                insert(path_of(word, folder), before, new)


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
    cell = row("an op").replace("<op>", "cube")
    assert len(todo_of(cell)) == 6
    follow(cell, AN_OP, folder, left_out)


def generic_tests(folder):
    """The exit code and output of the tests that find an op by themselves."""
    (tests_of_ops,) = (folder / "tests" / "ops").rglob(TESTS_OF_AN_OP[0])
    files = [tests_of_ops, *(next((folder / "tests" / "study").rglob(name)) for name in TESTS_OF_AN_OP[1:])]
    chosen = ["-n", "0", "-q", "-p", "no:cacheprovider", "-k", THOSE_ABOUT_IT]
    return python(folder, "-m", "pytest", *chosen, *map(str, files))


def test_every_file_that_the_table_names_exists():
    table = "".join(line for line in (ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines() if line.startswith("|"))
    named = [word for word in re.findall(r"`([\w./]+(?:\.\w+|/))`", table) if "/" in word]
    assert len(named) > 30
    assert not [file for file in named if not path_of(file, ROOT).exists()]


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
@pytest.mark.parametrize("left_out", [1, 2, 3, 4, 5])
def test_an_op_that_leaves_out_one_thing_of_the_row_is_told(copy, left_out):
    if list(AN_OP)[left_out : left_out + 1] in (["ops/__init__.py"], ["examples.py"], ["rules/__init__.py"]):
        with pytest.raises(AssertionError, match=r"Error: .*\bcube\b"):  # the pages cannot be written
            add_op(copy, left_out)
        return
    add_op(copy, left_out)
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


def check_setting(folder):
    """Raise AssertionError unless the setting works, and a wrong value is refused, wherever it can be given."""
    code, printed = python(folder, "-c", CHECKS_OF_A_SETTING)
    assert code == 0, printed
    for command in ("generate", "sampling"):
        _, printed = python(folder, "-m", "tinygrad_gpt", command, "--help")
        assert "--min-probability" in printed, f"{command} --help has no --min-probability: {printed}"
        code, printed = python(folder, "-m", "tinygrad_gpt", command, "runs/none", "text", "--min-probability", "2")
        assert (code, "--min-probability must be at least 0 and at most 1; got 2" in printed) == (2, True), printed


@pytest.mark.slow
def test_a_setting_of_the_sampler_that_follows_its_row_works_everywhere(copy):
    follow(row("a setting of the sampler"), A_SETTING, copy)
    check_setting(copy)


@pytest.mark.slow
@pytest.mark.parametrize("left_out", range(len(A_SETTING)), ids=list(A_SETTING))
def test_a_setting_that_leaves_out_one_file_of_the_row_does_not(copy, left_out):
    follow(row("a setting of the sampler"), A_SETTING, copy, left_out)
    with pytest.raises(AssertionError, match=r"min_probability|MinProbability|min-probability|page"):
        check_setting(copy)
