"""The fixture `device`: a GPU that is none, or, with `-m cuda`, the one in the machine."""

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.cuda import cublas, standin
from tests.cuda.emulator.emulator import Emulator
from tests.cuda.limits import LIMITS, kind_of, listed
from tinygrad_gpt import backend
from tinygrad_gpt.kernels.cuda import launcher, optimizer


class PretendedDevice:
    """The stand-in for CuPy, with kernels that run on the CPU."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        emulator.after_launch = standin.check_guards
        self.xp = standin.module
        self.transfers = standin.transfers

    def asarray(self, array: Any) -> Any:
        """A copy on the device, not logged."""
        return standin.on_device(np.array(array))

    def get(self, array: Any) -> np.ndarray:
        """A copy on the host, not logged."""
        return array._array.copy()

    def schedule(self, n: int) -> contextlib.AbstractContextManager[None]:
        """Within this block threads and blocks take turns in order n, from 0 to 5."""
        return self.emulator.under_schedule(n)


class RealDevice:
    """The GPU in the machine, under the same names."""

    def __init__(self) -> None:
        import cupy  # noqa: TID251

        self.xp = cupy

    def asarray(self, array: Any) -> Any:
        """A copy on the device."""
        return self.xp.asarray(np.array(array))

    def get(self, array: Any) -> np.ndarray:
        """A copy on the host."""
        return array.get()

    def schedule(self, n: int) -> contextlib.AbstractContextManager[None]:
        """Threads take turns as they like."""
        return contextlib.nullcontext()


def package(name: str) -> ModuleType:
    """A module that may have submodules."""
    module = ModuleType(name)
    module.__path__ = []
    return module


def pretended_modules() -> dict[str, ModuleType]:
    """What `import cupy` and its kin will find."""
    modules = {name: package(name) for name in ("cupy_backends", "cupy_backends.cuda", "cupy_backends.cuda.libs")}
    modules["cupy_backends.cuda.libs.cublas"] = cublas.fake_module()
    modules["cupy_backends.cuda.libs"].cublas = modules["cupy_backends.cuda.libs.cublas"]
    modules |= {name: package(name) for name in ("cupyx", "cupyx.scipy")}
    special = modules["cupyx.scipy.special"] = ModuleType("cupyx.scipy.special")
    special.erf = lambda x: standin.on_device(backend.erf(x._array))
    modules["cupyx"].scipy = modules["cupyx.scipy"]
    modules["cupyx.scipy"].special = special
    return {"cupy": standin.module, **modules}


@contextlib.contextmanager
def pretended_device() -> Iterator[PretendedDevice]:
    """Within this block `import cupy` gives the stand-in, and kernels run on the CPU."""
    emulator, patch = Emulator(), pytest.MonkeyPatch()
    with patch.context() as patched:
        for name, module in pretended_modules().items():
            patched.setitem(sys.modules, name, module)
        patched.setattr(backend, "raw_module", emulator.raw_module)
        used = noting_what_is_used(patched)
        forget()
        standin.transfers.clear()
        try:
            yield PretendedDevice(emulator)
        finally:
            forget()
    standin.check_guards("something")
    unlisted = {kind_of(*kernel) for kernel in used} - listed(LIMITS)
    assert not unlisted, f"tests/cuda/limits.py lacks kernels that are in use: {sorted(unlisted)}"


def forget() -> None:
    """Forget what the package remembers of a device: its compiled kernels, and tables that lie there."""
    launcher.forget_compiled()
    optimizer.send_once.cache_clear()


def noting_what_is_used(patched: pytest.MonkeyPatch) -> set[tuple[str, str, launcher.Defines]]:
    """Every kernel of the package that is launched from now on, with its defines."""
    used, prepared, folder = set(), launcher.compiled_kernel, launcher.FOLDER

    def noting(file: str, kernel: str, defines: launcher.Defines) -> Any:
        if folder == launcher.FOLDER:
            used.add((file, kernel, defines))
        return prepared(file, kernel, defines)

    noting.cache_clear = prepared.cache_clear
    patched.setattr(launcher, "compiled_kernel", noting)
    return used


@pytest.fixture
def device() -> Iterator[PretendedDevice]:
    """A device to test on, which needs no GPU but g++."""
    missing = Emulator.missing()
    if missing:
        pytest.skip(missing)
    with pretended_device() as pretended:
        yield pretended


@pytest.fixture
def gpu() -> RealDevice:
    """The GPU in the machine, for tests that are marked cuda."""
    reason = backend.why_no_cuda()
    if reason is not None:
        pytest.skip(reason)
    forget()
    return RealDevice()


@pytest.fixture(params=["device", pytest.param("gpu", marks=pytest.mark.cuda)])
def any_device(request: pytest.FixtureRequest) -> PretendedDevice | RealDevice:
    """The device that is none, and under `-m cuda` the one in the machine: one text of a test for both."""
    return request.getfixturevalue(request.param)
