"""What a checkpoint says of the machine: the BLAS kernel and the vector units that rounding depends on."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

import tinygrad_gpt
from tinygrad_gpt.checkpoints import environment
from tinygrad_gpt.checkpoints.environment import describe_processor

PRINT = "from tinygrad_gpt.checkpoints.environment import describe_processor; print(describe_processor())"
OPENBLAS = [pool for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "openblas"]
OPENBLAS.sort(key=lambda pool: "numpy" not in pool["filepath"])  # SciPy brings one of its own, if a test has loaded it


def elsewhere(**variables):
    """The same in a process with these environment variables."""
    package = str(Path(tinygrad_gpt.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", PRINT],
        env={**os.environ, "PYTHONPATH": package, **variables},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return ast.literal_eval(done.stdout)


@pytest.mark.skipif(not OPENBLAS, reason="NumPy has another BLAS here")
def test_blas_is_named_with_its_version_and_the_kernel_it_has_chosen():
    here = describe_processor()
    assert here["blas"] == "openblas {version} {architecture}".format(**OPENBLAS[0])
    if OPENBLAS[0]["architecture"] in ("SkylakeX", "Cooperlake", "SapphireRapids", "Zen"):  # they know Haswell's too
        there = elsewhere(OPENBLAS_CORETYPE="Haswell")
        assert there["blas"] == "openblas {version} Haswell".format(**OPENBLAS[0])
        assert there["cpu_features"] == here["cpu_features"]


def test_the_vector_units_are_those_that_numpy_uses():
    units = np.show_config(mode="dicts")["SIMD Extensions"]
    assert describe_processor()["cpu_features"].split() == units["baseline"] + units["found"]
    if units["found"]:
        off = [*units["found"], os.environ.get("NPY_DISABLE_CPU_FEATURES", "")]  # some may be off here already
        there = elsewhere(NPY_DISABLE_CPU_FEATURES=" ".join(off))
        assert there["cpu_features"].split() == units["baseline"]


def test_the_threads_of_blas_are_told():
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert describe_processor()["blas_threads"] == 1


class NumPysAndAnother:
    """Two BLAS libraries in one process, as with SciPy."""

    def info(self):
        of_scipy = {"user_api": "blas", "internal_api": "openblas", "version": "1", "architecture": "A"}
        of_numpy = of_scipy | {"version": "2", "architecture": "B", "filepath": "/x/numpy.libs/b.so", "num_threads": 3}
        openmp = {"user_api": "openmp", "internal_api": "openmp", "filepath": "/x/numpy.libs/o.so", "num_threads": 9}
        return [openmp, of_scipy | {"filepath": "/x/scipy.libs/a.so", "num_threads": 7}, of_numpy]


class Unknown:
    """A process whose BLAS threadpoolctl does not know, as on macOS."""

    def info(self):
        return []


def test_numpy_s_library_is_told_among_others_and_its_build_where_none_is_known(monkeypatch):
    monkeypatch.setattr(environment, "blas_threads_controller", NumPysAndAnother)
    assert (describe_processor()["blas"], describe_processor()["blas_threads"]) == ("openblas 2 B", 3)
    monkeypatch.setattr(environment, "blas_threads_controller", Unknown)
    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    assert describe_processor()["blas"] == f"{built['name']} {built['version']}"
    assert describe_processor()["blas_threads"] == "unknown"
