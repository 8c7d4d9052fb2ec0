"""The benchmark compares like with like, or says nothing.  (How fast anything is, is no test's business.)"""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import products, training
from benchmarks.settings import CONTENDERS, SETTINGS, Setting
from tinygrad_gpt.nn import PRESETS

TINY = Setting("tiny", replace(PRESETS["tiny"], vocab_size=50), 2, burst=3)


def contender(name, loss):
    found = training.Contender(name, process=None, loss=loss, peak=10**9)
    found.seconds = [0.1, 0.3, 0.2]
    return found


def test_different_losses_forbid_a_comparison():
    training.check_losses([contender("a", 10.0), contender("b", 10.0005), contender("products", None)])
    with pytest.raises(ValueError, match=r"no ratio is printed: at equal weights the losses differ: .*10.002"):
        training.check_losses([contender("a", 10.0), contender("b", 10.002)])
    for losses in ((10.0, math.nan), (math.nan, 10.0), (math.inf, math.inf)):
        with pytest.raises(ValueError, match="no ratio is printed"):
            training.check_losses([contender("a", losses[0]), contender("b", losses[1])])


def test_a_table():
    other = contender("PyTorch eager", 1.0)
    other.seconds = [0.4, 0.5, 0.3]
    assert training.table(TINY, [contender("ours", 1.0), other]).splitlines()[2:] == [
        f"| ours | 200 | {2 * TINY.length / 0.2:,.0f} |  | 1.00 GB |",
        f"| PyTorch eager | 400 | {2 * TINY.length / 0.4:,.0f} | 0.50 | 1.00 GB |",
    ]


@pytest.mark.parametrize("name", CONTENDERS)
def test_what_a_contender_needs_is_known(name):
    module = CONTENDERS[name].split(":")[0]
    assert training.installed(name) or module.startswith("benchmarks.rival_")


def test_the_products_are_those_of_the_model():
    """Each weight matrix takes part in three products; attention has six."""
    calls = []
    _, step = products.contender(TINY.config, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "matmul", lambda a, b: calls.append((a.shape, b.shape)))
        step(*TINY.batch())
    assert len(calls) == TINY.config.n_layers * (4 * 3 + 6) + 3


def test_from_end_to_end(monkeypatch):
    """Two of ours in processes of their own, which learn the same."""
    monkeypatch.setitem(SETTINGS, "small", TINY)  # the worker has its own: the loss must be of the real one
    monkeypatch.setattr(training, "REST", 0)
    monkeypatch.setattr(training, "start", started_tiny)
    found = training.run("small", ["ours", "ours, without kernels", "matrix products alone"], rounds=2)
    assert [len(c.seconds) for c in found] == [4, 4, 4]
    assert found[0].loss == pytest.approx(found[1].loss, rel=1e-5)
    assert found[2].loss is None
    assert all(c.peak > 10**7 for c in found)
    assert all(c.process.returncode is not None for c in found)
    assert re.search(
        r"\| ours, without kernels \| [\d,]+ \| [\d,]+ \| [\d.]+ \| [\d.]+ GB \|", training.table(TINY, found)
    )


PROGRAM = """
import sys
from benchmarks import settings, worker
from tests.benchmarks.test_training import TINY
settings.SETTINGS["small"] = TINY
worker.main(*sys.argv[1:])
"""


def started_tiny(name, setting_name, weights):
    import subprocess
    import sys

    command = [sys.executable, "-c", PROGRAM, name, setting_name, str(weights)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return training.Contender(name, process)
