"""What a vjp saves: the arrays in its closure, and which values own their memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import Any

from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.debug.observe import ObservedVjp


@dataclass(frozen=True)
class Saved:
    """An array that a vjp saves."""

    name: str  # in the vjp
    array: Array
    owner: int | None = None  # the value that owns the memory; None: only the vjp needs the array

    @property
    def nbytes(self) -> int:
        """Bytes that stay in memory for it: a view keeps its whole base array alive."""
        return int(buffer_of(self.array).nbytes)


def buffer_of(array: Array) -> Array:
    """The array that owns the memory."""
    while hasattr(array.base, "nbytes") and hasattr(array.base, "dtype"):
        array = array.base
    return array


def arrays_of(vjp: Vjp) -> Iterator[tuple[str, Array]]:
    """Every array in a function's closure, with its name there; also those inside functions, lists and dictionaries."""
    seen: set[int] = set()
    todo: list[tuple[str, Any]] = [("", vjp)]
    while todo:
        name, value = todo.pop(0)
        if id(value) in seen:
            continue
        seen.add(id(value))
        if hasattr(value, "nbytes") and hasattr(value, "dtype"):
            yield name, value
        elif isinstance(value, ObservedVjp):
            todo.append((name, value.vjp))
        elif isinstance(value, FunctionType):
            todo += _captured_values(value)
        elif isinstance(value, partial):
            todo += [(name, value.func), *((name, part) for part in value.args), *value.keywords.items()]
        elif isinstance(value, list | tuple):
            todo += [(f"{name}[{i}]", part) for i, part in enumerate(value)]
        elif isinstance(value, dict):
            todo += [(f"{name}[{key!r}]", part) for key, part in value.items()]


def _captured_values(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """The variables of surrounding functions that this one uses, with their values."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a variable that is not assigned yet
            continue
