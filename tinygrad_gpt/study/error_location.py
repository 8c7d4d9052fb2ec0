"""Where in somebody's file an error was raised."""

import traceback
from pathlib import Path


def error_location(path: Path, error: BaseException) -> str:
    """The file's name, and the last of its lines that the error passed through."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"{path.name}, line {error.lineno}"
    lines = [f"line {f.lineno}" for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return ", ".join([path.name, *lines[-1:]])
