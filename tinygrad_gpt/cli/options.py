"""Options: a frozen dataclass defines a command's flags, with their defaults, help texts, ranges and TOML keys.

tyro makes the flags and the help from it.  Nested dataclasses are groups in the help.  Names are unique across groups,
so flags and TOML keys need no prefix.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, TypeVar

from tyro import conf

from tinygrad_gpt.cli.errors import UserError
from tinygrad_gpt.cli.terminal import shorten

Options = TypeVar("Options")
_MAX_WHOLE_NUMBER = 2**64  # no whole number is larger
HIDE_DEFAULT = conf.arg(help_behavior_hint="")  # for options whose help text gives the default
_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


@dataclass(frozen=True)
class Range:
    """The numbers that an option accepts, for use in Annotated.  Never nan or infinite; integers are below 2**64."""

    low: float = -math.inf
    high: float = math.inf
    above_low: bool = False  # low itself is not allowed
    below_high: bool = False  # high itself is not allowed

    def holds(self, value: float) -> bool:
        """Whether the value is allowed."""
        over = value > self.low if self.above_low else value >= self.low
        under = value < self.high if self.below_high else value <= self.high
        return over and under and _fits_64_bits(value)

    def __str__(self) -> str:
        low = f"{'above' if self.above_low else 'at least'} {self.low}" if self.low > -math.inf else ""
        top = "2**64" if self.high == _MAX_WHOLE_NUMBER else self.high  # easier to read than its twenty digits
        high = f"{'below' if self.below_high else 'at most'} {top}" if self.high < math.inf else ""
        return " and ".join(part for part in (low, high) if part) or "finite"


class OnResume(Enum):
    """What --resume does with an option of train, for use in Annotated.

    An option without one counts as SAME, so forgetting it does no harm.
    """

    SAME = "it determines the training: every checkpoint stores it, and another value is refused"
    SHAPE = "part of the model's configuration, which is compared as a whole"
    TEXT = "it determines the text, whose tokens are compared"
    ROUNDS = "it changes only rounding: allowed, with a note"
    MACHINE = "a property of the machine, which is compared with the checkpoint's environment: allowed, with a note"
    MORE = "the length of the run: it may grow"
    FREE = "it does not affect the training: allowed"
    PLACE = "it starts a new run: refused"


def _fits_64_bits(value: float) -> bool:
    """Whether a number is finite and, if whole, fits into 64 bits."""
    return abs(value) < _MAX_WHOLE_NUMBER if isinstance(value, int) else math.isfinite(value)


@dataclass(frozen=True)
class Option:
    """One option: its name, its group (the field of the nested dataclass), its type without None, its range, what
    --resume does with it, and the words that it accepts instead of a number, such as "none".
    """

    name: str
    group: str | None
    type: Any
    range: Range | None
    positional: bool
    on_resume: OnResume | None = None
    words: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return self.name.upper() if self.positional else "--" + self.name.replace("_", "-")

    @property
    def allowed(self) -> str:
        """The values that it accepts, in words."""
        if typing.get_origin(self.type) is Literal:
            return f"one of {', '.join(map(str, typing.get_args(self.type)))}"
        if self.type == tuple[float, ...]:
            return "numbers" + (f", each {self.range}" if self.range else "")
        if typing.get_origin(self.type) is tuple:
            return "a list of texts"
        instead = f", or {' or '.join(self.words)}" if self.words else ""
        return _TYPE_NAMES[self.type] + (f", {self.range}" if self.range else "") + instead

    def accepts_type(self, value: object) -> bool:
        """Whether a value from a TOML file has the option's type: 1 is a number, true is not."""
        if value in self.words:
            return True
        if typing.get_origin(self.type) is Literal:
            return value in typing.get_args(self.type)
        if typing.get_origin(self.type) is tuple:
            return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
        if self.type is float:
            return isinstance(value, int | float) and not isinstance(value, bool)
        return type(value) is self.type

    def out_of_range(self, value: float) -> str:
        """What the number must be; got what."""
        kind = ""
        if isinstance(value, float) and not math.isfinite(value):
            kind = "a finite number, "
        elif self.range is not None and self.range.high == math.inf and not _fits_64_bits(value):
            kind = "below 2**64, "
        instead = f", or {' or '.join(self.words)}" if self.words else ""
        return f"{kind}{self.range}{instead}; got {shorten(str(value))}"


def options_of(kind: type, group: str | None = None) -> Iterator[Option]:
    """All options of a dataclass and of its groups, in the order of definition."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint, *metadata = [hints[field.name]]
        if typing.get_origin(hint) is typing.Annotated:
            hint, *metadata = typing.get_args(hint)
        if dataclasses.is_dataclass(hint):
            yield from options_of(typing.cast(type, hint), field.name)
            continue
        members = [hint]
        if typing.get_origin(hint) in (types.UnionType, typing.Union):
            members = [member for member in typing.get_args(hint) if member is not types.NoneType]
        allowed = next((m for m in metadata if isinstance(m, Range)), None)
        words = [word for member in members[1:] for word in typing.get_args(member)]
        said = next((m for m in metadata if isinstance(m, OnResume)), None)
        yield Option(field.name, group, members[0], allowed, conf.Positional in metadata, said, tuple(words))


def value_of(options: object, option: Option) -> Any:
    """The value of an option."""
    return getattr(getattr(options, option.group) if option.group else options, option.name)


def value_named(options: object, name: str) -> Any:
    """The value of the option of this name."""
    return next(value_of(options, option) for option in options_of(type(options)) if option.name == name)


def with_values(options: Options, values: Mapping[str, Any]) -> Options:
    """A copy of the options with these values, given by name."""
    changes: dict[str, Any] = {}
    for option in options_of(type(options)):
        if option.name in values:
            changes.setdefault(option.group or "", {})[option.name] = values[option.name]
    own = changes.pop("", {})
    groups = {group: dataclasses.replace(getattr(options, group), **inner) for group, inner in changes.items()}
    return dataclasses.replace(options, **own, **groups)  # type: ignore[type-var]


def check_ranges(options: object) -> None:
    """Raise UserError, naming the flag, if a number is out of its range."""
    for option in options_of(type(options)):
        given = value_of(options, option)
        for value in given if isinstance(given, tuple) else (given,):
            if value is None or value in option.words:
                continue
            if option.range and not option.range.holds(value):
                raise UserError(f"{option.flag} must be {option.out_of_range(value)}")
