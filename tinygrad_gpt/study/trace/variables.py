"""What a program calls its tensors and objects: names of variables, keys of dictionaries, paths of attributes.

Read from the functions on the call stack.  The earliest variable of the outermost function comes first, so that a
model's weight is `model.layers.0.weight` everywhere, and not `self.weight` in one function and `w` in another one.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from operator import is_
from types import FrameType, GetSetDescriptorType, MemberDescriptorType
from typing import Any

import tinygrad_gpt

_MAX_DEPTH = 4  # names after the variable's
_MAX_PARTS = 1000  # of a list or dictionary: a longer one holds data
_MAX_OBJECTS = 10_000  # searched in one variable
_CLOSED = {"builtins", "numpy", tinygrad_gpt.__name__}  # packages whose objects have no attributes to search


def variable_of(wanted: Any, frames: list[FrameType]) -> str | None:
    """The name of a tensor, array or object in the outermost function that has one; frames are the innermost first.

    A method's object without a variable has the name of its class.  After the variables of functions, those of their
    modules count too.
    """
    return first_name(partial(is_, wanted), frames)


def first_name(is_wanted: Callable[[Any], bool], frames: list[FrameType]) -> str | None:
    """The name of the first object that is wanted, in the order of `variable_of`."""
    modules = list({id(frame.f_globals): frame.f_globals for frame in reversed(frames)}.values())
    for frame in reversed(frames):
        variables = [frame.f_locals]
        self = method_of(frame)
        if self is not None:
            variables.append({_name_in(modules, partial(is_, self)) or type(self).__name__: self})
        name = _name_in(variables, is_wanted)
        if name is not None:
            return name
    return _name_in(modules, is_wanted)


def _name_in(scopes: list[dict[str, Any]], is_wanted: Callable[[Any], bool]) -> str | None:
    named = (name for variables in scopes for name, value in named_objects(variables) if is_wanted(value))
    return next(named, None)


def method_of(frame: FrameType) -> Any:
    """The object whose method a function is; None for other functions, and for methods of this package."""
    code = frame.f_code
    if code.co_argcount == 0 or code.co_varnames[0] != "self":
        return None
    self = frame.f_locals.get("self")
    return self if _is_open(self) else None


def named_objects(variables: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each variable, and the objects in it with the path to them; an entry of a dictionary is called by its key alone.

    Without `self`, which is another object in every class, and without names such as `__builtins__`.
    """
    for name, value in list(variables.items()):
        if name != "self" and not name.startswith("__"):
            yield name, value
            yield from _objects_in("" if isinstance(value, dict) else f"{name}.", value)


def _objects_in(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The objects that an object holds, those that are nearest first."""
    seen, todo = {id(value)}, [(prefix, value, _MAX_DEPTH)]
    for prefix, value, depth in todo:  # the list grows
        for key, part in _parts(value):
            if id(part) not in seen and len(seen) < _MAX_OBJECTS:
                seen.add(id(part))
                yield f"{prefix}{key}", part
                if depth > 1:
                    todo.append((f"{prefix}{key}.", part, depth - 1))


def _parts(value: Any) -> list[tuple[Any, Any]]:
    """Keys and entries, or attributes and their values.

    It runs no code of the program, as value.items(), vars() and getattr() may do.
    """
    if isinstance(value, dict):
        items = list(dict.items(value)) if dict.__len__(value) <= _MAX_PARTS else []
        return [(key, item) for key, item in items if isinstance(key, str | int)]
    if isinstance(value, list | tuple):
        few = slice(_MAX_PARTS + 1)
        entries = list.__getitem__(value, few) if isinstance(value, list) else tuple.__getitem__(value, few)
        return list(enumerate(entries)) if len(entries) <= _MAX_PARTS else []
    return list(_attributes(value).items()) if _is_open(value) else []


def _attributes(value: Any) -> dict[str, Any]:
    """An object's attributes, with those in slots."""
    attributes: dict[str, Any] = {}
    for kind in type(value).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, MemberDescriptorType):
                with suppress(AttributeError):  # it has no value yet
                    attributes[name] = member.__get__(value)
            elif name == "__dict__" and isinstance(member, GetSetDescriptorType):
                attributes |= member.__get__(value)
    return attributes


def _is_open(value: Any) -> bool:
    """Whether an object is the program's own, or of a package that is not closed."""
    return not isinstance(value, type) and str(type(value).__module__).partition(".")[0] not in _CLOSED
