"""Output files named by the user: checked before the work begins, then written whole or not at all."""

import os
from pathlib import Path

from tinygrad_gpt.cli.errors import CommandFailed, UserError, reason_in_words, user_input
from tinygrad_gpt.cli.terminal import human_number, one_line
from tinygrad_gpt.files import atomic_write


def check_output(flag: str, name: str | None) -> None:
    """Raise UserError if a file of this name cannot be written.  None is allowed: no file."""
    if name is None:
        return
    with user_input():
        path = Path(os.path.realpath(name))
        is_file_or_new = not os.path.lexists(path) or path.is_file()
        is_possible = bool(name) and is_file_or_new and path.parent.is_dir()
    if not is_possible:
        raise UserError(f"{flag} must name a file in a folder that exists; got {name!r}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"{flag} {name!r}: its folder cannot be written")


def check_outputs(**names: str | None) -> None:
    """check_output for several flags, given without their dashes.  Raises UserError if two name the same file."""
    flags: dict[str, str] = {}
    for flag, name in names.items():
        check_output(f"--{flag}", name)
        if name is None:
            continue
        other = flags.setdefault(os.path.realpath(name), flag)
        if other != flag:
            raise UserError(f"--{other} and --{flag} must name different files; got {name!r} for both")


def write_output(name: str, content: bytes | str) -> None:
    """Write the file, whole or not at all, and print its name and size.  Raises CommandFailed if that fails."""
    if isinstance(content, str):
        content = content.encode("utf-8", "backslashreplace")
    try:
        with atomic_write(name) as file:
            file.write(content)
    except OSError as error:
        raise CommandFailed(f"could not write {name!r}: {reason_in_words(error)}") from error
    print(f"wrote {one_line(name)}, {human_number(len(content), 'B')}")
