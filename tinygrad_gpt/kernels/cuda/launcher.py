"""Launching kernels of raw CUDA source.

CUDA checks nothing: with a missing argument, a Python float for a `float`, a transposed view or an array of another
dtype, the results are wrong without an error.  So the launcher reads the kernel's parameter list from its source, once,
and checks every call against it.  It cannot know how many entries the kernel accesses: only the wrapper can ensure that
no access is outside an array.

The source is compiled at its first use, once per set of defines.  An entry point is written

    extern "C" __global__ void NAME(const T* x, float* y, size_t n)

where T, or any other name, may be a macro that defines sets: {"T": "float"} or {"T": "__nv_bfloat16"}.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_gpt import backend
from tinygrad_gpt.backend import Array

FOLDER = Path(__file__).parent
OPTIONS = ("--std=c++17",)
Define = str | int | float
Defines = tuple[tuple[str, Define], ...]  # sorted, so that it can be a key
Converter = Callable[[Any], Any]  # an argument -> what is handed to CUDA

_DTYPES = {  # of CUDA's types
    "bool": "bool",
    "char": "int8",
    "unsigned char": "uint8",
    "short": "int16",
    "unsigned short": "uint16",
    "int": "int32",
    "unsigned": "uint32",
    "unsigned int": "uint32",
    "long long": "int64",
    "unsigned long long": "uint64",
    "size_t": "uint64",
    "float": "float32",
    "double": "float64",
    "__nv_bfloat16": "bfloat16",
}
_MAX_THREADS = 1024  # in a block
_MAX_BLOCKS = (2**31 - 1, 2**16 - 1, 2**16 - 1)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel: its name, its CUDA type, whether it points to an array of that type."""

    name: str
    type: str
    pointer: bool


def launch(
    file: str,
    kernel: str,
    *args: Array | float | None,
    grid: int | tuple[int, ...],
    block: int | tuple[int, ...],
    defines: Mapping[str, Define] | None = None,
) -> None:
    """Run a kernel of kernels/cuda/FILE on the arrays' device, on the current stream, without waiting for it.

    An array is passed as a pointer; it must be C-contiguous, have the pointer's dtype and be on the current device.
    None is a null pointer.  Python's and NumPy's numbers are converted to the declared type.  A grid without blocks
    (for no rows, say) launches nothing.

    Raises TypeError or ValueError with the kernel, the parameter and what it accepts.
    """
    function, checks = compiled_kernel(file, kernel, tuple(sorted((defines or {}).items())))
    where = f"{kernel} in {file}"
    if len(args) != len(checks):
        raise TypeError(f"{where} takes {len(checks)} arguments; got {len(args)}")
    values = tuple([check(value) for check, value in zip(checks, args, strict=True)])
    _one_device(where, args)
    grid, block = _three_axes(grid), _three_axes(block)
    if 0 in grid:
        return
    if math.prod(block) > _MAX_THREADS or min(block) < 1:
        raise ValueError(f"{where}: block must have 1 to {_MAX_THREADS} threads; got {block}")
    if any(n > most for n, most in zip(grid, _MAX_BLOCKS, strict=True)):
        raise ValueError(f"{where}: grid may be at most {_MAX_BLOCKS}; got {grid}")
    function(grid, block, values)


def _three_axes(n: int | tuple[int, ...]) -> tuple[int, int, int]:
    """A grid or block with all three axes."""
    x, y, z = (*((n,) if isinstance(n, int) else n), 1, 1, 1)[:3]
    return operator.index(x), operator.index(y), operator.index(z)


def _one_device(where: str, args: tuple[Any, ...]) -> None:
    """Raise ValueError unless all arrays are on the current device."""
    here = backend.current_device()
    for value in args:
        on_some = hasattr(value, "device") and not isinstance(value, np.generic)  # whose device is "cpu"
        if on_some and value.device.id != here:
            raise ValueError(f"{where}: all arrays must be on the current device {here}; got one on {value.device.id}")


@cache
def compiled_kernel(file: str, kernel: str, defines: Defines) -> tuple[Any, tuple[Converter, ...]]:
    """The compiled kernel, and for each parameter the function that checks and converts its argument."""
    parameters = parameters_of(source(file), kernel, dict(defines))
    checks = tuple(check_for(parameter, f"{kernel} in {file}") for parameter in parameters)
    return _module_of(file, defines).get_function(kernel), checks


@cache
def _module_of(file: str, defines: Defines) -> Any:
    """The module of a file under these defines; CuPy compiles it when a kernel of it is first launched."""
    return backend.raw_module(program(file, defines), OPTIONS)


def program(file: str, defines: Defines) -> str:
    """The source to compile: CUDA's own headers, then the defines, then the file.

    In that order, and not with -D options, because a macro T would otherwise replace every T in CUDA's headers.  As one
    text, because CuPy's cache of compiled kernels compares only the text and would not notice a changed header.
    """
    text = source(file)
    lines = [line for line in text.splitlines() if _SYSTEM_INCLUDE.match(line)]
    lines += [f"#define {name} {literal(value)}" for name, value in defines]
    return "\n".join([*dict.fromkeys(lines), _SYSTEM_INCLUDE.sub("", text)])


