"""Hypothesis profiles, and a guard: no test may leave the process other than it found it."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl  # noqa: F401 - sets an environment variable when it is imported: before the guard looks
from hypothesis import HealthCheck, settings

from tinygrad_gpt.kernels import threads

os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(__file__).parent.parent / ".hypothesis"))

threads._num_threads = 1  # tests run in as many processes as there are cores; those of threads say how many

COMMON = {"deadline": None, "report_multiple_bugs": False}  # first calls are slow; one cause, one message
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("dev", max_examples=25, suppress_health_check=SLOW, **COMMON)
settings.register_profile("ci", max_examples=100, derandomize=True, database=None, suppress_health_check=SLOW, **COMMON)
settings.register_profile("thorough", max_examples=2000, suppress_health_check=SLOW, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests send themselves Ctrl-C


def process_state():
    return {
        "numpy error handling": np.geterr(),
        "numpy's global random state": np.random.get_state()[1].tobytes(),  # noqa: NPY002
        "working directory": os.getcwd(),
        "environment": {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"},
        "threads": {t.name for t in threading.enumerate() if not t.daemon},
    }


@pytest.fixture(autouse=True)
def leaves_the_process_as_it_found_it():
    before = process_state()
    yield
    after = process_state()
    changed = [name for name in before if before[name] != after[name]]
    assert not changed, f"the test changed {', '.join(changed)}"
