"""Texts to train on: read strictly, and not changed.

A file is decoded strictly, by default as UTF-8; nothing is replaced silently.  Line ends do not change; a byte order
mark at the start of a file is left out.  Several files are joined to one text in the given order.  `joint`, by default
a newline (see Tokenizer.joint), is put between two files, unless the first one already ends with it.
"""

import codecs
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import BinaryIO

from tinygrad_gpt.backend import Array
from tinygrad_gpt.checks import check_has, fraction
from tinygrad_gpt.text.tokenizer import TextError

STDIN = "-"
_BYTES_PER_READ = 2**20
_UNDERLINE = re.compile(r"^[*=~-]{4,}$", re.MULTILINE)  # below the manual's headings
_MARKS = {  # byte order marks that these encodings need at the beginning of a file
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
ERRORS = ("strict", "replace", "ignore", "backslashreplace")  # those of Python's error handlers that give valid text

Path = str | os.PathLike[str]


def read_texts(
    paths: Path | Sequence[Path],
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
    note: Callable[[str], object] | None = None,
    joint: str = "\n",
) -> str:
    """The text of one file or several; "-" is standard input.  note(line) is called if a byte order mark is left out.

    Raises TextError, in one line, if a file cannot be read or decoded, or if all files have only whitespace.
    """
    return "".join(read_pieces(paths, encoding=encoding, errors=errors, note=note, joint=joint))


def read_pieces(
    paths: Path | Sequence[Path],
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
    note: Callable[[str], object] | None = None,
    advance: Callable[[int], object] | None = None,
    joint: str = "\n",
) -> Iterator[str]:
    """The text of read_texts in pieces of about a million bytes.  advance(n) is called after every n bytes read."""
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    _check_encoding(encoding, errors)
    end = joint  # the last characters of the text so far; before the first file no joint is needed
    blank = True
    for path in paths:
        between = "" if end == joint else joint
        for piece in _decode_pieces(path, encoding, errors, note, advance):
            yield between + piece
            between, end = "", (end + piece)[-len(joint) :]
            blank = blank and piece.isspace()
    if blank:
        names = ", ".join(repr(os.fspath(path)) for path in paths)
        raise TextError(f"no text in {names}: empty, or only space" if paths else "no text: no file was named")


def _check_encoding(encoding: str, errors: str) -> None:
    """Raise ValueError unless encoding is a text encoding that Python knows, and errors one of ERRORS."""
    try:
        io.TextIOWrapper(io.BytesIO(), encoding)
    except (LookupError, ValueError):
        raise ValueError(f"encoding must be one that Python knows, such as utf-8; got {encoding!r}") from None
    if errors not in ERRORS:
        raise ValueError(f"errors must be one of {', '.join(ERRORS)}; got {errors!r}")


def _decode_pieces(
    path: Path,
    encoding: str,
    errors: str,
    note: Callable[[str], object] | None,
    advance: Callable[[int], object] | None,
) -> Iterator[str]:
    """One file's text in pieces that are not empty, without a byte order mark."""
    codec = codecs.lookup(encoding)
    if codec.name == "utf-8-sig":
        codec = codecs.lookup("utf-8")  # the mark is removed below, so that offsets are those in the file
    decoder = codec.incrementaldecoder(errors)
    offset, at_start, start = 0, True, b""
    for data in _read_blocks(path):
        start = (start + data)[:4]
        held = len(decoder.getstate()[0])  # bytes of a character that began in the previous block
        try:
            piece = decoder.decode(data, final=not data)
        except UnicodeError as error:  # for a missing mark, a UnicodeDecodeError only since Python 3.13
            if codec.name in _MARKS and not start.startswith(_MARKS[codec.name]):
                raise _missing_mark_error(path, codec.name) from None
            if not isinstance(error, UnicodeDecodeError):
                raise TextError(f"{os.fspath(path)!r} is not {encoding.upper()}: {error}") from None
            raise _decoding_error(path, encoding, offset - held + error.start, error) from None
        offset += len(data)
        if advance is not None:
            advance(len(data))
        if at_start and piece:
            at_start = False
            if piece.startswith("\ufeff"):
                piece = piece[1:]
                if note is not None:
                    note(f"{os.fspath(path)!r} begins with a byte order mark: left out")
        if piece:
            yield piece


def _read_blocks(path: Path) -> Iterator[bytes]:
    """A file's bytes block by block, and b"" at the end.  Raises TextError if the file cannot be read."""
    try:
        with _open_binary(path) as file:
            while data := file.read(_BYTES_PER_READ):
                yield data
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TextError(f"cannot read {os.fspath(path)!r}: {reason}") from None
    yield b""


def _open_binary(path: Path) -> AbstractContextManager[BinaryIO]:
    """The file, opened for a with block; standard input is not closed after it."""
    if os.fspath(path) != STDIN:
        return open(path, "rb")
    if sys.stdin is None:
        raise OSError("there is no standard input")
    return nullcontext(sys.stdin.buffer)


def _missing_mark_error(path: Path, encoding: str) -> TextError:
    """The error for UTF-16 or UTF-32 without a byte order mark, with a remedy; `errors` does not allow it either."""
    return TextError(
        f"{os.fspath(path)!r} is not {encoding.upper()}: it does not begin with a byte order mark; try encoding "
        f"'utf-8', or '{encoding}-le' or '{encoding}-be', which have none"
    )


def _decoding_error(path: Path, encoding: str, offset: int, error: UnicodeDecodeError) -> TextError:
    """The error for a byte that the encoding does not allow, with a remedy."""
    rest = error.object[error.start :]
    marked = [name for name in sorted(_MARKS, reverse=True) if offset == 0 and rest.startswith(_MARKS[name])]
    known = codecs.lookup(encoding).name
    other = marked[0] if marked else "latin-1" if known in ("utf-8", "utf-8-sig") else "utf-8"
    remedy = "" if known in _MARKS else f"encoding {other!r}, or "  # with its mark present, the encoding is right
    return TextError(
        f"{os.fspath(path)!r} is not {encoding.upper()}: byte {offset} is 0x{rest[0]:02x} ({error.reason}); "
        f"try {remedy}errors 'replace'"
    )


def reference_manual() -> str:
    """The reference manual that Python contains for help(): about 345,000 characters of English, no download.

    Its topics are in alphabetical order, each paragraph is on one line.  A paragraph that occurs in several topics is
    used only the first time: if the validation part repeated the training part, its loss would be too low.  The text
    differs between Python versions.

    Raises TextError if this Python was installed without it.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise TextError("this Python lacks its reference manual (pydoc_data.topics): name a text file") from None
    paragraphs = (paragraph for name in sorted(topics) for paragraph in topics[name].split("\n\n"))
    lines = (" ".join(_UNDERLINE.sub("", paragraph).split()) for paragraph in paragraphs)
    return "\n\n".join(dict.fromkeys(filter(None, lines)))


def split_tokens(tokens: Array, val_fraction: float) -> tuple[Array, Array]:
    """Two views of tokens (N,), not copies: the training part, and the last val_fraction (in [0, 1)) for validation."""
    check_has("tokens", tokens, "__len__", "__getitem__")
    fraction("val_fraction", val_fraction)
    n_train = len(tokens) - round(len(tokens) * val_fraction)
    return tokens[:n_train], tokens[n_train:]
