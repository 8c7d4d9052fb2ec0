"""The text of a run: read it, choose its tokenizer, and turn it into tokens."""

import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.cli.errors import UserError, user_input
from tinygrad_gpt.cli.reading import Reading, note_marks, progress
from tinygrad_gpt.cli.terminal import human_number
from tinygrad_gpt.cli.train.options import Train
from tinygrad_gpt.runs.folder import RunFolder
from tinygrad_gpt.runs.names import TOKENIZER, TOKENS
from tinygrad_gpt.text import (
    END_OF_TEXT,
    STDIN,
    StreamDecoder,
    Tokenizer,
    build_and_encode,
    build_tokenizer,
    load_tokenizer,
    open_tokens,
    reference_manual,
    write_tokens,
)

_MANUAL_OPENING = "If a class"
_MAX_OPENING_CHARACTERS = 24
_TOKENS_AT_A_TIME = 1000  # while looking for the opening
_IDS_AT_A_TIME = 10**6
_MEGABYTE = 10**6


@dataclass(frozen=True)
class Corpus:
    """A text and its tokens."""

    title: str
    size: str  # with its unit, for people
    opening: str  # the words that samples continue by default
    tokenizer: Tokenizer
    tokens: Array


def read_corpus(options: Train, folder: RunFolder) -> Corpus:
    """Read the text and tokenise it.  The tokens of a text above --max-text-mb go to a file in the run folder.

    Raises UserError if the text cannot be read, or the options do not fit it.
    """
    text_options = options.text
    if folder.resume and folder.file(TOKENS[0]).exists():
        with user_input():
            tokenizer = load_tokenizer(folder.file(TOKENIZER))
            tokens = open_tokens(folder.file(TOKENS[0]), tokenizer)
            check_token_ids(tokens, tokenizer.vocab_size, folder.file(TOKENS[0]))
        return Corpus(_title_of_text(options), TOKENS[0], _opening_of(tokens, tokenizer), tokenizer, tokens)
    if text_options.end_of_text and text_options.tokenizer in ("bytes", "chars"):
        raise UserError(f"--end-of-text needs --tokenizer compact or gpt2; {text_options.tokenizer} has no such token")
    joint = END_OF_TEXT if text_options.end_of_text else "\n"
    bar = options.report.progress
    reading = Reading(options.texts, text_options.encoding, text_options.errors, joint, bar=bar)
    limit = text_options.max_text_mb * _MEGABYTE
    with user_input():
        texts = iter(reading if options.texts else [reference_manual()])
        held: deque[str] = deque()
        while max(reading.known_bytes, reading.n_bytes) <= limit:
            if (text := next(texts, None)) is None:
                corpus = _corpus_in_memory(options, reading, list(held))
                break
            held.append(text)
        else:
            corpus = _large_corpus(options, reading, chain(_pop_all(held), texts), folder)
    if not text_options.end_of_text:
        has_it = corpus.tokenizer.name in ("compact", "gpt2")
        also = "" if has_it else " (with --tokenizer compact or gpt2)"
        note_marks(reading.n_marks, f"--end-of-text makes it the token{also}")
    return corpus


def _corpus_in_memory(options: Train, reading: Reading, texts: list[str]) -> Corpus:
    """Tokenise a text that has been read."""
    kind = options.text.tokenizer or ("gpt2" if options.model.preset.startswith("gpt2-") else "compact")
    n_characters = sum(map(len, texts))
    with progress("tokenising", n_characters, " characters", shown=reading.has_bar) as bar:
        end_of_text = options.text.end_of_text
        tokenizer, tokens = build_and_encode(kind, texts, end_of_text=end_of_text, advance=bar.update)
    opening = _opening_of(tokens, tokenizer) if options.texts else _MANUAL_OPENING
    return Corpus(_title_of_text(options), f"{n_characters:,} characters", opening, tokenizer, tokens)


def _large_corpus(options: Train, reading: Reading, texts: Iterable[str], folder: RunFolder) -> Corpus:
    """Tokenise a text that is too large for memory, into a file of the run folder."""
    kind = options.text.tokenizer or "gpt2"
    if kind not in ("gpt2", "bytes"):
        size = human_number(max(reading.known_bytes, reading.n_bytes), "B") + (
            " or more" if None in reading.sizes else ""
        )
        raise UserError(
            f"--tokenizer {kind} takes its vocabulary from the whole text, and {size} are more than "
            f"--max-text-mb {options.text.max_text_mb:g}: use gpt2 or bytes, or a larger --max-text-mb"
        )
    tokenizer = build_tokenizer(kind, end_of_text=options.text.end_of_text)
    tokens = write_tokens(tokenizer, texts, folder.tokens_file())
    return Corpus(
        _title_of_text(options), f"{reading.n_bytes:,} bytes", _opening_of(tokens, tokenizer), tokenizer, tokens
    )


def _pop_all(texts: deque[str]) -> Iterator[str]:
    """The texts; each is released when it has been used."""
    while texts:
        yield texts.popleft()


def check_token_ids(tokens: Array, vocab_size: int, path: Path) -> None:
    """Raise ValueError, naming the position, if an id of a file is outside the vocabulary."""
    for start in range(0, len(tokens), _IDS_AT_A_TIME):
        wrong = np.flatnonzero(tokens[start : start + _IDS_AT_A_TIME] >= vocab_size)
        if len(wrong):
            i = start + int(wrong[0])
            raise ValueError(
                f"{str(path)!r}: id {tokens[i]} at position {i:,} is outside the vocabulary of {vocab_size:,} tokens"
            )


def _opening_of(tokens: Array, tokenizer: Tokenizer) -> str:
    """The first words of a tokenised text; "" if it has none."""
    decoder, text = StreamDecoder(tokenizer), ""
    for start in range(0, len(tokens), _TOKENS_AT_A_TIME):
        text += "".join(map(decoder.push, tokens[start : start + _TOKENS_AT_A_TIME].tolist()))
        if tokenizer.end_of_text:
            text = text.replace(END_OF_TEXT, "\n")
        text = text.lstrip()
        if len(text) > 2 * _MAX_OPENING_CHARACTERS:
            break
    return first_words(text)


def _title_of_text(options: Train) -> str:
    """What the run is trained on, for people."""
    if options.texts:
        return _file_names(options.texts)
    return f"the reference manual of Python {sys.version_info.major}.{sys.version_info.minor}"


def _file_names(paths: Sequence[str]) -> str:
    """The names of the texts without their folders, so that a resumed run has the same."""
    return ", ".join("standard input" if path == STDIN else Path(path).name for path in paths)


def run_name(options: Train) -> str:
    """The name for the run's folder: the first text's, without its suffix."""
    if not options.texts:
        return "manual"
    stem = "stdin" if options.texts[0] == STDIN else Path(options.texts[0]).stem
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in stem)[:60].strip(".-") or "text"


def first_words(text: str, n: int = 4) -> str:
    """The first n words of the first line that is not blank, or as many as fit into 24 characters.

    If the first word is longer, as in a script without spaces, its first 24 characters.

    >>> first_words("\\n  To be,  or not to be\\n")
    'To be,  or not'
    >>> first_words("GATTACA" * 100)
    'GATTACAGATTACAGATTACAGAT'
    """
    lines = text.strip().splitlines()
    if not lines:
        return ""
    ends = [word.end() for word in re.finditer(r"\S+", lines[0])][:n]
    return lines[0][: max((end for end in ends if end <= _MAX_OPENING_CHARACTERS), default=_MAX_OPENING_CHARACTERS)]