def literal(value: Define) -> str:
    """A define's value as CUDA text; a Python float becomes a `float` literal, because a bare 0.5 is a double."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"a define must be finite; got {value}")
        return f"{value!r}f"
    return str(int(value)) if isinstance(value, bool) else str(value)


@cache
def source(file: str) -> str:
    """The text of a file, with each #include "NAME" line replaced by that header of this folder, each header once."""
    return _with_headers(file, set())


def _with_headers(file: str, seen: set[str]) -> str:
    """The text of a file with its headers, except those that were included before."""
    lines = [f'#line 1 "{file}"']
    for number, line in enumerate((FOLDER / file).read_text(encoding="utf-8").splitlines(), start=1):
        header = _OWN_INCLUDE.match(line)
        if header is None:
            lines.append(line)
        elif header[1] in seen:
            lines.append("")
        else:
            seen.add(header[1])
            lines += [_with_headers(header[1], seen), f'#line {number + 1} "{file}"']
    return "\n".join(lines)


_SYSTEM_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*<[^>]+>[^\n]*$", re.MULTILINE)
_OWN_INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')
_ENTRY = re.compile(r'extern\s*"C"\s*__global__\s+(.*?)\(([^()]*)\)\s*\{', re.DOTALL)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_BOUNDS = re.compile(r"__launch_bounds__\s*\([^()]*\)")


def entry_points(text: str) -> dict[str, str]:
    """The name and the parameter list of every kernel in a text."""
    text = _BOUNDS.sub("", _COMMENT.sub("", text))
    return {entry[1].split()[-1]: entry[2] for entry in _ENTRY.finditer(text)}


def parameters_of(text: str, kernel: str, defines: Mapping[str, Define]) -> tuple[Parameter, ...]:
    """The parameters that a kernel declares.  Raises ValueError if there is no such kernel, or for an unknown type."""
    found = entry_points(text)
    if kernel not in found:
        raise ValueError(f"kernel must be one of {', '.join(sorted(found)) or 'none'} here; got {kernel!r}")
    declared = [] if found[kernel].split() in ([], ["void"]) else found[kernel].split(",")
    return tuple(_parameter(declaration, defines, kernel) for declaration in declared)


def _parameter(declaration: str, defines: Mapping[str, Define], kernel: str) -> Parameter:
    """One parameter from its declaration, `const T* __restrict__ x`."""
    tokens = re.findall(r"\w+|\*", declaration)
    *words, name = [token for token in tokens if token not in ("const", "volatile", "__restrict__", "*")]
    type_ = " ".join(words)
    for _ in defines:  # a macro may expand to another
        type_ = str(defines.get(type_, type_))
    pointer = tokens.count("*") == 1
    known = type_ in _DTYPES or (pointer and type_ == "void")
    if not known or tokens.count("*") > 1:
        raise ValueError(f"parameter `{declaration.strip()}` of {kernel} has a type that no argument fits")
    return Parameter(name, type_, pointer)


def check_for(parameter: Parameter, where: str) -> Converter:
    """The function that converts an argument for this parameter, or raises."""
    where = f"{parameter.name} of {where}"
    if parameter.pointer:
        return _check_array(parameter.type, where)
    if parameter.type in ("float", "double"):
        return _check_float(np.dtype(_DTYPES[parameter.type]), where)
    return _check_int(np.dtype(_DTYPES[parameter.type]), where)


def _check_array(type_: str, where: str) -> Converter:
    """A check for an array, or None."""
    name = _DTYPES.get(type_)  # None for void: any

    def check(value: Any) -> Any:
        if value is None:
            return None
        if not hasattr(value, "data") or not hasattr(value.data, "ptr"):
            raise TypeError(f"{where} must be an array on the device; got {type(value).__name__}")
        if name is not None and value.dtype.name != name:
            raise TypeError(f"{where} must be {name}; got {value.dtype.name}")
        if not value.flags.c_contiguous:
            raise ValueError(f"{where} must be C-contiguous; got strides {value.strides} of shape {value.shape}")
        return value

    return check


def _check_float(dtype: np.dtype[Any], where: str) -> Converter:
    """A check for a number."""

    def check(value: Any) -> Any:
        if isinstance(value, float | int | np.floating | np.integer) and not isinstance(value, bool):
            return dtype.type(value)
        raise TypeError(f"{where} must be a number; got {type(value).__name__}")

    return check


def _check_int(dtype: np.dtype[Any], where: str) -> Converter:
    """A check for a whole number that fits the type."""
    low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))

    def check(value: Any) -> Any:
        try:
            number = operator.index(bool(value) if isinstance(value, np.bool_) else value)
        except TypeError:
            number = None
        if number is None or (hasattr(value, "device") and not isinstance(value, np.generic)):
            raise TypeError(f"{where} must be a whole number; got {type(value).__name__}")
        if not low <= number <= high:
            raise ValueError(f"{where} must be from {low} to {high}; got {number}")
        return dtype.type(number)

    return check


def forget_compiled() -> None:
    """Clear the cache of compiled kernels."""
    for function in (compiled_kernel, _module_of, source):
        function.cache_clear()
