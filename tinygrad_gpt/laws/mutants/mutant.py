"""A mutant is a small broken object with a story."""

from dataclasses import dataclass

from tinygrad_gpt.laws.law import UnderTest


@dataclass(frozen=True)
class Mutant:
    """A broken object; the laws that must kill it name it in their `mutants`.

    The story says what is wrong and what it does to its user; cites names a published bug of this kind.
    """

    name: str
    sut: UnderTest
    story: str
    cites: tuple[str, ...] = ()
