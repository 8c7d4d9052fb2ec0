"""The scripts beside the lab run, and its page lists what there is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_gpt.study import pitfalls
from tinygrad_gpt.study.pitfalls.exercises.catalogue import ALL_EXERCISES

FOLDER = Path(__file__).parents[3] / "examples" / "pitfalls"
EXPECTED = {
    "every_pitfall.py": ["repeated-ids           G09    what is read twice"],
    "write_a_vjp.py": ["dx[0, 0] is ", "Hint: p (1 - p) is the diagonal", "softmax is right, by these laws:"],
}


def test_every_script_is_listed():
    assert {path.name for path in FOLDER.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("script", EXPECTED)
def test_script_runs(script, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(FOLDER.parents[1])}
    command = [sys.executable, "-W", "error", str(FOLDER / script)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    for line in EXPECTED[script]:
        assert line in result.stdout
    if script == "every_pitfall.py":
        assert len(result.stdout.splitlines()) == 1 + len(pitfalls.NAMES)


def test_the_page_lists_what_there_is():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for number, pitfall in enumerate(pitfalls.every(), 1):
        assert f"| {number} | `{pitfall.name}` | {pitfall.area} | {pitfall.title} |" in page
    for exercise in ALL_EXERCISES:
        assert f"| `{exercise.name}` | {exercise.task} |" in page
    for script in EXPECTED:
        assert f"]({script})" in page
