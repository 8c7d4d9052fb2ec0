"""tinygrad-gpt evaluate: how well a trained model predicts a text."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from tyro.conf import Positional, arg

from tinygrad_gpt.backend import Array
from tinygrad_gpt.checkpoints import CheckpointError, Checkpoints
from tinygrad_gpt.checkpoints.safetensors_file import open_safetensors
from tinygrad_gpt.cli.config_file import read_config
from tinygrad_gpt.cli.errors import CommandFailed, UserError, user_input
from tinygrad_gpt.cli.options import HIDE_DEFAULT, Range, with_values
from tinygrad_gpt.cli.parsing import parse
from tinygrad_gpt.cli.process_limits import Threads, process_limits
from tinygrad_gpt.cli.reading import Reading, note_marks, progress
from tinygrad_gpt.cli.run_argument import WhichCheckpoint, load_named_run
from tinygrad_gpt.cli.train.corpus import check_token_ids
from tinygrad_gpt.cli.train.fingerprint import text_in_words
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.runs.names import CHECKPOINTS, CONFIG, MODEL, TOKENS
from tinygrad_gpt.text import STDIN, Tokenizer, encode_pieces, open_tokens, reference_manual, split_tokens
from tinygrad_gpt.training import evaluate
from tinygrad_gpt.training.evaluate import count_windows


@dataclass(frozen=True)
class Evaluate:
    """Measure how well a trained model predicts a text: loss, perplexity, bits per byte."""

    run: Annotated[str, Positional, arg(metavar="RUN")]
    """Folder of a run that train has written."""
    texts: Annotated[tuple[str, ...], Positional, arg(metavar="TEXTS ...", help_behavior_hint="")] = ()
    """Text files, or - for standard input; several are joined. Default: the validation part of the run's text."""
    checkpoint: WhichCheckpoint = None
    max_tokens: Annotated[int | None, Range(1), HIDE_DEFAULT] = None
    """Score only the first tokens, at most this many. Default: all."""
    stride: Annotated[int | None, Range(1), HIDE_DEFAULT] = None
    """Tokens from one window to the next; fewer give each token more context. Default: the context length."""
    batch_size: Annotated[int, Range(1, 2**20)] = 8
    """How many windows to compute together. This changes the result only by rounding."""
    encoding: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: utf-8)")] = None
    """Encoding of the text files, as Python names it."""
    errors: Annotated[
        Literal["strict", "replace", "ignore", "backslashreplace"] | None, arg(help_behavior_hint="(default: strict)")
    ] = None
    """What to do with bytes that the encoding does not allow; strict stops and says where."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """Where to compute: on the CPU, on an NVIDIA GPU (cuda), or on a GPU if there is one (auto)."""
    threads: Threads = None
    progress: bool = True
    """Show a progress bar if stderr is a terminal."""


def main(argv: Sequence[str]) -> int:
    """Parse, load the run, score the text; the exit code."""
    options = parse(Evaluate, argv, "tinygrad-gpt evaluate")
    idle = [f"--{name}" for name in ("encoding", "errors") if getattr(options, name) is not None]
    if idle and not options.texts:
        raise UserError(f"{' and '.join(idle)} without TEXTS: the run's own text is read as train has read it")
    run = load_named_run(options.run, options.device, options.checkpoint)
    model, tokenizer = run.model, run.tokenizer
    length = model.config.context_length
    stride = length if options.stride is None else options.stride
    if stride > length:
        raise UserError(f"--stride must be at most the model's context length {length}; got {stride}")
    tokens = _text_tokens(options, tokenizer) if options.texts else _validation_tokens(options, tokenizer)
    if len(tokens) < 2:
        name = "TEXTS" if options.texts else "the validation part"
        needs = "must hold at least 2 tokens: the first is given, the others are scored"
        raise UserError(f"{name} {needs}; got {len(tokens)}")
    n = len(tokens) - 1 if options.max_tokens is None else min(options.max_tokens, len(tokens) - 1)
    with (
        process_limits(options.threads),
        np.errstate(all="ignore"),  # a model that has diverged is reported below, in one line
        progress("scoring", n, " tokens", shown=options.progress) as bar,
    ):
        score = evaluate(model, tokens, stride=stride, batch_size=options.batch_size, max_tokens=n, advance=bar.update)
    if not math.isfinite(score.loss):
        raise CommandFailed(f"the model of {options.run} has diverged: its loss is {score.loss}")
    n_bytes = tokenizer.n_bytes(tokens[1 : n + 1])
    if options.checkpoint is not None:
        print(f"checkpoint      of step {run.step:,}")
    print(f"tokens scored   {score.tokens:,}{_scored_in_words(options, len(tokens), n)}: the first is given")
    print(f"windows         {count_windows(n + 1, length, stride):,}, {_context_in_words(length, stride)}")
    print(f"loss            {score.loss:.4f} nats per token")
    print(f"perplexity      {score.perplexity:,.2f}, of {tokenizer.vocab_size:,} tokens in the vocabulary")
    print(f"bits per byte   {score.bits_per_byte(n_bytes):.4f}, of {n_bytes:,} bytes")
    return 0


def _scored_in_words(options: Evaluate, n_tokens: int, scored: int) -> str:
    """The number of all tokens, in words; not with --max-tokens, because then the rest has not been read."""
    whole = "" if options.texts else " in the validation part"
    return f", of {n_tokens:,}{whole}" if scored == n_tokens - 1 else f"{whole}, as --max-tokens says"


def _context_in_words(length: int, stride: int) -> str:
    """How many tokens a prediction can use."""
    least = length - stride + 1
    given = f"{least:,} to {length:,} tokens" if least < length else f"{length:,} token{'' if length == 1 else 's'}"
    first = ", near the beginning fewer" if least > 1 else ""
    return f"context {length:,}, stride {stride:,}: each is predicted from the {given} before it{first}"


def _text_tokens(options: Evaluate, tokenizer: Tokenizer) -> Array:
    """The tokens of TEXTS; of a long text no more than are needed."""
    reading = Reading(
        options.texts,
        options.encoding or "utf-8",
        options.errors or "strict",
        tokenizer.joint,
        bar=options.progress,
    )
    tokens = _encode_text(reading, tokenizer, options.max_tokens)
    if not tokenizer.end_of_text:
        note_marks(reading.n_marks, "RUN was trained without --end-of-text")
    return tokens


def _validation_tokens(options: Evaluate, tokenizer: Tokenizer) -> Array:
    """The validation part of the text that the run was trained on.  Raises UserError if that text is not available."""
    folder = Path(options.run)
    trained = with_values(Train(), read_config(str(folder / CONFIG), Train))
    if not trained.text.val_fraction:
        raise UserError(f"RUN {options.run!r} has no validation part, its --val-fraction is 0: name TEXTS to score")
    with user_input():
        if (folder / TOKENS[0]).exists():
            tokens = open_tokens(folder / TOKENS[0], tokenizer)
            check_token_ids(tokens, tokenizer.vocab_size, folder / TOKENS[0])
        elif STDIN in trained.texts:
            raise UserError(f"RUN {options.run!r} was trained on standard input, which is gone: name TEXTS to score")
        elif trained.texts:
            text = trained.text
            tokens = _encode_text(
                Reading(trained.texts, text.encoding, text.errors, tokenizer.joint, bar=options.progress), tokenizer
            )
        else:
            tokens = tokenizer.encode(reference_manual())
    _check_text(options.run, tokens)
    return split_tokens(tokens, trained.text.val_fraction)[1]


def _encode_text(reading: Reading, tokenizer: Tokenizer, most: int | None = None) -> Array:
    """The tokens of a text, (N,) of int32; with `most`, at least the first most + 1, if there are as many."""
    found, n = [np.empty(0, np.int32)], 0
    with user_input():
        for ids in encode_pieces(tokenizer, reading):
            found.append(ids)
            n += len(ids)
            if most is not None and n > most:
                break
    return np.concatenate(found)


def _training_text_of(run: Path) -> str | None:
    """The text that a run was trained on, as described in its model or, for a run of an older version, in its newest
    checkpoint; None if neither describes it.
    """
    checkpoints = Checkpoints(run / CHECKPOINTS)
    for path in [run / MODEL, *(checkpoints.paths() if checkpoints.folder.is_dir() else [])]:
        # load_named_run has reported what cannot be read.
        with suppress(CheckpointError), open_safetensors(path) as file:
            if "text" in file.metadata:
                return file.metadata["text"]
    return None


def _check_text(run: str, tokens: Array) -> None:
    """Raise UserError unless these are the tokens that the run's model was trained and validated on."""
    trained_on = _training_text_of(Path(run))
    if trained_on not in (None, text_in_words(tokens)):
        raise UserError(
            f"RUN {run!r} was trained on another text than is there now ({trained_on}, now {text_in_words(tokens)}): "
            "name TEXTS to score"
        )
