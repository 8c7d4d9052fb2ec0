"""Text to ids and back: the interface of all tokenizers, and the two that need no merge table.

A tokenizer has a table of the bytes that each id stands for, and a way to encode.  So decoding is the same for all of
them: look up the bytes, join them, and decode them as UTF-8.

    encode   str -> ids (N,) of int32       decode(encode(text)) == text for every valid str
    decode   ids (N) of int -> str          bytes that are not UTF-8 (half an emoji) become U+FFFD

A Python str can have a lone surrogate (half of a UTF-16 pair), which UTF-8 cannot represent; encode refuses it.
"""

import codecs
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.checks import check_ids

END_OF_TEXT = "<|endoftext|>"  # GPT-2's name of the token between two texts
_IDS_PER_CALL = 2**20


class TextError(ValueError):
    """A text, or a file that should contain one, cannot be used.  The message is one line for the user."""


class Tokenizer(ABC):
    """The interface of all tokenizers.  They are immutable; equal fingerprints mean equal ids."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def pieces(self) -> tuple[bytes, ...]:
        """The bytes of each id: pieces[id]."""

    @abstractmethod
    def encode(self, text: str) -> Array:
        """The ids of a text: (N,) of int32.  Raises TextError for a lone surrogate."""

    @property
    def end_of_text(self) -> bool:
        """True if <|endoftext|> in a text becomes the token of that name; else it is encoded like any other text."""
        return False

    @property
    def joint(self) -> str:
        """The text between two texts that are joined."""
        return END_OF_TEXT if self.end_of_text else "\n"

    def safe_cut(self, text: str) -> int:
        """The last i > 0 where a text can be cut: encode(text) is encode(text[:i]) and encode(text[i:]) joined.

        This is also true if more text follows.  0 if there is no such position.
        """
        return len(text)

    @cached_property
    def vocab_size(self) -> int:
        """The number of ids; they are 0 ... vocab_size - 1."""
        return len(self.pieces)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the name, the table, and whether END_OF_TEXT becomes a token."""
        digest = hashlib.sha256(self.name.encode() + (b" end_of_text" if self.end_of_text else b""))
        for piece in self.pieces:
            digest.update(len(piece).to_bytes(4, "little") + piece)
        return digest.hexdigest()

    def decode_bytes(self, ids: Array | Sequence[int]) -> bytes:
        """The bytes of ids (N) of int.  Raises ValueError for an id outside the vocabulary."""
        checked = check_ids(ids, self.vocab_size)
        if checked.ndim != 1:
            raise ValueError(f"ids must be one sequence (N,); got shape {checked.shape}")
        return b"".join(map(self.pieces.__getitem__, checked.tolist()))

    def decode(self, ids: Array | Sequence[int]) -> str:
        """The text of ids (N) of int, U+FFFD where the bytes are not UTF-8.  Raises what decode_bytes raises."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def label(self, id: int) -> str | bytes:
        """The text of one token, or its bytes if they are only part of a character.

        Raises ValueError for an id outside the vocabulary.

        >>> Bytes().label(110), Bytes().label(195)
        ('n', b'\\xc3')
        """
        piece = self.decode_bytes([id])
        try:
            return piece.decode()
        except UnicodeDecodeError:
            return piece

    def n_bytes(self, ids: Array) -> int:
        """The number of bytes in decode_bytes(ids), without joining them; ids (N,) may be a large memory map."""
        lengths = np.array([len(piece) for piece in self.pieces])
        starts = range(0, len(ids), _IDS_PER_CALL)
        return sum(int(lengths[ids[start : start + _IDS_PER_CALL]].sum()) for start in starts)


def check_str(text: object) -> None:
    """Raise TypeError unless the text is a str."""
    if not isinstance(text, str):
        raise TypeError(f"text must be a str; got {type(text).__name__}")


def to_utf8(text: str) -> bytes:
    """text as UTF-8.  Raises TextError for a lone surrogate, which UTF-8 cannot represent."""
    check_str(text)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise TextError(f"text is not valid Unicode: lone surrogate U+{code:04X} at character {error.start}") from None


@dataclass(frozen=True)
class Bytes(Tokenizer):
    """256 ids, one per byte of the UTF-8 text.

    >>> Bytes().encode("né").tolist()
    [110, 195, 169]
    """

    name: ClassVar[str] = "bytes"

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """Byte b has id b."""
        return tuple(bytes([b]) for b in range(256))

    def encode(self, text: str) -> Array:
        """The bytes of a text: (N,) of int32."""
        return np.frombuffer(to_utf8(text), np.uint8).astype(np.int32)


@dataclass(frozen=True)
class Characters(Tokenizer):
    """One id per character of `characters`, a str of distinct characters in ascending order.

    >>> Characters.of("hello").encode("hole").tolist()
    [1, 3, 2, 0]
    """

    characters: str
    name: ClassVar[str] = "chars"

    def __post_init__(self) -> None:
        to_utf8(self.characters)
        if not self.characters:
            raise TextError("a character vocabulary needs a text of at least 1 character; got none")
        if list(self.characters) != sorted(set(self.characters)):
            raise TextError("the characters of a vocabulary must be distinct and in ascending order")

    @classmethod
    def of(cls, text: str) -> "Characters":
        """The tokenizer whose vocabulary is the characters of a text."""
        return cls("".join(sorted(set(text))))

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """The UTF-8 bytes of each character."""
        return tuple(c.encode() for c in self.characters)

    def encode(self, text: str) -> Array:
        """The ids of a text's characters, (N,) of int32.  Raises TextError with the first unknown character."""
        wanted, known = _code_points(text), _code_points(self.characters)
        ids = np.searchsorted(known, wanted).clip(max=len(known) - 1)
        unknown = known[ids] != wanted
        if unknown.any():
            position = int(unknown.argmax())
            character = text[position]
            raise TextError(
                f"character {character!r} (U+{ord(character):04X}) at position {position} is not among the "
                f"{self.vocab_size} characters of the vocabulary"
            )
        return ids.astype(np.int32)


def _code_points(text: str) -> Array:
    """The code points of a text, (N,) of uint32."""
    to_utf8(text)  # refuses lone surrogates
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


class StreamDecoder:
    """Decodes ids one at a time, and returns a character only when it is complete.

    >>> stream = StreamDecoder(Bytes())
    >>> [stream.push(id) for id in "né".encode()]
    ['n', '', 'é']
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, id: int) -> str:
        """The characters that this id completes; often none.  Raises ValueError for an id outside the vocabulary."""
        return self._utf8.decode(self._tokenizer.decode_bytes([id]))

    def finish(self) -> str:
        """The rest of the text: U+FFFD if the last character is incomplete, else nothing."""
        return self._utf8.decode(b"", final=True)
