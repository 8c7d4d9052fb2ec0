"""Texts larger than memory: they are encoded once into a file of ids, which is opened as a memory map.

    train.bin         the ids, little-endian uint16 (uint32 where the vocabulary needs it), nothing else
    train.bin.json    dtype, count, vocab_size, and the fingerprint of the tokenizer whose ids they are

The text is read and encoded piece by piece.  It is cut only where the tokenizer guarantees that the ids do not change
(Tokenizer.safe_cut), so the file has exactly the ids of encode(whole text).  Memory holds a few million characters.  If
a text has a longer part without a safe cut, memory holds twice that part.
"""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.checks import check_ids
from tinygrad_gpt.files import atomic_write
from tinygrad_gpt.text.corpus import STDIN, read_pieces
from tinygrad_gpt.text.encoding import encode_pieces
from tinygrad_gpt.text.storage import read_json
from tinygrad_gpt.text.tokenizer import TextError, Tokenizer

_FORMAT = "tinygrad_gpt tokens"
_VERSION = 1
_DTYPES: dict[str, np.dtype[Any]] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}

FilePath = str | os.PathLike[str]


def encode_to_file(
    tokenizer: Tokenizer,
    paths: FilePath | Sequence[FilePath],
    out: FilePath,
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
) -> Array:
    """Write the ids of the texts (see read_texts) to out, and a description beside it.  Returns the ids, a memory map.

    Raises TextError if a text cannot be read or encoded, OSError if out cannot be written; then out does not change.
    """
    texts = read_pieces(paths, encoding=encoding, errors=errors, joint=tokenizer.joint)
    return write_tokens(tokenizer, texts, out)


def write_tokens(tokenizer: Tokenizer, texts: Iterable[str], out: FilePath) -> Array:
    """encode_to_file for a text that is given in pieces."""
    dtype = smallest_dtype(tokenizer.vocab_size)
    count = 0
    with atomic_write(out) as file:
        for ids in encode_pieces(tokenizer, texts):
            check_ids(ids, tokenizer.vocab_size)
            file.write(ids.astype(_DTYPES[dtype]).tobytes())
            count += len(ids)
        _description_path(out).unlink(missing_ok=True)  # so that it never stands beside the new ids
    description = {
        "format": _FORMAT,
        "version": _VERSION,
        "dtype": dtype,
        "count": count,
        "vocab_size": tokenizer.vocab_size,
        "tokenizer": tokenizer.fingerprint,
    }
    with atomic_write(_description_path(out)) as file:
        file.write(json.dumps(description, indent=1).encode() + b"\n")
    return open_tokens(out, tokenizer)


def open_tokens(path: FilePath, tokenizer: Tokenizer | None = None) -> Array:
    """The ids that encode_to_file wrote: a read-only memory map (N,) of uint16 or uint32.

    Raises TextError if a file is missing or does not fit its description, or was made with another tokenizer.
    """
    description = _read_description(_description_path(path))
    dtype, count = _DTYPES[description["dtype"]], description["count"]
    try:
        size = os.path.getsize(path)
        if size != count * dtype.itemsize:
            raise TextError(
                f"{os.fspath(path)!r} has {size} bytes; its description needs {count * dtype.itemsize} "
                f"({count} ids of {dtype.itemsize} bytes): prepare it again"
            )
        if tokenizer is not None and tokenizer.fingerprint != description["tokenizer"]:
            raise TextError(f"{os.fspath(path)!r} holds the ids of another tokenizer: prepare it again")
        return np.memmap(path, dtype, mode="r", shape=(count,))
    except OSError as error:
        raise TextError(f"cannot read {os.fspath(path)!r}: {error.strerror}") from None


def smallest_dtype(vocab_size: int) -> str:
    """ "uint16" if every id fits, else "uint32".

    >>> smallest_dtype(50257), smallest_dtype(65536), smallest_dtype(65537)
    ('uint16', 'uint16', 'uint32')
    """
    return "uint16" if vocab_size - 1 <= np.iinfo(np.uint16).max else "uint32"


def size_of(path: FilePath) -> int | None:
    """The number of bytes in a file; None if it is not known before reading: standard input, a pipe."""
    return os.path.getsize(path) if os.fspath(path) != STDIN and os.path.isfile(path) else None


def _description_path(path: FilePath) -> Path:
    return Path(f"{os.fspath(path)}.json")


def _read_description(path: Path) -> dict[str, Any]:
    """A token file's description.  Raises TextError if a field is missing, unknown or wrong."""
    content = read_json(path)
    fields = {"format": str, "version": int, "dtype": str, "count": int, "vocab_size": int, "tokenizer": str}
    fits = (
        isinstance(content, dict)
        and content.keys() == fields.keys()
        and all(type(content[name]) is type_ for name, type_ in fields.items())
        and (content["format"], content["version"]) == (_FORMAT, _VERSION)
        and content["dtype"] in _DTYPES
        and content["count"] > 0
    )
    if not fits:
        raise TextError(f"{str(path)!r} does not describe a file of token ids: prepare it again")
    return content  # type: ignore[no-any-return]
