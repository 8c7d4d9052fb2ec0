"""A program ends quietly if only the beginning of its output is read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path.relative_to(ROOT) for path in (ROOT / "examples").rglob("*.py"))
OBJECT = "from tinygrad_gpt import laws\nsut = laws.OpUnderTest(name='same', op=lambda x: (x, lambda dy: (dy,)))\n"
MATRIX = """
import runpy
from tests.mutants import zoo
zoo.MUTANTS.clear()  # nothing to measure: in place of minutes
runpy.run_module("tests.mutants.page_of_kills", run_name="__main__", alter_sys=True)
"""
PROGRAMS = {
    "tinygrad-gpt": ["-m", "tinygrad_gpt", "--help"],
    "laws": ["-m", "tinygrad_gpt.laws", "unread:sut", "--only", "G03"],
    "page of laws": ["-m", "tests.mutants.page_of_laws"],
    "matrix of mutants": ["-c", MATRIX],
    "pages of gradients": ["-m", "tinygrad_gpt.study.explain.gradients", "--help"],
    "benchmarks": ["-m", "benchmarks", "--help"],
    "an example": [str(ROOT / "examples" / "01_one_multiplication.py")],
}

BY_ARGPARSE = {"pages of gradients", "benchmarks"}  # which does not mind that nobody reads its help


def unread(arguments, folder):
    """Run Python where nobody reads what it prints."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    read, write = os.pipe()
    os.close(read)
    try:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=folder, env=environment, stdout=write, stderr=subprocess.PIPE, timeout=240)
    finally:
        os.close(write)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
@pytest.mark.parametrize("buffering", [[], ["-u"]], ids=["at the end", "at once"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_whose_output_nobody_reads_ends_without_a_word(tmp_path, program, buffering):
    (tmp_path / "unread.py").write_text(OBJECT)
    done = unread([*buffering, *PROGRAMS[program]], tmp_path)
    assert done.stderr == b""
    assert done.returncode == (0 if program in BY_ARGPARSE else 141)


@pytest.mark.parametrize("script", EXAMPLES, ids=str)
def test_every_example_is_such_a_program(script):
    assert "quiet_pipe()" in (ROOT / script).read_text("utf-8")


def test_other_errors_are_told_as_ever(tmp_path):
    code = "from tinygrad_gpt.console import quiet_pipe\nquiet_pipe()\nprint('a')\n1 / 0"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert (done.returncode, done.stdout) == (1, "a\n")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_what_was_to_be_done_at_the_end_is_done(tmp_path):
    code = (
        "import atexit, pathlib\nfrom tinygrad_gpt.console import quiet_pipe\nquiet_pipe()\n"
        "atexit.register(pathlib.Path('done').touch)\nprint('a')"
    )
    assert unread(["-c", code], tmp_path).returncode == 141
    assert (tmp_path / "done").exists()
