"""The worth of a law can be measured."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np

from tinygrad_gpt import laws

README = Path(laws.__file__).with_name("README.md").read_text("utf-8")


def test_the_readmes_law_prints_what_stands_there():
    ((program, shown),) = re.findall(
        r"```python\n(.*?)```\n\n```text\n(.*?)```", README[README.index("your own law") :], re.S
    )
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(program, {"__name__": "readme"})
    assert printed.getvalue() == shown


def test_a_law_does_not_kill_what_passes_it():
    doubled = laws.SamplerUnderTest(name="doubled", probabilities=lambda x: 2 * np.ones(x.shape) / x.shape[-1])
    mutant = laws.Mutant("doubled", doubled, "Probabilities that add up to 2.")
    assert laws.kills(laws.find("S01"), mutant)
    assert not laws.kills(laws.find("S02"), mutant)
