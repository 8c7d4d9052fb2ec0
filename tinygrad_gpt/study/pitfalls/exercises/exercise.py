"""An exercise: a vjp to write, with cases to try it on and the mistakes that people make."""

import shlex
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinygrad_gpt.backend import Array
from tinygrad_gpt.kernels import Op
from tinygrad_gpt.study.pitfalls.exercises import starters

Arrays = tuple[Array, ...]
Gradient = Callable[..., Any]  # (dy, *arrays) -> a gradient


@dataclass(frozen=True)
class Mistake:
    """A wrong gradient of one input, and a hint for a learner whose solution gives it."""

    input: str
    gradient: Gradient
    hint: str


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """A vjp to write: `op` is the right one, `inputs` names its arrays, `cases` are the inputs to try a solution on."""

    name: str
    task: str
    op: Op
    inputs: tuple[str, ...]
    starter: str
    cases: tuple[Arrays, ...]
    domain: Callable[[], Any] | None  # makes the laws' strategy; None: they follow the claims
    mistakes: tuple[Mistake, ...]
    claims: dict[str, Any]

    def starting_file(self, file: str = "") -> str:
        """The file to start from; `file` is its name if it is not the default."""
        head = starters.HEAD.format(
            name=self.name, task=textwrap.fill(self.task, 78), file=file and f" --file {shlex.quote(file)}"
        )
        return head + self.starter.format(todo=starters.TODO)
