"""The predicates need NumPy alone."""

import subprocess
import sys
from types import FunctionType

from tinygrad_gpt import laws
from tinygrad_gpt.laws import predicates

PROGRAM = """
import sys
sys.modules["hypothesis"] = None  # as if it were not installed
import numpy as np
from tinygrad_gpt.laws import holds_distribution
from tinygrad_gpt.laws.predicates import holds_top_k
from tinygrad_gpt import laws
p = np.array([0.0, 0.25, 0.75])
print(holds_distribution(p), holds_distribution(2 * p), laws.holds_top_k(p, p, 2), holds_top_k(p, p, 1))
"""


def test_they_can_be_asked_without_hypothesis():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True False True False\n", "")


def test_every_predicate_is_public():
    names = [name for name, value in vars(predicates).items() if isinstance(value, FunctionType)]
    assert {name for name in names if name.startswith("holds_")} == {n for n in dir(laws) if n.startswith("holds_")}
