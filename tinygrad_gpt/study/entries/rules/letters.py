"""Index letters for arrays of any number of axes."""

from collections.abc import Sequence


def axis_letters(n: int, letter: str = "i") -> list[str]:
    """One letter for each of n axes: i0, i1, ..."""
    return [f"{letter}{axis}" for axis in range(n)]


def broadcast_index(shape: tuple[int, ...], letters: Sequence[str]) -> str:
    """The index of an array that is broadcast to axes with these letters: 0 where it has one entry."""
    own = letters[len(letters) - len(shape) :]
    return ",".join(letter if size != 1 else "0" for letter, size in zip(own, shape, strict=True))


def sigma(index_of_term: str, index_of_sum: str) -> str:
    """ "Σ " if a term has a letter that its sum does not have."""
    return "" if set(index_of_term.split(",")) <= {"", *index_of_sum.split(",")} else "Σ "
