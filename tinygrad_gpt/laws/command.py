"""The command line: check the object that a module holds under a name."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from tinygrad_gpt.laws.profiles import default_profile, settings_for
from tinygrad_gpt.laws.report import check

HELD, BROKEN, BAD_INPUT = 0, 1, 2  # the exit codes
PROGRAM = "python -m tinygrad_gpt.laws"


class OneLine(argparse.ArgumentParser):
    """A parser whose errors are one line on stderr, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit with 2."""
        complain(self.prog, message)
        sys.exit(BAD_INPUT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments, print the report; the exit code."""
    parser = OneLine(prog=PROGRAM, description="Check an object by its laws.")
    parser.add_argument("name", nargs="?", help="pkg.module:name of an object under test, or of a list of them")
    parser.add_argument("--profile", help="dev, ci, thorough or mutants; default: HYPOTHESIS_PROFILE, else dev")
    parser.add_argument("--format", choices=["text", "markdown", "json"], default="text")
    parser.add_argument("--only", help="ids of the laws to check, with commas between them")
    given = parser.parse_args(arguments)
    if given.name is None:
        parser.error("needs a name, as pkg.module:name")
    return check_by_name(given.name, profile=given.profile, format=given.format, only=given.only, program=PROGRAM)


def check_by_name(
    name: str,
    *,
    profile: str | None = None,
    format: str = "text",
    only: str | None = None,
    program: str = "tinygrad-gpt laws",
) -> int:
    """Check the object called pkg.module:name, print its report; 0 held, 1 broken, 2 bad input (a line on stderr)."""
    try:
        settings_for(profile)
        chosen = None if only is None else ids_in(only)
        suts = load(name)
        reports = [check(sut, profile=profile or default_profile(), on_fail="report", only=chosen) for sut in suts]
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        complain(program, error)
        return BAD_INPUT
    for report in reports:
        print({"text": report.__str__, "markdown": report.markdown, "json": report.json}[format]())
    return HELD if all(report.ok for report in reports) else BROKEN


def ids_in(only: str) -> list[str]:
    """The laws' ids in a text with commas between them.  ValueError if there is none."""
    ids = [id.strip().upper() for id in only.split(",") if id.strip()]
    if not ids:
        raise ValueError(f"only must hold ids of laws, with commas between them; got {only!r}")
    return ids


def imported(module: str) -> ModuleType:
    """The module of this name.  ImportError, in one line, also for what goes wrong in it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise
    except (Exception, SystemExit) as error:
        raise ImportError(f"module {module!r} cannot be imported: {type(error).__name__}: {error}") from error


def complain(program: str, error: object) -> None:
    """One line on stderr, as all commands write it: the program, and what is wrong."""
    print(f"{program}: {' '.join(str(error).split())}", file=sys.stderr)


def load(name: str) -> list[Any]:
    """The objects under test that pkg.module:name holds.  ValueError if the name has no such form."""
    module, colon, attribute = name.partition(":")
    is_path = "" in module.split(".") or "/" in module or "\\" in module or module.endswith(".py")
    if not (colon and attribute) or is_path:
        raise ValueError(f"name must look like pkg.module:name, a module as import names it; got {name!r}")
    if "" not in sys.path:
        sys.path.insert(0, "")  # a module in the working directory, as with python -m
    found = getattr(imported(module), attribute)
    suts = list(found) if isinstance(found, list | tuple) else [found]
    if not suts:
        raise ValueError(f"{name} must be an object under test, or a list of them; got an empty one")
    return suts
