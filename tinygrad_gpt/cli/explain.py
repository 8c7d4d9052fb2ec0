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

_MIN_COLUMNS, _MAX_COLUMNS = 60, 120  # fewer would break arrays; longer lines are hard to read


@dataclass(frozen=True)
class Explain:
    """Derive the gradient of an op: its formula, its code, and small numbers line by line. Without OP, list all ops."""

    op: Annotated[str | None, Positional, arg(metavar="[OP]", help_behavior_hint="")] = None
    """Name of the op, such as layer_norm."""
    seed: Annotated[int | None, Range(0, 2**64, below_high=True), HIDE_DEFAULT] = None
    """Draw other numbers from this seed. Default: numbers chosen for the op."""


def main(argv: Sequence[str]) -> int:
    """Print the page or the list; the exit code: 0, or 1 if a gradient fails its checks."""
    options = parse(Explain, argv, "tinygrad-gpt explain")
    width = min(max(shutil.get_terminal_size().columns, _MIN_COLUMNS), _MAX_COLUMNS)
    if options.op is None:
        print(listing(width))
        print("\ntinygrad-gpt explain OP shows one of them.")
        return 0
    with user_input():
        explanation = explain(options.op, seed=options.seed)
    print(explanation.text(width))
    return 0 if explanation.agrees else 1
