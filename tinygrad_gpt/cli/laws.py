"""tinygrad-gpt laws: hands over to tinygrad_gpt.laws, which needs hypothesis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from tinygrad_gpt.cli.errors import UserError, need
from tinygrad_gpt.cli.options import parse


@dataclass(frozen=True)
class Laws:
    """Check an object, such as a sampler, by the laws it must keep."""

    name: Annotated[str | None, Positional, arg(metavar="[NAME]", help_behavior_hint="")] = None
    """pkg.module:name of the object under test, or of a list of them."""
    profile: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """How thoroughly: dev, ci, thorough or mutants. Default: HYPOTHESIS_PROFILE, else dev."""
    format: Literal["text", "markdown", "json"] = "text"
    """How the report is written."""
    only: Annotated[str | None, arg(metavar="IDS", help_behavior_hint="")] = None
    """Ids of the laws to check, with commas between them. Default: all."""


def main(argv: Sequence[str]) -> int:
    """Parse, check; the exit code: 0 every law held, 1 one was broken, 2 bad input."""
    options = parse(Laws, argv, "tinygrad-gpt laws")
    need("hypothesis", 'pip install ".[laws]"')
    if options.name is None:
        raise UserError("needs NAME, as pkg.module:name")
    from tinygrad_gpt.laws.command import check_by_name

    return check_by_name(options.name, profile=options.profile, format=options.format, only=options.only)
