"""The sampler's limits as options, the same for every command that has them."""

from typing import Annotated

from tyro.conf import arg

from tinygrad_gpt.cli.options import Range

_TOP_K_HELP = "Draw only from this many likeliest tokens. Default: no limit."
_TOP_P_HELP = (
    "Draw only from the likeliest tokens that together have this probability, above 0 to 1. Default: no limit."
)
_MIN_P_HELP = (
    "Draw only tokens with at least this share of the likeliest token's probability, 0 to 1. Default: no limit."
)

TopK = Annotated[int | None, Range(1), arg(help=_TOP_K_HELP, help_behavior_hint="")]
TopP = Annotated[float | None, Range(0, 1, above_low=True), arg(help=_TOP_P_HELP, help_behavior_hint="")]
MinP = Annotated[float | None, Range(0, 1), arg(help=_MIN_P_HELP, help_behavior_hint="")]
