"""The process keeps freed memory, if its C library can do that."""

import subprocess
import sys

import pytest

PROGRAM = """
import re, sys
import numpy as np
from tinygrad_gpt.kernels import keep_freed_memory

def held():
    return int(re.search(r"VmRSS:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(3)
before = held()
a = np.ones(50_000_000, np.float32)
del a
print((held() - before) // 1000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="how much is held is read from /proc")
def test_a_freed_array_stays_with_the_process():
    def left_over(how):
        done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=False)
        if done.returncode == 3:
            pytest.skip("this C library cannot be told to keep freed memory")
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    assert left_over("let go") < 50  # megabytes, of 200
    assert left_over("keep") > 150
