"""CUDA text on the CPU: g++ builds it into a library, whose kernels take the arguments that CUDA's would."""

import contextlib
import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_gpt.kernels.cuda.launcher import entry_points

HERE = Path(__file__).parent
HEADER = HERE / "cuda_on_cpu.hpp"
COMPILER = "g++"
FLAGS = ("-O1", "-fPIC", "-w", "-ffp-contract=off", "-fsanitize=alignment,bounds", f"-I{HERE}")
SCHEDULES = range(6)
USER = getattr(os, "getuid", lambda: 0)()
BUILT = Path(tempfile.gettempdir()) / f"tinygrad_gpt-emulated-{USER}"


class EmulatedKernelError(AssertionError):
    """A kernel did what a GPU would not forgive."""


class Emulator:
    """Stands in for CuPy's modules: `emulator.raw_module` for `backend.raw_module`."""

    def __init__(self) -> None:
        self.schedule = 0
        self.after_launch = lambda name: None  # called when a kernel has run: to look at guards, say
        self.launches: list[str] = []
        self.edit = lambda code: code  # what is compiled instead of a text: to plant a mistake, say

    @staticmethod
    def missing() -> str | None:
        """Why there is no emulator here, or None."""
        return None if shutil.which(COMPILER) else f"{COMPILER} is missing: CUDA text cannot be run on the CPU"

    def raw_module(self, code: str, options: tuple[str, ...]) -> "Module":
        """The text, as a module whose kernels run here."""
        return Module(self, self.edit(code), options)

    @contextlib.contextmanager
    def under_schedule(self, schedule: int) -> Iterator[None]:
        """Within this block threads and blocks take turns in this order."""
        before, self.schedule = self.schedule, schedule
        try:
            yield
        finally:
            self.schedule = before


class Module:
    """One text under one set of options."""

    def __init__(self, emulator: Emulator, code: str, options: tuple[str, ...]) -> None:
        self.emulator = emulator
        self.library = ctypes.CDLL(str(built(code, options)))

    def get_function(self, name: str) -> "Kernel":
        """A kernel by name."""
        return Kernel(self, name)


class Kernel:
    """Called as CuPy's kernels are."""

    def __init__(self, module: Module, name: str) -> None:
        self.module, self.name = module, name
        self.run = getattr(module.library, f"run_{name}")
        self.run.restype = ctypes.c_char_p

    def __call__(self, grid: Any, block: Any, args: Any) -> None:
        values = [cell(value) for value in args]
        pointers = (ctypes.c_void_p * len(values))(*[value.ctypes.data for value in values])
        three = ctypes.c_uint * 3
        emulator = self.module.emulator
        emulator.launches.append(self.name)
        self.module.library.set_schedule(emulator.schedule)
        problem = self.run(three(*grid), three(*block), pointers)
        if problem:
            raise EmulatedKernelError(f"{self.name}: {problem.decode()}")
        emulator.after_launch(self.name)


def cell(value: Any) -> np.ndarray:
    """Memory that holds an argument: a pointer's address, or a number in the kernel's own type."""
    if value is None:
        return np.zeros(1, np.uint64)
    if isinstance(value, np.generic):
        return np.array([value])
    return np.array([value.data.ptr], np.uint64)


@cache
def compiler() -> str:
    """Its version: another one builds other libraries."""
    return subprocess.run([COMPILER, "--version"], capture_output=True, text=True, check=True).stdout


@cache
def built(code: str, options: tuple[str, ...]) -> Path:
    """The library of a text: built once per content, by whoever comes first."""
    program = as_program(code)
    content = "\0".join([program, HEADER.read_text(), *options, *FLAGS, compiler()])
    library = BUILT / f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.so"
    BUILT.mkdir(mode=0o700, exist_ok=True)
    if BUILT.stat().st_uid != USER:
        raise PermissionError(f"{BUILT} is somebody else's: what is in it will not be run")
    if library.exists():
        return library
    with tempfile.TemporaryDirectory(dir=BUILT) as folder:
        text = Path(folder, "program.cpp")
        text.write_text(program)
        compiled, half_built = Path(folder, "program.o"), Path(folder, "program.so")
        commands = (
            [*options, *FLAGS, "-c", str(text), "-o", str(compiled)],
            ["-shared", str(compiled), "-o", str(half_built)],
        )
        for arguments in commands:  # in two steps: the reports of -fsanitize are our own, not the library's
            done = subprocess.run([COMPILER, *arguments], capture_output=True, text=True)
            if done.returncode:
                raise SyntaxError(done.stderr)
        os.replace(half_built, library)  # at once: another process sees all of it or nothing
    return library


def as_program(code: str) -> str:
    """The text, with an entry point for each kernel that the outside can call."""
    entries = "\n".join(
        f"const char* run_{name}(const unsigned* grid, const unsigned* block, void** args)"
        f" {{ return emu::call({name}, grid, block, args); }}"
        for name in entry_points(code)
    )
    setter = "void set_schedule(int schedule) { emu::schedule = schedule; }"
    return f'#include "cuda_on_cpu.hpp"\n{code}\nextern "C" {{\n{setter}\n{entries}\n}}\n'
