"""tinygrad-gpt pitfalls: twenty-one planted mistakes to find, and vjps to write and have checked."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from tinygrad_gpt.cli.errors import UserError, did_you_mean, require_package, user_input
from tinygrad_gpt.cli.parsing import parse
from tinygrad_gpt.cli.terminal import shorten

if TYPE_CHECKING:
    from tinygrad_gpt.study.pitfalls import Pitfall
    from tinygrad_gpt.study.pitfalls.exercises import Exercise

_PROGRAM = "tinygrad-gpt pitfalls"
_EXERCISE = "exercise"
Ask = Callable[[str], str]  # a prompt -> what was typed; EOFError at the end


@dataclass(frozen=True)
class Pitfalls:
    """Find the mistake in wrong gradients and losses that people really write, and see which check catches it.

    Without arguments: the list. `exercise` lists vjps to write; `exercise softmax` creates softmax.py, then checks it.
    """

    pitfall: Annotated[str | None, Positional, arg(metavar="[N|NAME|exercise]", help_behavior_hint="")] = None
    """Number or name of a pitfall, or the word "exercise"."""
    exercise: Annotated[str | None, Positional, arg(metavar="[EXERCISE]", help_behavior_hint="")] = None
    """Name of an exercise, such as layer_norm."""
    show: bool = False
    """Show everything at once, without questions (always so without a terminal)."""
    file: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """File of the exercise. Default: EXERCISE.py in this folder."""


def main(argv: Sequence[str]) -> int:
    """Parse; list, teach, or check an exercise.  The exit code: 1 if the exercise is wrong, 2 for bad input."""
    options = parse(Pitfalls, argv, _PROGRAM)
    if options.pitfall == _EXERCISE:
        return _exercise(options.exercise, options.file)
    if options.exercise is not None:
        raise UserError(f"unexpected argument {options.exercise!r}; exercises are: {_PROGRAM} {_EXERCISE} NAME")
    if options.file is not None:
        raise UserError(f"--file is for exercises: {_PROGRAM} {_EXERCISE} NAME --file FILE")
    if options.pitfall is None:
        print(_overview())
        return 0
    require_package("hypothesis")  # lessons and checks use the laws
    number, found = _pitfall_of(options.pitfall)
    teach(number, found, input if _at_a_terminal() and not options.show else None)
    return 0


def _at_a_terminal() -> bool:
    """Whether a person can answer questions."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _overview() -> str:
    """All pitfalls, and the next commands."""
    from tinygrad_gpt.study import pitfalls

    return f"""\
{pitfalls.listing()}

  {_PROGRAM} 3           look at one, guess, see what catches it
  {_PROGRAM} 3 --show    the same without questions
  {_PROGRAM} {_EXERCISE}    vjps to write yourself"""


def _pitfall_of(key: str) -> tuple[int, "Pitfall"]:
    """The pitfall with this number or name, and its number."""
    from tinygrad_gpt.study import pitfalls

    try:
        found = pitfalls.find(key)
    except (KeyError, ValueError):  # ValueError: a number of thousands of digits
        near = did_you_mean(key, [*pitfalls.NAMES, _EXERCISE])
        rest = near or f"; there are 1 to {len(pitfalls.NAMES)}: {_PROGRAM} lists them"
        raise UserError(f"no pitfall {shorten(repr(key))}{rest}") from None
    return pitfalls.NAMES.index(found.name) + 1, found


def teach(number: int, pitfall: "Pitfall", ask: Ask | None) -> None:
    """Print a pitfall, step by step; all at once without `ask`.  Stops quietly when the input ends."""
    from tinygrad_gpt.study.pitfalls import lesson

    print(lesson.opening(number, pitfall))
    try:
        if ask:
            print()
            _guess(pitfall, ask)
        else:
            print(f"\n{lesson.answer(pitfall)}")
        print(f"\n{lesson.catch(pitfall)}\n")
        if ask:
            ask("Enter for the fix ")
            print()
    except EOFError:
        print()
        return
    print(lesson.fix(pitfall))


def _guess(pitfall: "Pitfall", ask: Ask) -> None:
    """Ask for the wrong line until the answer is right, or empty."""
    from tinygrad_gpt.study.pitfalls.lesson import answer, verdict

    lines = len(pitfall.code)
    while guess := ask("Which line is wrong? Its number, or Enter to be told: ").strip():
        if not (guess.isdecimal() and 1 <= int(guess) <= lines):
            print(f"A number from 1 to {lines}, or Enter.")
            continue
        print(verdict(pitfall, int(guess)))
        if pitfall.is_wrong(int(guess)):
            return
    print(answer(pitfall))


def _exercise(name: str | None, file: str | None) -> int:
    """List the exercises, or write the file of one, or check it; the exit code."""
    from tinygrad_gpt.study.explain import normalized_name
    from tinygrad_gpt.study.pitfalls.exercises import ALL_EXERCISES, BY_NAME

    names = ", ".join(BY_NAME)
    if name is None:
        if file is not None:
            raise UserError(f"--file needs the name of an exercise: {names}")
        print("\n".join(f"{found.name:<17} {found.task}" for found in ALL_EXERCISES))
        print(f"\n  {_PROGRAM} {_EXERCISE} multiply   make multiply.py, later check it")
        return 0
    alike = {normalized_name(known): known for known in BY_NAME}
    if normalized_name(name) not in alike:
        near = did_you_mean(name, BY_NAME)
        raise UserError(f"no exercise {name!r}{near or f'; they are {names}'}")
    name = alike[normalized_name(name)]
    if file == "":
        raise UserError("--file must name a file")
    path = Path(f"{name}.py" if file is None else file)
    with user_input():
        is_there = path.exists()
    return _check(BY_NAME[name], path) if is_there else _begin(BY_NAME[name], path, file or "")


def _begin(exercise: "Exercise", path: Path, file: str) -> int:
    """Write the file to start from; the exit code.  Never overwrites."""
    with user_input(), path.open("x", encoding="utf-8") as starter:
        starter.write(exercise.starting_file(file))
    print(f"{path} is there to start from: write its vjp, then run this command again.")
    return 0


def _check(exercise: "Exercise", path: Path) -> int:
    """Judge the file; the exit code."""
    require_package("hypothesis")
    from tinygrad_gpt.study.pitfalls.exercises.checking import check as judge
    from tinygrad_gpt.study.pitfalls.exercises.learner import Complaint

    try:
        with user_input():
            verdict = judge(exercise, path)
    except Complaint as complaint:
        raise UserError(str(complaint)) from None
    print(verdict.text)
    if not verdict.right:
        print(f"\nThe rule, derived: tinygrad-gpt explain {exercise.name}")
    return 0 if verdict.right else 1
