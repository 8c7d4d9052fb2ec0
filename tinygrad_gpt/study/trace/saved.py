"""What a vjp keeps in memory: the arrays that its closure holds, and whose they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import Any

from tinygrad_gpt.backend import Array, Vjp


@dataclass(frozen=True)
class Saved:
    """An array that a vjp holds."""

    name: str  # by which the vjp knows it
    array: Array
    owner: int | None = None  # the value whose memory it is; None: it was made for the way back alone

    @property
    def nbytes(self) -> int:
        """Bytes that stay in memory for it: a view keeps the whole array that it looks into."""
        return int(buffer_of(self.array).nbytes)


def buffer_of(array: Array) -> Array:
    """The array that owns the memory."""
    while hasattr(array.base, "nbytes") and hasattr(array.base, "dtype"):
        array = array.base
    return array


def arrays_of(vjp: Vjp) -> Iterator[tuple[str, Array]]:
    """Every array that a function's closure holds, with its name there; those of functions and lists in it too."""
    seen: set[int] = set()
    todo: list[tuple[str, Any]] = [("", vjp)]
    while todo:
        name, held = todo.pop(0)
        if id(held) in seen:
            continue
        seen.add(id(held))
        if hasattr(held, "nbytes") and hasattr(held, "dtype"):
            yield name, held
        elif isinstance(held, FunctionType):
            todo += _captured_values(held)
        elif isinstance(held, partial):
            todo += [(name, held.func), *((name, part) for part in held.args), *held.keywords.items()]
        elif isinstance(held, list | tuple):
            todo += [(f"{name}[{i}]", part) for i, part in enumerate(held)]
        elif isinstance(held, dict):
            todo += [(f"{name}[{key!r}]", part) for key, part in held.items()]


def _captured_values(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """The names of the surrounding function that this one mentions, with what they stand for."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue
