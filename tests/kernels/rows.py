"""A row of the table as a function that takes whatever its op takes."""

from collections.abc import Callable
from typing import Any

from tinygrad_gpt.kernels import Kernel


def run(row: Kernel) -> Callable[..., Any]:
    """The kernel on what it accepts, its op on the rest: what dispatch makes of the two."""

    def either(*arrays: Any, **settings: Any) -> Any:
        return row.choose(*arrays, **settings)(*arrays, **settings)

    return either
