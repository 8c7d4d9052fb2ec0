"""A TOML file of options: flat, one key per flag, strict.

    context_length = 256     # --context-length 256; context-length = 256 is the same
    texts = ["my.txt"]

tomllib reads it.  Writing needs no library: values are text, numbers, true, false, and lists of text.
"""

import json
import tomllib
from collections.abc import Collection
from typing import Any

from tinygrad_gpt.cli.errors import UserError, did_you_mean, reason_in_words
from tinygrad_gpt.cli.options import options_of, value_of
from tinygrad_gpt.cli.terminal import shorten


def read_config(path: str, kind: type) -> dict[str, Any]:
    """The values in a file, by option name.

    Raises UserError if the file is not TOML, a key is not an option, or a value has the wrong type.
    """
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise UserError(f"cannot read --config {path!r}: {error.strerror or reason_in_words(error)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"--config {path!r} is not TOML: {error}") from None
    known = {option.name: option for option in options_of(kind)}
    values = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name == "config":
            raise UserError(f"--config {path!r}: a configuration file cannot name another one")
        if name == "resume":
            raise UserError(f"--config {path!r}: resume is only a flag; the options of a run are in its config.toml")
        if name not in known:
            raise UserError(f"--config {path!r}: unknown key {key!r}{did_you_mean(name, known)}")
        option = known[name]
        if not option.accepts_type(value):
            raise UserError(f"--config {path!r}: {key} must be {option.allowed}; got {shorten(repr(value))}")
        is_number = isinstance(value, int | float)
        if is_number and option.range and not option.range.holds(value):
            raise UserError(f"--config {path!r}: {key} must be {option.out_of_range(value)}")
        as_float = is_number and option.type is float
        values[name] = tuple(value) if isinstance(value, list) else float(value) if as_float else value
    return values


def to_toml(options: object, *, leave_out: Collection[str] = (), **changed: Any) -> str:
    """The options as TOML, group by group.  Options that are None are left out: None is their default."""
    lines: list[str] = []
    group: str | None = None
    for option in options_of(type(options)):
        value = changed.get(option.name, value_of(options, option))
        if option.name in leave_out or value is None:
            continue
        if option.group != group:
            group = option.group
            lines += ["", f"# {group} options"]
        lines.append(f"{option.name} = {toml_value(value)}")
    return "\n".join(lines).lstrip("\n") + "\n"


def toml_value(value: Any) -> str:
    """One value in TOML's notation."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, str):
        valid = value.encode("utf-8", "backslashreplace").decode()  # a file name need not be Unicode, TOML must
        return json.dumps(valid, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON's strings, and one more escape
    return str(value).lower() if isinstance(value, bool) else repr(value)
