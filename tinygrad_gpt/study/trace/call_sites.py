"""Where in the model an op was called: read from the call stack, so that no layer has to report it.

Scope.  A layer is a function of an input and of the dictionary of its own parameters (see nn/layers.py).  So the
innermost caller with such a dictionary is the layer, and the common prefix of its parameters' full names is the scope:
`h.0.mlp`.  Code without such a dictionary has the names of the functions that led to the op as its scope, and of the
objects whose methods these are.
"""

import linecache
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tinygrad_gpt import tape
from tinygrad_gpt.backend import Array
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.study.trace.variables import method_of, variable_of
from tinygrad_gpt.tape import Tensor

_PACKAGE = Path(tape.__file__).parent
_HEAD = "lm_head"


@dataclass(frozen=True)
class Line:
    """A line of code."""

    file: str
    number: int
    function: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number}"

    @property
    def caller(self) -> str:
        """The function with brackets: `hidden()`; for a module or a lambda, Python's name of it."""
        return f"{self.function}()" if self.function.isidentifier() else self.function


class ParameterNames:
    """The names of parameters, from the models found on the call stack, and the scope that follows from them."""

    def __init__(self, parameters: Mapping[str, Tensor] | None = None) -> None:
        self.names: dict[int, str] = {}  # by id of the array: recomputing puts the array in new tensors
        self.tensors: list[Tensor] = []  # keeps them alive, so that no id is used again
        self.models: list[GPT] = []  # found so far
        self.learn(parameters or {})

    def learn(self, parameters: Mapping[str, Tensor]) -> None:
        """Add names of tensors."""
        for name, tensor in parameters.items():
            if isinstance(tensor, Tensor) and id(tensor.data) not in self.names:
                self.names[id(tensor.data)] = name
                self.tensors.append(tensor)

    def learn_models(self, frames: list[FrameType]) -> None:
        """Add the parameters of every model with a method in these frames."""
        for frame in frames:
            model = frame.f_locals.get("self")
            if isinstance(model, GPT) and all(model is not known for known in self.models):
                self.models.append(model)
                self.learn(model.parameters())

    def name_of(self, array: Array) -> str | None:
        """The parameter's name in its model; None if it is not known."""
        return self.names.get(id(array))

    def scope(self, frames: list[FrameType], arrays: list[Array], watcher: FrameType | None) -> str:
        """The scope of an op on these arrays, called by these functions, the innermost first."""
        for frame in frames:
            if frame.f_code in _HEAD_OF:
                return _HEAD  # with tied weights, its parameter's name would give the token embedding
            layer = self.layer(frame.f_locals)
            if layer is not None:
                own = [name for name in map(self.name_of, arrays) if name is not None]
                return (
                    _common_prefix(own)
                    if own and f"{_common_prefix(own)}.".startswith(layer and f"{layer}.")
                    else layer
                )
        return _function_scope(frames, watcher)

    def layer(self, variables: Mapping[str, Any]) -> str | None:
        """The common prefix of a layer's parameters, if a function with these variables is a layer."""
        for variable in variables.values():
            if isinstance(variable, dict) and variable and all(isinstance(t, Tensor) for t in variable.values()):
                names = [self.name_of(tensor.data) for tensor in variable.values()]
                if all(names):
                    return _common_prefix([name for name in names if name])
        return None


# Ops that these call are the head's.
_HEAD_OF: tuple[CodeType, ...] = (GPT.loss.__code__, GPT.__call__.__code__)


def _common_prefix(names: list[str]) -> str:
    """The parts that dotted names share from the left, without the last part, which is the tensor's own name.

    >>> _common_prefix(["h.0.mlp.c_fc.weight", "h.0.mlp.c_proj.weight"])
    'h.0.mlp'
    >>> _common_prefix(["wte.weight"]), _common_prefix(["wte.weight", "x"])
    ('wte', '')
    """
    parts = [name.split(".")[:-1] for name in names]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return ".".join(shared)


def scope_levels(scope: str) -> list[str]:
    """The nested boxes of a scope, the outermost first; a number belongs to the name before it.

    >>> scope_levels("h.0.mlp.c_fc")
    ['h.0', 'mlp', 'c_fc']
    """
    parts: list[str] = []
    for part in scope.split(".") if scope else []:
        if part.isdigit() and parts:
            parts[-1] += f".{part}"
        else:
            parts.append(part)
    return parts


def _function_scope(frames: list[FrameType], watcher: FrameType | None) -> str:
    """The functions that led to an op, the outermost first; a method is preceded by its object.

    An object that belongs to the one before it is called as this one calls it: `model.forward`, then `layers.0`.
    """
    parts: list[str] = []
    owner: str | None = None  # the innermost object so far
    for i, frame in reversed(list(enumerate(frames))):
        if frame is watcher:
            continue
        self = method_of(frame)
        if self is not None:
            path = str(variable_of(self, frames[i:]))  # at least the name of its class
            if path != owner:
                parts.append(path.removeprefix(f"{owner}."))
            owner = path
        name = frame.f_code.co_name
        if name.isidentifier() and (self is None or name != "__call__"):
            parts.append(name)
    return ".".join(parts)


def is_own(frame: FrameType) -> bool:
    """Whether a function is the program's own, and not one of this package."""
    return not _is_of_package(frame.f_code.co_filename)


@cache
def _is_of_package(file: str) -> bool:
    return _PACKAGE in Path(file).parents


def line_of(frame: FrameType) -> Line:
    """The line that a function is running."""
    code = frame.f_code
    text = linecache.getline(code.co_filename, frame.f_lineno).strip()
    return Line(short_path(code.co_filename), frame.f_lineno, code.co_name, text)


def short_path(file: str) -> str:
    """A file's path from the package's folder or the working folder; else its name alone."""
    return _path_from_folder(file, os.getcwd())


@cache
def _path_from_folder(file: str, here: str) -> str:
    path = Path(file)
    if _is_of_package(file):
        return path.relative_to(_PACKAGE.parent).as_posix()
    return path.relative_to(here).as_posix() if Path(here) in path.parents else path.name
