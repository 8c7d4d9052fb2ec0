"""Options: a frozen dataclass is the one definition of a command's flags, their defaults, help, ranges and TOML keys.

tyro makes the flags and the help from it.  What tyro prints about a mistake, a box of several lines, becomes one line
here.  Nested dataclasses are groups of the help; names are unique across groups, so flags and TOML keys need no prefix.
"""

import contextlib
import dataclasses
import io
import itertools
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, TypeVar

from tinygrad_gpt.cli.errors import UserError, did_you_mean

Options = TypeVar("Options")
_MAX_WHOLE_NUMBER = 2**64  # no whole number is larger
_FLAG_ALIASES = {  # our flags, and what other programs call them
    "--lr": ("learning-rate",),
    "--drop-rate": ("dropout",),
    "--device": ("gpu", "cuda"),
    "--temperature": ("temp",),
    "--context-length": ("block-size", "max-length", "seq-len"),
    "--emb-dim": ("n-embd", "hidden-size", "d-model"),
    "--n-heads": ("n-head",),
    "--n-layers": ("n-layer",),
    "--epochs": ("num-epochs", "num-train-epochs"),
    "--steps": ("max-iters", "max-steps", "iters"),
    "--max-new-tokens": ("num-tokens", "max-tokens", "max-length", "length", "n"),
    "--beta1": ("betas", "adam-beta1"),
    "--out": ("output", "out-dir", "output-dir"),
}
_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


@dataclass(frozen=True)
class Range:
    """Which numbers an option may be, for use in Annotated; never nan or infinite, and whole ones below 2**64."""

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
        top = "2**64" if self.high == _MAX_WHOLE_NUMBER else self.high  # its twenty digits tell nobody more
        high = f"{'below' if self.below_high else 'at most'} {top}" if self.high < math.inf else ""
        return " and ".join(part for part in (low, high) if part) or "finite"


class OnResume(Enum):
    """What an option is to a run that goes on, for use in Annotated.

    An option of train that does not say is as one that must be the same: forgetting to say does no harm.
    """

    SAME = "the training follows from it: it stands in every checkpoint, and another is refused"
    SHAPE = "of the model's configuration, which is compared as a whole"
    TEXT = "of the text, whose tokens are compared"
    ROUNDS = "the same training but for the last bits: told"
    MACHINE = "of the machine: what the checkpoint's environment has of it is compared, and told"
    MORE = "the length of the run, which may grow"
    FREE = "nothing of the training follows from it"
    PLACE = "where a run begins: it cannot stand beside --resume"


def _fits_64_bits(value: float) -> bool:
    """Whether a number is finite and, if whole, fits into 64 bits."""
    return abs(value) < _MAX_WHOLE_NUMBER if isinstance(value, int) else math.isfinite(value)


@dataclass(frozen=True)
class Option:
    """One option: its name, where its value lies in the dataclass, its type (without None), its range, and what it is
    to a run that goes on, if it says so.

    words are what a number may be instead, such as "none".
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
        """How the command line calls it."""
        return self.name.upper() if self.positional else "--" + self.name.replace("_", "-")

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        if typing.get_origin(self.type) is Literal:
            return f"one of {', '.join(map(str, typing.get_args(self.type)))}"
        if self.type == tuple[float, ...]:
            return "numbers" + (f", each {self.range}" if self.range else "")
        if typing.get_origin(self.type) is tuple:
            return "a list of texts"
        instead = f", or {' or '.join(self.words)}" if self.words else ""
        return _TYPE_NAMES[self.type] + (f", {self.range}" if self.range else "") + instead

    def accepts_type(self, value: object) -> bool:
        """Whether a value (of a TOML file) has the option's type: 1 is a number, true is not."""
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
        """What a number must be, and that it is not."""
        kind = ""
        if isinstance(value, float) and not math.isfinite(value):
            kind = "a finite number, "
        elif self.range is not None and self.range.high == math.inf and not _fits_64_bits(value):
            kind = "below 2**64, "
        instead = f", or {' or '.join(self.words)}" if self.words else ""
        return f"{kind}{self.range}{instead}; got {shorten(str(value))}"


def options_of(kind: type, group: str | None = None) -> Iterator[Option]:
    """Every option of a dataclass, those of its groups included, in the order of their definition."""
    from tyro import conf

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


def _value_named(options: object, name: str) -> Any:
    """The value of the option of this name."""
    return next(value_of(options, option) for option in options_of(type(options)) if option.name == name)


def with_values(options: Options, values: Mapping[str, Any]) -> Options:
    """A copy of the options with these values, by the options' names."""
    changes: dict[str, Any] = {}
    for option in options_of(type(options)):
        if option.name in values:
            changes.setdefault(option.group or "", {})[option.name] = values[option.name]
    own = changes.pop("", {})
    groups = {group: dataclasses.replace(getattr(options, group), **inner) for group, inner in changes.items()}
    return dataclasses.replace(options, **own, **groups)  # type: ignore[type-var]


class HelpShown(SystemExit):
    """--help has been printed.  No other SystemExit is ours: it is of code that somebody has given us to run."""


