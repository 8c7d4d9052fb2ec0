"""The learner's file: read, run and call it, and report every error in it in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_gpt.study.error_location import error_location


class Complaint(Exception):  # noqa: N818 - about the learner's code, not an error of ours
    """What is wrong with the file, in one line; `unfinished` if its vjp is still to be written."""

    def __init__(self, text: str, unfinished: bool = False) -> None:
        super().__init__(text)
        self.unfinished = unfinished


def load(path: Path, name: str) -> Callable[..., Any]:
    """The function of this name in the file.  Raises OSError if it cannot be read, Complaint if running it fails."""
    names: dict[str, Any] = {"__name__": "exercise", "__file__": str(path)}
    program = path.read_bytes()
    call(path, lambda: exec(compile(program, str(path), "exec"), names))
    if not callable(names.get(name)):
        raise Complaint(f"{path.name} has no function {name}")
    function: Callable[..., Any] = names[name]
    return function


def call(path: Path, action: Callable[[], Any]) -> Any:
    """The result of action().  An exception from the file becomes a Complaint that names its line."""
    try:
        with np.errstate(all="ignore"):  # the result shows what is not finite
            return action()
    except NotImplementedError as error:
        raise Complaint(f"{error_location(path, error)}: still to be written", unfinished=True) from None
    except (Exception, SystemExit) as error:
        text = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
        raise Complaint(f"{error_location(path, error)}: {type(error).__name__}{text and ': '}{text}") from None
