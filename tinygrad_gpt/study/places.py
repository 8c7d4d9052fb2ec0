"""Where in the model an op was called: read off the call stack, so that no layer has to say it.

Scope.  A layer is a function of an input and of the dictionary of its own parameters (see nn/layers.py).  So the
innermost caller with such a dictionary is the layer, and what the full names of those parameters have in common is its
place: `h.0.mlp`.  Code without such a dictionary has the names of the functions that led to the op.
"""

import linecache
import os
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tinygrad_gpt import kernels, tape, tensor_methods
from tinygrad_gpt.backend import Array
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.tape import Tensor

_PACKAGE = Path(tape.__file__).parent
_ENGINE = (tape.__file__, tensor_methods.__file__, kernels.__file__)  # files whose lines say nothing of the model
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
        """The function as it is spoken of: `hidden()`; a module, a lambda by Python's name for it."""
        return f"{self.function}()" if self.function.isidentifier() else self.function


class Places:
    """Names of the parameters, as the models met on the call stack know them, and what follows from them."""

    def __init__(self, parameters: Mapping[str, Tensor] | None = None) -> None:
        self.names: dict[int, str] = {}  # by the array, which `recomputed` hands to other tensors
        self.tensors: list[Tensor] = []  # keeps the ids above from being used again
        self.models: list[GPT] = []  # that have been met
        self.learn(parameters or {})

    def learn(self, parameters: Mapping[str, Tensor]) -> None:
        """Know these tensors by these names."""
        for name, tensor in parameters.items():
            if isinstance(tensor, Tensor) and id(tensor.data) not in self.names:
                self.names[id(tensor.data)] = name
                self.tensors.append(tensor)

    def learn_models(self, frames: list[FrameType]) -> None:
        """Know the parameters of every model whose method is being called."""
        for frame in frames:
            model = frame.f_locals.get("self")
            if isinstance(model, GPT) and all(model is not known for known in self.models):
                self.models.append(model)
                self.learn(model.parameters())

    def name_of(self, array: Array) -> str | None:
        """What a model calls this parameter."""
        return self.names.get(id(array))

    def scope(self, frames: list[FrameType], arrays: list[Array], watcher: FrameType | None) -> str:
        """The place of an op on these arrays that was called by these functions, the innermost first."""
        for frame in frames:
            if frame.f_code in _HEAD_OF:
                return _HEAD  # by its parameter it would be the token embedding's, where the two are tied
            layer = self.layer(frame.f_locals)
            if layer is not None:
                own = [name for name in map(self.name_of, arrays) if name is not None]
                return (
                    _common_prefix(own)
                    if own and f"{_common_prefix(own)}.".startswith(layer and f"{layer}.")
                    else layer
                )
        names = [frame.f_code.co_name for frame in reversed(frames) if frame is not watcher]
        return ".".join(name for name in names if name.isidentifier())

    def layer(self, variables: Mapping[str, Any]) -> str | None:
        """What the names of a layer's parameters have in common, if a function of these variables is a layer."""
        for variable in variables.values():
            if isinstance(variable, dict) and variable and all(isinstance(t, Tensor) for t in variable.values()):
                names = [self.name_of(tensor.data) for tensor in variable.values()]
                if all(names):
                    return _common_prefix([name for name in names if name])
        return None


_HEAD_OF: tuple[CodeType, ...] = (GPT.loss.__code__, GPT.__call__.__code__)  # their own ops are the head's


def _common_prefix(names: list[str]) -> str:
    """The parts that dotted names have in common from the left, never the last: that is the tensor's own.

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
    """The boxes that lead to a scope, from the outside; a number is part of the name before it.

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


def calling_frames(frame: FrameType | None, end: FrameType | None) -> Iterator[FrameType]:
    """The functions that led here, the innermost first, up to `end`; without the engine's and Python's own."""
    while frame is not None:
        if frame.f_code.co_filename not in _ENGINE and not frame.f_code.co_filename.startswith("<frozen "):
            yield frame
        frame = None if frame is end else frame.f_back


def variable_of(tensor: Tensor | Array, frames: list[FrameType]) -> str | None:
    """What the outermost function that has a name for a tensor or array calls it: a variable, a key of a dictionary.

    Variables of their modules count too, after those of functions.
    """
    outermost_first = frames[::-1]
    for variables in [*(frame.f_locals for frame in outermost_first), *(frame.f_globals for frame in outermost_first)]:
        for name, held in list(variables.items()):
            if held is tensor:
                return name
            if isinstance(held, dict):
                for key, item in held.items():
                    if item is tensor and isinstance(key, str):
                        return key
    return None


def line_of(frame: FrameType) -> Line:
    """The line that a function is at."""
    code = frame.f_code
    text = linecache.getline(code.co_filename, frame.f_lineno).strip()
    return Line(short_path(code.co_filename), frame.f_lineno, code.co_name, text)


def short_path(file: str) -> str:
    """A file's name as its reader knows it: from the package's or the working folder, else its last part."""
    return _path_from_folder(file, os.getcwd())


@cache
def _path_from_folder(file: str, here: str) -> str:
    """The same, with the working folder given."""
    path = Path(file)
    if _PACKAGE in path.parents:
        return path.relative_to(_PACKAGE.parent).as_posix()
    return path.relative_to(here).as_posix() if Path(here) in path.parents else path.name


def error_location(path: Path, error: BaseException) -> str:
    """File and line where an error came up: the last line that is in this file."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"{path.name}, line {error.lineno}"
    lines = [f"line {f.lineno}" for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return ", ".join([path.name, *lines[-1:]])