def parse(kind: type[Options], argv: Sequence[str], prog: str, default: Options | None = None) -> Options:
    """The options that argv gives, the rest from default (or kind's own).  --help prints and raises HelpShown.

    Raises UserError, in one line, for an unknown flag, a value that is no number, or one out of range.
    """
    import tyro

    if mistaken := _value_of_switch(argv, kind):
        raise UserError(mistaken)
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            options: Options
            options, unknown = tyro.cli(
                kind,
                args=list(argv),
                prog=prog,
                default=tyro.MISSING_NONPROP if default is None else default,
                return_unknown_args=True,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone),
            )
    except SystemExit as stopped:
        if not stopped.code:
            raise HelpShown from None
        words = itertools.takewhile(lambda word: word != "--", argv)  # what follows -- is never a flag
        strange = [word for word in words if _is_unknown_flag(word, kind)]
        raise UserError(
            unknown_argument(strange[0], kind) if strange else _one_line_of_box(box.getvalue(), kind)
        ) from None
    if unknown:
        raise UserError(_value_of_switch(argv, kind, unknown[0]) or unknown_argument(unknown[0], kind))
    check_ranges(options)
    return options


def is_given(options: object, name: str, argv: Sequence[str], prog: str) -> bool:
    """Whether argv, of which parse has made these options, gives this one (a count, from 1 up).

    The value alone does not tell, it may be the default: so argv is parsed once more, with another default.
    """
    value = _value_named(options, name)
    default = with_values(options, {name: 2 if value == 1 else 1})
    return bool(_value_named(parse(type(options), argv, prog, default), name) == value)


def check_ranges(options: object) -> None:
    """Raise UserError, naming the flag, if a number is out of its range."""
    for option in options_of(type(options)):
        given = value_of(options, option)
        for value in given if isinstance(given, tuple) else (given,):
            if value is None or value in option.words:
                continue
            if option.range and not option.range.holds(value):
                raise UserError(f"{option.flag} must be {option.out_of_range(value)}")


def _flag_in(word: str) -> str:
    """The flag that a word gives, as --name=value too."""
    return word.split("=")[0].replace("_", "-")


def _is_unknown_flag(word: str, kind: type) -> bool:
    """Whether a word is a flag, and none of kind's."""
    flags = {option.flag for option in options_of(kind)}
    flag = _flag_in(word)
    return flag.startswith("--") and flag not in flags | {"--help", *(f.replace("--", "--no-", 1) for f in flags)}


def _value_of_switch(argv: Sequence[str], kind: type, argument: str | None = None) -> str | None:
    """What to say if a switch is given a value, as --switch=value or with `argument` as the next word."""
    switches = {option.flag for option in options_of(kind) if option.type is bool and not option.positional}
    words = [*itertools.takewhile(lambda word: word != "--", argv)]
    given = [word.partition("=")[::2] for word in words if "=" in word]
    given += [(flag, word) for flag, word in itertools.pairwise(words) if word == argument]
    for flag, value in given:
        switch = _flag_in(flag).replace("--no-", "--", 1)
        if switch in switches:
            no = switch.replace("--", "--no-", 1)
            return f"{flag} takes no value: write {switch}, or {no}; got {shorten(repr(value))}"
    return None


def unknown_argument(argument: str, kind: type) -> str:
    """What to say about an argument that no option takes."""
    if not argument.startswith("-") or argument == "-":
        texts = [option for option in options_of(kind) if option.positional and option.name == "text"]
        return f"unexpected argument {argument!r}" + ("; put quotes around a text with spaces" if texts else "")
    flag = _flag_in(argument)
    bare = [option.flag for option in options_of(kind) if option.positional and option.name == flag[2:]]
    if bare:
        return f"unknown option {argument.split('=')[0]}; {bare[0]} is given without a flag"
    known = {option.flag for option in options_of(kind) if not option.positional}
    called = next((ours for ours, theirs in _FLAG_ALIASES.items() if ours in known and flag[2:] in theirs), None)
    guess = f"; did you mean {called}?" if called else did_you_mean(flag, known)
    return f"unknown option {argument.split('=')[0]}{guess}"


def _one_line_of_box(box: str, kind: type) -> str:
    """tyro's box about a value that it cannot use, as one line: in our words where the box is of a kind we know."""
    box = re.sub(r"\x1b\[[\d;]*m", "", box)  # at a terminal it is in colours
    lines = [line.strip("│ ").strip() for line in box.splitlines() if not line.startswith(("╭", "╰"))]
    message = " ".join(lines).split("────")[0].strip()
    flags = {option.flag: option for option in options_of(kind)}
    named = re.search(r"(?:Error parsing|for argument|Missing value for argument) '?([-\w]+)", message)
    option = flags.get(named[1]) if named else None
    if option and message.startswith("Missing value"):
        return f"{option.flag} needs a value" + (f": {option.allowed}" if option.type is not str else "")
    if option:
        given = re.search(r"instantiated from \[(.*?)\]\.|choice (.*) for argument|(?:base 10|float): (.*)$", message)
        value = next(filter(None, given.groups()), "") if given else ""
        return f"{option.flag} must be {option.allowed}" + (f"; got {shorten(value)}" if value else "")
    missing = [name for name, option in flags.items() if re.search(rf"\b{re.escape(name)}\b", " ".join(lines))]
    if message.startswith(("Required options", "Missing", "The following")) and missing:
        return f"needs {' and '.join(missing)}: see --help"
    return message


def shorten(text: str, width: int = 60) -> str:
    """text, its middle left out if it is longer than width."""
    return text if len(text) <= width else f"{text[: width // 2]} ... {text[-width // 2 :]}"
