"""The program tinygrad-gpt, also as python -m tinygrad_gpt."""

import sys


def main() -> int:
    """Run the command line; the exit code.  Ctrl-C during the import prints no traceback either."""
    try:
        from tinygrad_gpt.cli import main as run_command_line
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    return run_command_line()


if __name__ == "__main__":
    sys.exit(main())
