"""Where Hypothesis saves its files: not in the working directory."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis.configuration import set_hypothesis_home_dir, storage_directory


@contextmanager
def storage_in_cache() -> Iterator[None]:
    """Within this block Hypothesis saves to the user's cache, unless HYPOTHESIS_STORAGE_DIRECTORY names a folder."""
    if os.environ.get("HYPOTHESIS_STORAGE_DIRECTORY"):
        yield
        return
    before = storage_folder()
    set_hypothesis_home_dir(cache_folder())
    try:
        yield
    finally:
        set_hypothesis_home_dir(before)


def examples_folder() -> Path:
    """The folder of saved failing cases, which are tried first the next time."""
    return storage_folder() / "examples"


def storage_folder() -> Path:
    """The folder that Hypothesis uses now."""
    found: Any = storage_directory(intent_to_write=False)
    return Path(getattr(found, "path", found))  # older versions of Hypothesis return the path itself


def cache_folder() -> Path:
    """The user's cache folder; a folder for temporary files if that cannot be written."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinygrad_gpt" / "hypothesis"
        cache.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: there is no home directory
        return Path(tempfile.gettempdir()) / "tinygrad_gpt" / "hypothesis"
    return cache
