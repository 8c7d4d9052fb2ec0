"""The laws where NumPy and Hypothesis are all there is, installed as their README says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "tinygrad_gpt" / "laws" / "README.md"

# A right and a broken object of every area: the right one keeps its laws, the broken one is found out.
PROGRAM = """
import sys
from tinygrad_gpt import laws
from tests.mutants import zoo
from tests.mutants.zoo.ops import tanh
from tests.mutants.zoo.data import RIGHT_LOADER
from tests.mutants.zoo.small_engine import RIGHT_ENGINE
from tests.mutants.zoo.losses import RIGHT_LOSS
from tests.mutants.zoo.model import RIGHT_MODEL
from tests.mutants.zoo.small_adamw import RIGHT_OPTIMIZER
from tests.mutants.zoo.small_checkpoints import RIGHT_CHECKPOINT
from tinygrad_gpt.laws.sampling import reference

settings = {"temperature", "top_k", "top_p", "min_p"}
RIGHT = [
    laws.OpUnderTest(name="tanh", op=tanh),
    RIGHT_ENGINE,
    RIGHT_MODEL,
    laws.SamplerUnderTest(name="r", probabilities=reference.probabilities, capabilities=settings),
    RIGHT_LOSS,
    RIGHT_OPTIMIZER,
    RIGHT_LOADER,
    RIGHT_CHECKPOINT,
]
assert {sut.area for sut in RIGHT} == set(laws.LAWS)
for sut in RIGHT:
    laws.check(sut, profile="dev")
    broken = zoo.MUTANTS[sut.area][0]
    report = laws.check(broken.sut, profile="mutants", on_fail="report", only=[zoo.killers(broken)[0].id])
    assert [result.status for result in report.results] == ["broken"], report
engine = {name for name in sys.modules if name.startswith("tinygrad_gpt.") and not name.startswith("tinygrad_gpt.laws")}
assert engine == {"tinygrad_gpt.version"}, engine
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of a virtual environment that was made by the README's commands."""
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    commands = re.findall(r"^    pip install (.*)$", README.read_text("utf-8"), re.MULTILINE)
    assert len(commands) == 2
    for arguments in commands:
        words = [word.strip('"') for word in arguments.split()]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *words], check=True, cwd=ROOT)
    return python


def run(python, folder, *arguments):
    """A program of that Python, which sees nothing of this one."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return subprocess.run([python, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_objects_of_every_area_are_checked_with_numpy_and_hypothesis_alone(python, tmp_path):
    listed = run(python, tmp_path, "-m", "pip", "list", "--format=freeze").stdout.split()
    assert {name.partition("==")[0] for name in listed} <= {
        *("hypothesis", "numpy", "pip", "setuptools", "sortedcontainers", "tinygrad-gpt", "tinygrad_gpt")
    }
    shutil.copytree(ROOT / "tests" / "mutants" / "zoo", tmp_path / "tests" / "mutants" / "zoo")
    done = run(python, tmp_path, "-c", PROGRAM)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("program", ["tinygrad_gpt.laws", "tinygrad_gpt laws"])
def test_the_command_works_there_too(python, tmp_path, program):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom tinygrad_gpt import laws\n"
        "sut = laws.SamplerUnderTest(name='mine', probabilities=np.exp)\n"
    )
    done = run(python, tmp_path, "-m", *program.split(), "mine:sut", "--only", "S06")
    assert (done.returncode, done.stderr) == (1, "")
    assert "broken" in done.stdout
