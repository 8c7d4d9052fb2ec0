"""Every example runs, and says what it promises.  Each is a script, run as a reader would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
EXPECTED = {  # a script's arguments, and a line that its output must hold
    "01_one_multiplication.py": ([], "by the tape dz/dx = 5.0, dz/dy = 2.0"),
    "02_an_op_and_its_vjp.py": ([], "G02, the vjp is the transposed Jacobian: broken by wrong"),
    "03_softmax_and_cross_entropy.py": ([], "fused loss: 1000.0, gradient [ 1. -1.  0.]"),
    "04_loss_and_perplexity.py": ([], "loss by hand"),
    "05_data_loaders.py": ([], "the same step again: the same rows"),
    "06_attention.py": ([], "sum of dk over tokens"),
    "07_one_step.py": ([], "after one step of AdamW"),
    "08_adamw.py": ([], "1 becomes 0.95"),
    "09_pretrain.py": (["--out", "{folder}", "--steps", "50"], "step   50"),
    "10_temperature_and_top_k.py": (["--out", "{folder}"], "greedy: forward"),
    "11_check_your_sampler.py": ([], "all laws hold"),
    "12_the_chapter.py": (["--out", "{folder}", "--epochs", "1"], "from 'torch': log-probabilities of the targets"),
}


def run(script, arguments, folder):
    environment = os.environ | {"PYTHONPATH": str(EXAMPLES.parent), "MPLCONFIGDIR": str(folder / "matplotlib")}
    command = [sys.executable, "-W", "error", str(EXAMPLES / script)]
    command += [argument.format(folder=folder) for argument in arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


def test_every_example_is_listed():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("script", EXPECTED)
def test_example_runs(script, tmp_path):
    arguments, line = EXPECTED[script]
    result = run(script, arguments, tmp_path)
    assert result.returncode == 0, result.stderr
    assert line in result.stdout
    assert "DIFFERENT" not in result.stdout
    if "--out" in arguments:
        assert [path.suffix for path in tmp_path.glob("*.png")] == [".png"]


def test_one_line_where_there_is_no_gpu(tmp_path):
    from tinygrad_gpt.backend import why_no_cuda

    if why_no_cuda() is None:
        pytest.skip("there is a GPU")
    result = run("07_one_step.py", ["--device", "cuda"], tmp_path)
    assert result.returncode != 0
    assert "device 'cuda' is not available" in result.stderr.splitlines()[-1]
