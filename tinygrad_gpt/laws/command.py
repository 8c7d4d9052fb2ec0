"""The commands `tinygrad-gpt laws` and `python -m tinygrad_gpt.laws`: check an object of a module, given by name.

Hypothesis is imported only when an object is checked, so that --help works without it.
"""

import argparse
import importlib
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from types import ModuleType
from typing import Any, NoReturn

HELD, BROKEN, BAD_INPUT = 0, 1, 2  # the exit codes
PROGRAM = "python -m tinygrad_gpt.laws"
_FORMATS = ("text", "markdown", "json")


class _ArgumentsError(ValueError):
    """Invalid arguments; the text says why."""


class _HelpShown(Exception):  # noqa: N818 - nothing went wrong
    """The help has been printed."""


class _Parser(argparse.ArgumentParser):
    """A parser that raises an exception where argparse ends the program."""

    def error(self, message: str) -> NoReturn:
        """Raise _ArgumentsError, where argparse exits."""
        missing = re.fullmatch(r"argument (\S+): expected one argument", message)
        raise _ArgumentsError(f"{missing[1]} needs a value" if missing else message)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Raise _HelpShown: only --help calls this."""
        raise _HelpShown

    def refuse(self, argument: str) -> NoReturn:
        """Raise _ArgumentsError for an argument that belongs to no option."""
        if not argument.startswith("-") or argument == "-":
            raise _ArgumentsError(f"unexpected argument {argument!r}")
        option = argument.split("=")[0]
        known = [flag for flag in self._option_string_actions if flag.startswith("--")]
        near = get_close_matches(option, known, n=1, cutoff=0.8)
        raise _ArgumentsError(f"unknown option {option}" + (f"; did you mean {near[0]}?" if near else ""))


def parser(program: str) -> _Parser:
    """The parser of both programs."""
    made = _Parser(
        prog=program,
        description="Check an object, such as a sampler, against the laws that it must obey.",
        allow_abbrev=False,
    )
    made.add_argument(
        "name", nargs="?", metavar="NAME", help="pkg.module:name of the object under test, or of a list of them."
    )
    made.add_argument(
        "--profile",
        metavar="NAME",
        help="How thoroughly: dev, ci, thorough or mutants. Default: HYPOTHESIS_PROFILE, else dev.",
    )
    made.add_argument(
        "--format",
        metavar=f"{{{','.join(_FORMATS)}}}",
        default="text",
        help="How the report is written. Default: text.",
    )
    made.add_argument("--only", metavar="IDS", help="Ids of the laws to check, with commas between them. Default: all.")
    return made


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Parse, check and print the report; returns the exit code: 0 all laws passed, 1 some failed, 2 bad input."""
    ours = parser(program)
    try:
        given, others = ours.parse_known_args(arguments)
        if others:
            ours.refuse(others[0])
        if given.format not in _FORMATS:
            raise _ArgumentsError(f"--format must be one of {', '.join(_FORMATS)}; got {given.format!r}")
        if given.name is None:
            raise _ArgumentsError("needs NAME, as pkg.module:name")
    except _HelpShown:
        return HELD
    except _ArgumentsError as error:
        _print_error(program, error)
        return BAD_INPUT
    return check_by_name(given.name, profile=given.profile, format=given.format, only=given.only, program=program)


def check_by_name(
    name: str,
    *,
    profile: str | None = None,
    format: str = "text",
    only: str | None = None,
    program: str = "tinygrad-gpt laws",
) -> int:
    """Check the object pkg.module:name and print its report; returns the exit code.

    0: all laws passed; 1: some failed; 2: bad input, with one line on stderr.
    """
    try:
        from tinygrad_gpt.laws import check  # raises ImportError with a remedy where Hypothesis is missing
        from tinygrad_gpt.laws.profiles import default_profile, settings_for

        settings_for(profile)
        chosen = None if only is None else _ids_in(only)
        suts = _objects_under_test(name)
        reports = [check(sut, profile=profile or default_profile(), on_fail="report", only=chosen) for sut in suts]
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        _print_error(program, error)
        return BAD_INPUT
    for report in reports:
        print({"text": report.__str__, "markdown": report.markdown, "json": report.json}[format]())
    return HELD if all(report.ok for report in reports) else BROKEN


def _ids_in(only: str) -> list[str]:
    """The ids in a comma-separated text.  Raises ValueError if there is none."""
    ids = [id.strip().upper() for id in only.split(",") if id.strip()]
    if not ids:
        raise ValueError(f"only must hold ids of laws, with commas between them; got {only!r}")
    return ids


def _import_module(module: str) -> ModuleType:
    """The module of this name.  Raises ImportError, in one line, also for an exception of the module's code."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise
    except (Exception, SystemExit) as error:
        raise ImportError(f"module {module!r} cannot be imported: {type(error).__name__}: {error}") from error


def _print_error(program: str, error: object) -> None:
    """Print one line on stderr, as all commands do: the program and the error."""
    line = " ".join(str(error).split())
    print(f"{program}: {''.join(c if c.isprintable() else ascii(c)[1:-1] for c in line)}", file=sys.stderr)


def _objects_under_test(name: str) -> list[Any]:
    """The objects under test that pkg.module:name is or contains.  Raises ValueError for a name of another form."""
    module, colon, attribute = name.partition(":")
    is_path = "" in module.split(".") or "/" in module or "\\" in module or module.endswith(".py")
    if not (colon and attribute) or is_path:
        raise ValueError(f"name must look like pkg.module:name, a module as import names it; got {name!r}")
    if "" not in sys.path:
        sys.path.insert(0, "")  # a module in the working directory, as with python -m
    found = getattr(_import_module(module), attribute)
    suts = list(found) if isinstance(found, list | tuple) else [found]
    if not suts:
        raise ValueError(f"{name} must be an object under test, or a list of them; got an empty one")
    return suts
