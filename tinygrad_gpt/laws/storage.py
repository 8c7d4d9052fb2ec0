"""Where Hypothesis keeps what it has found and worked out: not in the folder in which somebody works."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis.configuration import set_hypothesis_home_dir, storage_directory


@contextmanager
def storage_in_cache() -> Iterator[None]:
    """Within this block it keeps that in the user's cache folder, or where HYPOTHESIS_STORAGE_DIRECTORY says."""
    if os.environ.get("HYPOTHESIS_STORAGE_DIRECTORY"):
        yield
        return
    before = folder()
    set_hypothesis_home_dir(cache_folder())
    try:
        yield
    finally:
        set_hypothesis_home_dir(before)


def examples_folder() -> Path:
    """The folder of failing cases, which are tried first the next time."""
    return folder() / "examples"


def folder() -> Path:
    """Where it keeps things now."""
    found: Any = storage_directory(intent_to_write=False)
    return Path(getattr(found, "path", found))  # older versions of Hypothesis answer the path itself


def cache_folder() -> Path:
    """The user's folder for what may be deleted at any time; one for temporary files if it cannot be written."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinygrad_gpt" / "hypothesis"
        cache.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: nobody knows of a home
        return Path(tempfile.gettempdir()) / "tinygrad_gpt" / "hypothesis"
    return cache
