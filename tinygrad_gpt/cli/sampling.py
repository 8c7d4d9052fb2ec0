"""tinygrad-gpt sampling: what temperature, top-k and top-p do to the next token of a trained model."""

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from tinygrad_gpt.cli.errors import UserError, require_package, user_input
from tinygrad_gpt.cli.options import Range
from tinygrad_gpt.cli.output import check_outputs, write_output
from tinygrad_gpt.cli.parsing import parse
from tinygrad_gpt.cli.process_limits import Threads, process_limits
from tinygrad_gpt.cli.run_argument import WhichCheckpoint, load_named_run
from tinygrad_gpt.cli.sampler_options import MinP, TopK, TopP
from tinygrad_gpt.sampling import SamplerSettings
from tinygrad_gpt.study.next_token import figure, limits_text, next_token, page, table

_DPI = 150


@dataclass(frozen=True)
class Sampling:
    """Show the probabilities of the next token at several temperatures, and what top-k, top-p and min-p keep."""

    run: Annotated[str, Positional, arg(metavar="RUN")]
    """Folder of a run that train has written."""
    text: Annotated[str, Positional, arg(metavar="TEXT")]
    """Text before the next token."""
    checkpoint: WhichCheckpoint = None
    temperatures: Annotated[tuple[float, ...], Range(0), arg(metavar="T ...")] = (0.1, 1.0, 5.0)
    """Temperatures to compare; 0 is greedy."""
    top_k: TopK = None
    top_p: TopP = None
    min_p: MinP = None
    tokens: Annotated[int, Range(1, 60)] = 10
    """How many of the likeliest tokens to show."""
    png: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Write the charts to this PNG file."""
    html: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Write an HTML page with sliders to this file; it works without a network."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """Where to compute: on the CPU, on an NVIDIA GPU (cuda), or on a GPU if there is one (auto)."""
    threads: Threads = None


def main(argv: Sequence[str]) -> int:
    """Parse, load the run, show the distribution; the exit code."""
    options = parse(Sampling, argv, "tinygrad-gpt sampling")
    if not options.text:
        raise UserError("TEXT must not be empty: the model continues a text")
    if not options.temperatures:
        raise UserError("--temperatures needs at least one")
    check_outputs(png=options.png, html=options.html)
    if options.png is not None:
        require_package("matplotlib")
    cut = SamplerSettings(top_k=options.top_k, top_p=options.top_p, min_p=options.min_p)
    run = load_named_run(options.run, options.device, options.checkpoint)
    model, tokenizer = run.model, run.tokenizer
    with process_limits(options.threads), user_input():
        view = next_token(model, tokenizer, options.text)
    width = min(shutil.get_terminal_size().columns, 120)
    print(f"next token after {options.text!r}; {limits_text(cut)}\n")
    print(table(view, options.temperatures, cut, options.tokens, width))
    if options.png is not None:
        picture = io.BytesIO()
        figure(view, options.temperatures, cut, options.tokens).savefig(picture, format="png", dpi=_DPI)
        write_output(options.png, picture.getvalue())
    if options.html is not None:
        temperature = 1.0 if 1.0 in options.temperatures else options.temperatures[0]
        write_output(options.html, page(view, temperature, cut, options.tokens))
    return 0
