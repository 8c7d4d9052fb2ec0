"""tinygrad-gpt explain: an op's gradient, derived and worked out in numbers."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from tinygrad_gpt.cli.errors import user_input
from tinygrad_gpt.cli.options import HIDE_DEFAULT, Range
from tinygrad_gpt.cli.parsing import parse
from tinygrad_gpt.study.explain import explain, listing

NARROWEST, WIDEST = 60, 120  # columns: below, arrays would break; above, nobody reads on


@dataclass(frozen=True)
class Explain:
    """Derive an op's gradient: formula, code, small numbers line by line. Without an op, list them all."""

    op: Annotated[str | None, Positional, arg(metavar="[OP]", help_behavior_hint="")] = None
    """Name of the op, such as layer_norm."""
    seed: Annotated[int | None, Range(0, 2**64, below_high=True), HIDE_DEFAULT] = None
    """Other numbers, drawn from this seed. Default: numbers chosen for the op."""


def main(argv: Sequence[str]) -> int:
    """Print the page or the list; the exit code: 0, or 1 if a gradient is not what the other means give."""
    options = parse(Explain, argv, "tinygrad-gpt explain")
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    if options.op is None:
        print(listing(width))
        print("\ntinygrad-gpt explain OP shows one of them.")
        return 0
    with user_input():
        explanation = explain(options.op, seed=options.seed)
    print(explanation.text(width))
    return 0 if explanation.agrees else 1
