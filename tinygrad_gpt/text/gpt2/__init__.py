"""GPT-2's byte-pair encoding, offline: the merge table is part of the package, and tiktoken applies it.

vocab.bpe.xz is the published `vocab.bpe` (MIT, see LICENSE), compressed.  Its 50,000 lines are the pairs to merge, in
order of priority.  All 50,257 ids follow from it:

    0 ... 255         the single bytes, in the order of byte_symbols()
    256 ... 50255     the pairs joined, one per line
    50256             <|endoftext|>

<|endoftext|> in a text is ordinary text, spelled with seven ordinary tokens; with GPT2(end_of_text=True) it becomes
the token of that name.

Source.  Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2; openai/gpt-2.
"""

import hashlib
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import ClassVar

import numpy as np
import tiktoken

from tinygrad_gpt.backend import Array
from tinygrad_gpt.text.tokenizer import END_OF_TEXT, Tokenizer, to_utf8

VOCAB_BPE_SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
_CHARACTERS_PER_CALL = 2**20
END_OF_TEXT_ID = 50256

# GPT-2's own pattern (openai/gpt-2, src/encoder.py) with possessive quantifiers: the same pieces without backtracking.
# `\s++$` is added for that reason too: whitespace at the very end is one piece, as with `\s+(?!\S)`.
_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"

# Unicode's White_Space, which is what \s means above.  Python's \s also matches U+001C to U+001F.
SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
_LONG_SPACE = re.compile(f"[{SPACE}]{{1000,}}")


def byte_symbols() -> dict[str, int]:
    """The character that stands for each byte in the table: itself where that is visible, else one from U+0100 up.

    >>> byte_symbols()["A"], byte_symbols()["Ġ"] == ord(" ")
    (65, True)
    """
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(256) if b not in visible]
    return {chr(b): b for b in visible} | {chr(256 + i): b for i, b in enumerate(hidden)}


def merge_table() -> str:
    """The text of vocab.bpe.  Raises RuntimeError if the installed file differs from the published one."""
    packed = files("tinygrad_gpt.text.gpt2").joinpath("vocab.bpe.xz").read_bytes()
    try:
        table = lzma.decompress(packed)
    except lzma.LZMAError as error:
        raise RuntimeError(f"GPT-2's merge table is damaged ({error}); install tinygrad-gpt again") from None
    found = hashlib.sha256(table).hexdigest()
    if found != VOCAB_BPE_SHA256:
        raise RuntimeError(f"GPT-2's merge table is damaged (sha256 {found}); install tinygrad-gpt again")
    return table.decode("utf-8")


@cache
def token_bytes() -> tuple[bytes, ...]:
    """The bytes of all 50,257 ids."""
    symbols = byte_symbols()
    pairs = merge_table().splitlines()[1:]  # the first line is a version
    merged = [bytes(symbols[c] for c in pair.replace(" ", "")) for pair in pairs]
    return (*(bytes([b]) for b in symbols.values()), *merged, END_OF_TEXT.encode())


@cache
def encoding() -> tiktoken.Encoding:
    """tiktoken's encoder for the table, built at the first use, without network or plugins."""
    return tiktoken.Encoding(
        "gpt2",
        pat_str=_PATTERN,
        mergeable_ranks={piece: id for id, piece in enumerate(token_bytes()[:END_OF_TEXT_ID])},
        special_tokens={END_OF_TEXT: END_OF_TEXT_ID},
        explicit_n_vocab=END_OF_TEXT_ID + 1,
    )


@dataclass(frozen=True)
class GPT2(Tokenizer):
    """GPT-2's vocabulary of 50,257 tokens.

    >>> GPT2().encode("Every effort moves you").tolist()
    [6109, 3626, 6100, 345]
    >>> GPT2(end_of_text=True).encode("you<|endoftext|>Every effort").tolist()
    [5832, 50256, 6109, 3626]
    """

    end_of_text: bool = False
    name: ClassVar[str] = "gpt2"

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """The bytes of all 50,257 ids."""
        return token_bytes()

    def encode(self, text: str) -> Array:
        """GPT-2's ids of text, (N,) of int32."""
        to_utf8(text)  # tiktoken would replace lone surrogates silently
        ids = [np.empty(0, np.int32)]
        for n, part in enumerate(text.split(END_OF_TEXT) if self.end_of_text else [text]):
            ids += [np.array([END_OF_TEXT_ID], np.int32)] if n else []
            ids += self.encode_ordinary(part)
        return np.concatenate(ids)

    def encode_ordinary(self, text: str) -> Iterator[Array]:
        """The ids of a text without the token <|endoftext|>, piece by piece."""
        for part in _without_long_space(text):
            for piece in self.split(part):
                yield np.array(encoding().encode_ordinary(piece), np.int32)

    def split(self, text: str) -> Iterator[str]:
        """text in pieces that together have the same ids.  Between two pieces Python can handle a Ctrl-C.

        A piece has at most 2**20 characters, or twice the longest stretch without a safe cut if that is more.
        """
        start, window = 0, _CHARACTERS_PER_CALL
        while len(text) - start > window:
            cut = self.safe_cut(text[start : start + window])
            if cut:
                yield text[start : start + cut]
            start, window = start + cut, _CHARACTERS_PER_CALL if cut else 2 * window
        yield text[start:]

    def safe_cut(self, text: str) -> int:
        """The last position where a space follows another character: there a piece of _PATTERN always ends.

        A newline is not enough: the pattern divides "a\\n\\nb" and "a\\n\\n" differently.
        """
        for i in range(len(text) - 1, 0, -1):
            if text[i] in SPACE and text[i - 1] not in SPACE:
                return i
        return 0


def _without_long_space(text: str) -> Iterator[str]:
    """text in parts that together have the same ids.  No part has a long run of whitespace before other characters.

    tiktoken's regular-expression engine saves a backtracking point for each character of such a run, and fails at a
    million.  _PATTERN matches a run without its last character, which belongs to the next piece: there the text is cut.
    """
    start = 0
    for run in _LONG_SPACE.finditer(text):
        if run.end() < len(text):
            yield text[start : run.start()]
            yield text[run.start() : run.end() - 1]
            start = run.end() - 1
    yield text[start:]
