"""The command line: tinygrad-gpt COMMAND ..., one module per command.

A command is `main(argv) -> exit code` in a module that is imported only when the command runs: so --help is quick.

Exit codes.  0 success; 1 failed while running (a loss that is not finite, a full disk); 2 bad input, with one line on
stderr; 128 + n stopped by signal n: 129 hang-up, 130 Ctrl-C, 141 nobody reads the output any more, 143 terminated.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from types import ModuleType

from tinygrad_gpt.cli.errors import CommandFailed, HelpShown, UserError, did_you_mean, reason_in_words
from tinygrad_gpt.cli.terminal import InterruptedBySignal, one_line, utf8_streams
from tinygrad_gpt.console import UNREAD, discard_output
from tinygrad_gpt.version import __version__

_PROGRAM = "tinygrad-gpt"
COMMANDS = {
    "train": "train a GPT on text, and watch it learn",
    "generate": "continue a text with a trained model",
    "sampling": "show what temperature, top-k and top-p do to the next token",
    "evaluate": "measure how well a model predicts a text: loss, perplexity, bits per byte",
    "explain": "derive the gradient of an op, with its code and small numbers, line by line",
    "trace": "show one training step, op by op, forward and backward",
    "pitfalls": "find the mistake in wrong gradients and losses; write a vjp and check it",
    "laws": "check a sampler, or another object, against the laws it must obey",
    "doctor": "show what this machine has, and which model fits it",
}
_MODULES = {"train": "train.command"}  # commands whose module has another name


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code.  argv is what follows the program's name; by default from sys.argv."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = f"{_PROGRAM} {arguments[0]}" if arguments and arguments[0] in COMMANDS else _PROGRAM
    with utf8_streams():
        try:
            code = _dispatch(arguments)
            sys.stdout.flush()  # here a closed pipe is handled quietly; at exit the interpreter would complain
            return code
        except (UserError, CommandFailed) as error:
            _print_to_stderr(f"{command}: {one_line(error)}")
            return error.exit_code
        except MemoryError as error:
            _print_to_stderr(f"{command}: out of memory: {one_line(error)}")
            return CommandFailed.exit_code
        except KeyboardInterrupt as error:
            _print_to_stderr("")
            return error.exit_code if isinstance(error, InterruptedBySignal) else 130
        except BrokenPipeError:
            discard_output()
            return UNREAD
        except OSError as error:
            if error.filename is not None:
                raise
            # Only standard output has no file name.
            _print_to_stderr(f"{command}: standard output not written: {reason_in_words(error)}")
            discard_output()
            return CommandFailed.exit_code


def _print_to_stderr(line: str) -> None:
    """Print a line to stderr, if possible."""
    with suppress(OSError):
        print(line, file=sys.stderr)


def _dispatch(arguments: list[str]) -> int:
    """Call the command's module with the arguments after the command's name."""
    name, *rest = arguments or ["--help"]
    if name == "help" and rest:
        name, rest = rest[0], ["--help"]
    if name in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if name == "--version":
        print(_PROGRAM, __version__)
        return 0
    if name not in COMMANDS:
        raise UserError(_unknown_command(name))
    try:
        code: int = command_module(name).main(rest)
    except HelpShown:
        return 0
    except SystemExit as stopped:
        raise CommandFailed(f"the code that was run ended the program, with exit code {stopped.code!r}") from stopped
    return code


def command_module(name: str) -> ModuleType:
    """The module of a command, imported now."""
    return import_module(f"tinygrad_gpt.cli.{_MODULES.get(name, name)}")


def _overview() -> str:
    """The help of the program as a whole."""
    commands = "\n".join(f"  {name:<9} {purpose}" for name, purpose in COMMANDS.items())
    return f"""\
usage: {_PROGRAM} COMMAND ...

A GPT written from scratch on NumPy and CuPy.

{commands}

  {_PROGRAM} train                            train a small GPT on Python's reference manual, a minute or two
  {_PROGRAM} train my.txt --epochs 10         train on your own text
  {_PROGRAM} generate runs/manual-1 "The"     continue a text with the trained model
  {_PROGRAM} COMMAND --help                   every option of a command"""


def _unknown_command(name: str) -> str:
    """The error for an unknown command."""
    return f"unknown command {name!r}" + (did_you_mean(name, COMMANDS) or f"; commands are {', '.join(COMMANDS)}")
