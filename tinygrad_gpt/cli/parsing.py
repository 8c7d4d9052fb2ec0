"""Parse a command line into a dataclass of options, and explain mistakes in one line.

tyro parses.  It reports a mistake in a box of several lines, which becomes one line here.
"""

import contextlib
import io
import itertools
import re
from collections.abc import Sequence

import tyro

from tinygrad_gpt.cli.errors import HelpShown, UserError, did_you_mean
from tinygrad_gpt.cli.options import Options, check_ranges, options_of, value_named, with_values
from tinygrad_gpt.cli.terminal import shorten

_FLAG_ALIASES = {  # our flags, and their names in other programs
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


def parse(kind: type[Options], argv: Sequence[str], prog: str, default: Options | None = None) -> Options:
    """Parse argv.  Options that it does not give come from default, or are kind's own defaults.

    Raises UserError for an unknown flag or a wrong value, HelpShown after printing --help.
    """
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
        words = itertools.takewhile(lambda word: word != "--", argv)  # nothing after -- is a flag
        strange = [word for word in words if _is_unknown_flag(word, kind)]
        raise UserError(
            unknown_argument(strange[0], kind) if strange else _one_line_of_box(box.getvalue(), kind)
        ) from None
    if unknown:
        raise UserError(_value_of_switch(argv, kind, unknown[0]) or unknown_argument(unknown[0], kind))
    check_ranges(options)
    return options


def is_given(options: object, name: str, argv: Sequence[str], prog: str) -> bool:
    """Whether argv gives this option, an integer of at least 1; options is what parse made of argv.

    The value alone does not show it, for it may be the default.  So argv is parsed again with another default.
    """
    value = value_named(options, name)
    default = with_values(options, {name: 2 if value == 1 else 1})
    return bool(value_named(parse(type(options), argv, prog, default), name) == value)


def _flag_in(word: str) -> str:
    """The flag in a word such as --name or --name=value."""
    return word.split("=")[0].replace("_", "-")


def _is_unknown_flag(word: str, kind: type) -> bool:
    """Whether a word is a flag that kind does not have."""
    flags = {option.flag for option in options_of(kind)}
    flag = _flag_in(word)
    return flag.startswith("--") and flag not in flags | {"--help", *(f.replace("--", "--no-", 1) for f in flags)}


def _value_of_switch(argv: Sequence[str], kind: type, argument: str | None = None) -> str | None:
    """The error if a switch has a value, as in --switch=value or with `argument` as the next word; None if none has."""
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
    """The error for an argument that no option takes."""
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
    """One line for the box that tyro prints about a wrong value; in our words for the kinds of box that we know."""
    box = re.sub(r"\x1b\[[\d;]*m", "", box)  # coloured at a terminal
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
