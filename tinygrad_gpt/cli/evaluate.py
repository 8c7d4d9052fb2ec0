"""tinygrad-gpt evaluate: how well a trained model predicts a text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from tyro.conf import Positional, arg

from tinygrad_gpt.cli.errors import CommandFailed, UserError, note, user_input
from tinygrad_gpt.cli.machine import Threads, machine
from tinygrad_gpt.cli.options import Range, parse
from tinygrad_gpt.cli.run_folder import WhichCheckpoint, load_run
from tinygrad_gpt.text import read_texts
from tinygrad_gpt.training import evaluate


@dataclass(frozen=True)
class Evaluate:
    """Measure how well a trained model predicts a text: loss, perplexity, bits per byte."""

    run: Annotated[str, Positional, arg(metavar="RUN")]
    """Run folder that train has made."""
    texts: Annotated[tuple[str, ...], Positional, arg(metavar="TEXTS ...", help_behavior_hint="")] = ()
    """Text files, - for standard input; several are joined."""
    checkpoint: WhichCheckpoint = None
    stride: Annotated[int | None, Range(1), arg(help_behavior_hint="")] = None
    """Tokens from one window to the next; fewer give each token more context. Default: the context length."""
    batch_size: Annotated[int, Range(1, 2**20)] = 8
    """Windows computed together; changes the result by rounding at most."""
    encoding: Annotated[str, arg(metavar="NAME")] = "utf-8"
    """Encoding of the text files, by Python's name for it."""
    errors: Literal["strict", "replace", "ignore", "backslashreplace"] = "strict"
    """What to do with bytes that the encoding does not allow: strict stops and says where."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """Where to compute: cuda is an NVIDIA GPU, auto takes one if there is one."""
    threads: Threads = None


def main(argv: Sequence[str]) -> int:
    """Parse, load the run, score the text; the exit code."""
    options = parse(Evaluate, argv, "tinygrad-gpt evaluate")
    if not options.texts:
        raise UserError("needs TEXTS: the files to score, or - for standard input")
    model, tokenizer = load_run(options.run, options.device, options.checkpoint)
    length = model.config.context_length
    if options.stride is not None and options.stride > length:
        raise UserError(f"--stride must be at most the model's context length {length}; got {options.stride}")
    with user_input():
        text = read_texts(options.texts, encoding=options.encoding, errors=options.errors, note=note)
        tokens = tokenizer.encode(text)
    if len(tokens) < 2:
        raise UserError("TEXTS must hold at least 2 tokens: the first is given, the others are scored; got 1")
    with machine(options.threads), np.errstate(all="ignore"):  # a model that has diverged is told below, in one line
        score = evaluate(model, tokens, stride=options.stride, batch_size=options.batch_size)
    if not math.isfinite(score.loss):
        raise CommandFailed(f"the model of {options.run} has diverged: its loss is {score.loss}")
    n_bytes = len(tokenizer.decode_bytes(tokens[1:]))
    print(f"tokens scored   {score.tokens:,}, of {len(tokens):,}: the first is given")
    print(f"loss            {score.loss:.4f} nats per token")
    print(f"perplexity      {score.perplexity:,.2f}, of {tokenizer.vocab_size:,} tokens in the vocabulary")
    print(f"bits per byte   {score.bits_per_byte(n_bytes):.4f}, of {n_bytes:,} bytes")
    return 0
