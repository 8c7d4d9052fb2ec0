"""Index letters for arrays of any number of axes."""

from collections.abc import Sequence


def axis_letters(n: int) -> list[str]:
    """One letter for each of n axes: i0, i1, ..."""
    return [f"i{axis}" for axis in range(n)]


def read(shape: tuple[int, ...], letters: Sequence[str]) -> str:
    """The index of the entry of an array that is broadcast to the axes of these letters."""
    return ",".join(
        letter if size != 1 else "0" for letter, size in zip(letters[len(letters) - len(shape) :], shape, strict=True)
    )
