"""Hypothesis does not save its files in the working directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_gpt import laws
from tinygrad_gpt.laws import storage

ROOT = Path(__file__).parents[2]
MODULE = "from tinygrad_gpt import laws\nsut = laws.OpUnderTest(name='twice', op=lambda x: (2 * x, lambda dy: (dy,)))\n"
SOLUTION = "import numpy as np\n\n\ndef multiply(a, b):\n    return a * b, lambda dy: (dy * b, dy * a)\n"
COMMANDS = {
    "laws": ["-m", "tinygrad_gpt", "laws", "users_own:sut", "--only", "G02"],
    "the module of laws": ["-m", "tinygrad_gpt.laws", "users_own:sut", "--only", "G02"],
    "a pitfall": ["-m", "tinygrad_gpt", "pitfalls", "3"],
    "an exercise": ["-m", "tinygrad_gpt", "pitfalls", "exercise", "multiply"],
    "an example": [str(ROOT / "examples" / "02_an_op_and_its_vjp.py")],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_leaves_anything_in_the_folder(tmp_path, command):
    here, cache = tmp_path / "here", tmp_path / "cache"
    here.mkdir()
    (here / "users_own.py").write_text(MODULE)
    (here / "multiply.py").write_text(SOLUTION)
    environment = {name: value for name, value in os.environ.items() if name != "HYPOTHESIS_STORAGE_DIRECTORY"}
    environment |= {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *COMMANDS[command]], cwd=here, env=environment, capture_output=True, text=True
    )
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    assert sorted(path.name for path in here.iterdir()) == ["multiply.py", "users_own.py"]
    assert (cache / "tinygrad_gpt" / "hypothesis").is_dir()


@pytest.fixture
def anywhere(monkeypatch, tmp_path):
    """No folder is named by the environment."""
    monkeypatch.delenv("HYPOTHESIS_STORAGE_DIRECTORY")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_within_a_check_it_is_the_cache_and_afterwards_as_before(anywhere):
    before, seen = storage.storage_folder(), []

    def op(x):
        seen.append(storage.storage_folder())
        return x * 1, lambda dy: (dy * 1,)

    laws.find("G04").check(laws.OpUnderTest(name="same", op=op), "dev")
    assert {*seen} == {anywhere / "tinygrad_gpt" / "hypothesis"}
    assert storage.storage_folder() == before


def test_a_folder_that_the_environment_names_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("HYPOTHESIS_STORAGE_DIRECTORY", str(tmp_path))
    before = storage.storage_folder()
    with storage.storage_in_cache():
        assert storage.storage_folder() == before


def test_a_cache_that_cannot_be_written_is_replaced_by_a_folder_for_temporary_files(anywhere, monkeypatch):
    (anywhere / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(anywhere / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(anywhere / "temporary"))
    assert storage.cache_folder() == anywhere / "temporary" / "tinygrad_gpt" / "hypothesis"
