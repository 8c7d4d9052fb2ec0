"""Values as Python source, so that a failing case can be pasted and run."""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np


def literal(value: Any) -> str:
    """Python source of a value: numbers, arrays with their dtype, containers; anything else by its repr.

    >>> literal({"logits": np.array([[0.0, -np.inf]], np.float32), "top_k": 1})
    "{'logits': np.array([[0.0, -np.inf]], np.float32), 'top_k': 1}"
    """
    if isinstance(value, np.ndarray):
        return _array_literal(value)
    if isinstance(value, float | np.floating) and not np.isfinite(value):
        return _number(value) if type(value) is float else f"np.{type(value).__name__}({_number(value)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {literal(item)}" for key, item in value.items()) + "}"
    if type(value) is list:
        return "[" + ", ".join(map(literal, value)) + "]"
    if type(value) is tuple:
        return "(" + ", ".join(map(literal, value)) + ("," if len(value) == 1 else "") + ")"
    return repr(value)


def _array_literal(array: np.ndarray[Any, Any]) -> str:
    """np.array(...) with the shortest numbers that give the same bits."""
    dtype = "" if array.dtype in (np.dtype(float), np.dtype(int), np.dtype(bool)) else f", np.{array.dtype.name}"
    if array.size == 0:
        return f"np.zeros({array.shape}, np.{array.dtype.name})"
    return f"np.array({_nested(array)}{dtype})"


def _nested(array: Any) -> str:
    """The brackets and numbers of an array."""
    return _number(array[()]) if array.ndim == 0 else "[" + ", ".join(_nested(row) for row in array) + "]"


def _number(value: Any) -> str:
    """One number; inf and nan by NumPy's names."""
    return str(value).replace("inf", "np.inf").replace("nan", "np.nan")


def assignments(case: Mapping[str, Any]) -> str:
    """One line `name = value` per entry."""
    return "\n".join(f"{name} = {literal(value)}" for name, value in case.items())


def call(function: str, first: str, case: Mapping[str, Any]) -> str:
    """The source of function(first, name=value, ...)."""
    return f"{function}({', '.join([first, *(f'{name}={literal(value)}' for name, value in case.items())])})"


def import_line(sut: Any) -> str:
    """The line that imports the object under test, if a module has it under a name."""
    for module_name, module in list(sys.modules.items()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is sut and not name.startswith("_") and not module_name.startswith("__"):
                return f"from {module_name} import {name}" + ("" if name == "sut" else " as sut")
    return f"sut = ...  # the {type(sut).__name__} named {getattr(sut, 'name', '?')!r}"
