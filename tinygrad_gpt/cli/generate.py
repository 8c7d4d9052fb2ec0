"""tinygrad-gpt generate: continue a text, and print each token when it is drawn."""

import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from tinygrad_gpt.cli.errors import CommandFailed, UserError, note, user_input
from tinygrad_gpt.cli.options import HIDE_DEFAULT, Range
from tinygrad_gpt.cli.parsing import parse
from tinygrad_gpt.cli.process_limits import Threads, process_limits
from tinygrad_gpt.cli.run_argument import WhichCheckpoint, load_named_run
from tinygrad_gpt.cli.sampler_options import MinP, TopK, TopP
from tinygrad_gpt.cli.terminal import escape_controls_in
from tinygrad_gpt.nn import GPT
from tinygrad_gpt.sampling import SamplerSettings, Step, generate, probabilities, probability_bars
from tinygrad_gpt.text import END_OF_TEXT, StreamDecoder, Tokenizer

_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\r": "\r", "\\\\": "\\"}  # in --stop


@dataclass(frozen=True)
class Generate:
    """Continue a text with a trained model. By default it always takes the likeliest token."""

    run: Annotated[str, Positional, arg(metavar="RUN")]
    """Folder of a run that train has written."""
    text: Annotated[str, Positional, arg(metavar="TEXT")]
    """Text to continue."""
    checkpoint: WhichCheckpoint = None
    max_new_tokens: Annotated[int, Range(0)] = 50
    """Largest number of tokens to add."""
    temperature: Annotated[float, Range(0)] = 0.0
    """0 always takes the likeliest token; 1 is the model's distribution; higher is more random."""
    top_k: TopK = None
    top_p: TopP = None
    min_p: MinP = None
    ties: Literal["exact", "all"] = "exact"
    """Tokens that tie with the last that --top-k keeps: exact keeps exactly k tokens, all keeps every tied token."""
    seed: Annotated[int, Range(0, 2**64, below_high=True)] = 123
    """Seed of the random numbers: the same seed gives the same text. From 0 to 2**64 - 1."""
    stop: Annotated[
        str | None,
        arg(
            metavar="TEXT",
            help="Stop as soon as the new text contains this text, and leave it out. In it, \\n is a line end, \\t a "
            "tab, \\r a carriage return, \\\\ a backslash.",
            help_behavior_hint="",
        ),
    ] = None
    show_probabilities: Annotated[int | None, Range(1), HIDE_DEFAULT] = None
    """Show this many of the likeliest tokens at each step, before and after temperature, top-k, top-p and min-p."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """Where to compute: on the CPU, on an NVIDIA GPU (cuda), or on a GPU if there is one (auto)."""
    threads: Threads = None

    def settings(self) -> SamplerSettings:
        """The options of the sampler."""
        return SamplerSettings(**{field.name: getattr(self, field.name) for field in fields(SamplerSettings)})


def main(argv: Sequence[str]) -> int:
    """Parse, load the run, print the text; the exit code."""
    options = parse(Generate, argv, "tinygrad-gpt generate")
    if not options.text:
        raise UserError("TEXT must not be empty: the model continues a text")
    if options.stop == "":
        raise UserError("--stop must not be empty; leave it out to stop at --max-new-tokens")
    run = load_named_run(options.run, options.device, options.checkpoint)
    model, tokenizer = run.model, run.tokenizer
    with user_input():
        ids = tokenizer.encode(options.text)
    _note_settings(options, len(ids), model.config.context_length, tokenizer)
    steps = _continuation_steps(model, ids.tolist(), options)
    try:
        with process_limits(options.threads):
            if options.show_probabilities is None:
                _print_stream(steps, tokenizer, options)
            else:
                _print_charts(steps, tokenizer, options)
    except ValueError as error:  # generate() has checked its arguments; later it raises for logits that are not finite
        raise CommandFailed(str(error)) from error
    return 0


def _note_settings(options: Generate, n_tokens: int, context_length: int, tokenizer: Tokenizer) -> None:
    """Print notes about options that have no effect, or not the expected one."""
    if "\\n" in options.text:
        note("TEXT has \\n, a backslash and an n, not a line end: in most shells a line end is $'\\n'")
    if END_OF_TEXT in options.text and not tokenizer.end_of_text:
        note(f"TEXT has {END_OF_TEXT}, which is read as ordinary text: RUN was trained without --end-of-text")
    if n_tokens > context_length:
        note(f"TEXT has {n_tokens} tokens; the model sees the last {context_length} of them")
    idle = options.settings().limits()
    if options.temperature == 0 and idle:
        flags = ", ".join("--" + name.replace("_", "-") for name in idle)
        note(f"{flags} without effect: --temperature 0 always takes the likeliest token")


def _continuation_steps(model: GPT, ids: list[int], options: Generate) -> Iterator[Step]:
    """The steps of the generation; logits included."""
    with user_input():
        return generate(
            model,
            [ids],
            options.max_new_tokens,
            **vars(options.settings()),
            seed=options.seed,
            return_probabilities=True,
        )


def _print_stream(steps: Iterator[Step], tokenizer: Tokenizer, options: Generate) -> None:
    """Print the text and its continuation, each piece as soon as it is final."""
    _write(chain([options.text], text_until(stop_text(options), _completed_text(steps, tokenizer)), ["\n"]))


def _completed_text(steps: Iterator[Step], tokenizer: Tokenizer) -> Iterator[str]:
    """The characters that each step completes."""
    decoder = StreamDecoder(tokenizer)
    for step in steps:
        yield decoder.push(int(step.ids[0]))
    yield decoder.finish()


def stop_text(options: Generate) -> str | None:
    """The text of --stop, with its escapes replaced."""
    return options.stop and re.sub(r"\\[ntr\\]", lambda found: _ESCAPES[found[0]], options.stop)


def text_until(stop: str | None, texts: Iterator[str]) -> Iterator[str]:
    """The texts, joined, up to the first `stop`.  An end that may be the beginning of `stop` is held back."""
    waiting = ""
    for text in texts:
        waiting += text
        if stop is None:
            certain = len(waiting)
        elif (found := waiting.find(stop)) >= 0:
            yield waiting[:found]
            return
        else:
            certain = len(waiting) - longest_overlap(waiting, stop)
        yield waiting[:certain]
        waiting = waiting[certain:]
    yield waiting


def longest_overlap(text: str, stop: str) -> int:
    """The length of the longest suffix of text that is a prefix of stop.

    >>> longest_overlap("to be", "beyond"), longest_overlap("to be", "or")
    (2, 0)
    """
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((n for n in lengths if text.endswith(stop[:n])), 0)


def _print_charts(steps: Iterator[Step], tokenizer: Tokenizer, options: Generate) -> None:
    """Print a chart for every step, and the text at the end."""
    assert options.show_probabilities is not None
    width = min(shutil.get_terminal_size().columns, 100)
    settings = ", ".join(f"{name} {value}" for name, value in _settings_in_words(options))
    drawn: list[int] = []
    stop = stop_text(options)
    for step in steps:
        token = int(step.ids[0])
        before = probabilities(step.logits[0])
        drawn.append(token)
        n, label = options.show_probabilities, tokenizer.label
        bars = probability_bars(before, step.probabilities[0], label, n, width, chosen=token)
        _write([f"token {len(drawn)}: {label(token)!r}  (after: {settings})\n{bars}\n\n"])
        if stop is not None and stop in tokenizer.decode(drawn):
            break
    _write(chain([options.text], text_until(stop, iter([tokenizer.decode(drawn)])), ["\n"]))


def _settings_in_words(options: Generate) -> Iterator[tuple[str, Any]]:
    """The settings that shape the distribution."""
    if options.temperature == 0:
        yield "temperature", "0, greedy"
        return
    yield "temperature", f"{options.temperature:g}"
    for name, value in options.settings().limits().items():
        yield name.replace("_", "-"), value


def _write(texts: Iterable[str]) -> None:
    """Write texts to stdout, each at once; at a terminal without control characters."""
    for text in escape_controls_in(texts) if sys.stdout.isatty() else texts:
        sys.stdout.write(text)
        sys.stdout.flush()
