"""What the last bits of a training run depend on: versions, backend, device, threads, BLAS, processor.

On a processor with other vector units, BLAS and NumPy run other code, which adds in another order.
"""

from functools import cache
from typing import Any

import numpy as np

from tinygrad_gpt.backend import array_module
from tinygrad_gpt.kernels import num_threads
from tinygrad_gpt.kernels.threads import blas_threads_controller
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.version import __version__


def environment(model: GPT) -> dict[str, str | int]:
    """What the last bits of this model's training depend on, by name, as it is now."""
    backend = array_module(next(iter(model.parameters().values())).data)
    found = {
        "tinygrad_gpt": __version__,
        "backend": backend.__name__,
        backend.__name__: backend.__version__,
        "device": model.device,
        "threads": num_threads(),
    }
    return found | describe_processor() if backend is np else found


def describe_processor() -> dict[str, str | int]:
    """BLAS with its kernel, the threads of BLAS, and the vector units that NumPy uses."""
    library = _blas_library()
    return {
        "blas": _blas_name(library),
        "blas_threads": library.get("num_threads", "unknown"),
        "cpu_features": _cpu_features(),
    }


def _blas_library() -> dict[str, Any]:
    """threadpoolctl's description of NumPy's BLAS; empty if it does not know it (Accelerate)."""
    libraries: list[dict[str, Any]] = [
        library for library in blas_threads_controller().info() if library["user_api"] == "blas"
    ]
    libraries.sort(key=lambda library: "numpy" not in library["filepath"])  # SciPy has its own
    return libraries[0] if libraries else {}


def _blas_name(library: dict[str, Any]) -> str:
    """Name, version and kernel of a BLAS, such as openblas 0.3.31 SkylakeX; or the BLAS NumPy was built with."""
    if library:
        parts = [library.get(name) for name in ("internal_api", "version", "architecture")]
    else:
        built = _numpy_config().get("Build Dependencies", {}).get("blas", {})
        parts = [built.get(name) for name in ("name", "version")]
    return " ".join(str(part) for part in parts if part) or "unknown"


@cache
def _cpu_features() -> str:
    """The vector units that this processor has and NumPy has code for, NumPy's baseline first."""
    units = _numpy_config().get("SIMD Extensions", {})
    return " ".join([*units.get("baseline", []), *units.get("found", [])])


def _numpy_config() -> dict[str, Any]:
    """NumPy's build information, and what it found on this machine."""
    return np.show_config(mode="dicts")  # type: ignore[return-value]
