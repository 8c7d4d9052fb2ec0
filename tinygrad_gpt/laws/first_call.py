"""A function that fails on its very first call gives one finding about that call, instead of one for every law.

An adapter has a list of first calls (`first_calls`), each on plain, small, finite numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from tinygrad_gpt.laws.source import literal

LOGITS = np.array([[0.5, -1.0, 2.0], [0.0, 1.0, -0.5]])  # (2, 3)
TARGETS = np.array([2, 0])


@dataclass(frozen=True)
class FirstCall:
    """A plain call of one of an object's functions, its source, and the remedy if it fails."""

    what: str  # the message is: `what` fails on `on`
    source: str
    run: Callable[[], object]
    remedy: str
    on: str = "its first call"
    decides_all: bool = False  # if it fails, no law can be checked


def call_text(
    function: Callable[..., Any] | None, name: str, form: str, *arguments: Any, **options: Any
) -> list[FirstCall]:
    """The call of an adapter's field of this name, if it is given; `form` is the signature that it must have."""
    if function is None:
        return []
    given = [*map(_argument_text, arguments), *(f"{key}={_argument_text(value)}" for key, value in options.items())]
    remedy = f"its form is {name}{form}"
    return [FirstCall(name, f"sut.{name}({', '.join(given)})", lambda: function(*arguments, **options), remedy)]


def _argument_text(argument: Any) -> str:
    """An argument as Python source; a function or another object by its type."""
    plain = isinstance(argument, np.ndarray | int | float | str | bool | tuple | list | dict)
    return literal(argument) if plain else f"<{type(argument).__name__}>"


def failed_call(calls: Sequence[FirstCall]) -> tuple[FirstCall, Exception] | None:
    """The first call that raises, and its exception; LawBroken is not counted."""
    for call in calls:
        try:
            with np.errstate(all="ignore"):
                call.run()
        except AssertionError:
            continue
        except Exception as error:
            return call, error
    return None


def simplest_example(strategy: st.SearchStrategy[Any]) -> list[Any]:
    """A list of the example that Hypothesis tries first; empty if it finds none."""
    found: list[Any] = []

    def look(example: Any) -> None:
        found.append(example)

    once = settings(
        max_examples=1,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=[*HealthCheck],
    )
    try:
        once(given(strategy)(look))()
    except Exception:  # a strategy that cannot be drawn from: the laws report it
        return []
    return found
