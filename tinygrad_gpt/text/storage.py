"""Building a tokenizer of a kind, and its file: build_tokenizer, save_tokenizer, load_tokenizer.

The file is readable JSON: kind, size and fingerprint, and what is needed to build a tokenizer of that kind again.

    bytes         nothing
    gpt2          nothing, or "end_of_text": true
    chars         "characters": one string, ascending
    compact       "tokens": GPT-2's tokens in its own notation (Ġ is a space), each with GPT-2's id, in our order

Reading is strict.  Any difference (an unknown field, a wrong type, a token that GPT-2 spells differently, another
fingerprint) raises TextError with one line, because a slightly wrong tokenizer would give wrong text without an error.
"""

import json
import os
from pathlib import Path
from typing import Any

from tinygrad_gpt.files import atomic_write, strict_json
from tinygrad_gpt.text.compact import Compact
from tinygrad_gpt.text.gpt2 import GPT2, byte_symbols
from tinygrad_gpt.text.tokenizer import END_OF_TEXT, Bytes, Characters, TextError, Tokenizer, check_str

_FORMAT = "tinygrad_gpt tokenizer"
_VERSION = 1
KINDS = ("compact", "gpt2", "bytes", "chars")
_VOCABULARY_FIELD = {"compact": "tokens", "chars": "characters"}


def build_tokenizer(kind: str, text: str | None = None, *, end_of_text: bool = False) -> Tokenizer:
    """The tokenizer of this kind: "compact" and "chars" take their vocabulary from text, "gpt2" and "bytes" need none.

    With end_of_text, <|endoftext|> in a text becomes the token of that name, which "gpt2" and "compact" have.

    Raises ValueError for any other kind, for a missing text, or for end_of_text with a kind that has no such token;
    TextError for a text with lone surrogates or, for "chars", an empty text.
    """
    check_end_of_text(kind, end_of_text)
    if text is not None:
        check_str(text)
    if text is None and kind in _VOCABULARY_FIELD:
        raise ValueError(f"text must be given: the tokenizer {kind!r} takes its vocabulary from it")
    if kind == "compact":
        return Compact.of(text or "", end_of_text=end_of_text)
    if kind == "gpt2":
        return GPT2(end_of_text)
    if kind == "bytes":
        return Bytes()
    if kind == "chars":
        return Characters.of(text or "")
    raise ValueError(f"tokenizer must be one of {', '.join(KINDS)}; got {kind!r}")


def check_end_of_text(kind: str, end_of_text: bool) -> None:
    """Raise ValueError if end_of_text is True and this kind has no <|endoftext|> token."""
    if end_of_text and kind not in ("compact", "gpt2"):
        raise ValueError(f"end_of_text needs the tokenizer compact or gpt2; {kind!r} has no token {END_OF_TEXT}")


def save_tokenizer(tokenizer: Tokenizer, path: str | os.PathLike[str]) -> None:
    """Write the tokenizer to a JSON file, whole or not at all."""
    content: dict[str, object] = {
        "format": _FORMAT,
        "version": _VERSION,
        "kind": tokenizer.name,
        "vocab_size": tokenizer.vocab_size,
        "fingerprint": tokenizer.fingerprint,
    }
    if isinstance(tokenizer, Characters):
        content["characters"] = tokenizer.characters
    if isinstance(tokenizer, GPT2) and tokenizer.end_of_text:
        content["end_of_text"] = True
    if isinstance(tokenizer, Compact):
        content["tokens"] = {printable_bytes(GPT2().pieces[id]): id for id in tokenizer.gpt2_ids}
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n")


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer that save_tokenizer wrote.  Raises TextError if the file cannot be read or has other content."""
    content = read_json(path)
    try:
        tokenizer = _tokenizer_from(content)
        same = tokenizer.vocab_size == content["vocab_size"] and tokenizer.fingerprint == content["fingerprint"]
        if not same:
            raise TextError("its vocabulary does not have the vocab_size and fingerprint it states")
    except TextError as error:
        raise TextError(f"{str(path)!r} is not a tokenizer file of this program: {error}") from None
    return tokenizer


def read_json(path: str | os.PathLike[str]) -> Any:
    """A JSON file's value.  Raises TextError for a file that cannot be read or is not strictly JSON."""
    try:
        return strict_json(Path(path).read_bytes().decode("utf-8"))
    except OSError as error:
        raise TextError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except ValueError as error:
        raise TextError(f"{str(path)!r} is not valid JSON: {error}") from None


def _tokenizer_from(content: Any) -> Tokenizer:
    """The tokenizer that a file's content describes; its size and fingerprint are not compared yet."""
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise TextError(f"no field format = {_FORMAT!r}")
    if type(content.get("version")) is not int or content["version"] != _VERSION:
        raise TextError(f"version must be {_VERSION}; got {content.get('version')!r}")
    kind = content.get("kind")
    if kind not in KINDS:
        raise TextError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    _check_fields(content, {"format": str, "version": int, "kind": str, "vocab_size": int, "fingerprint": str}, kind)
    if kind == "compact":
        return _compact_from(content["tokens"])
    if kind == "gpt2":
        return GPT2(content.get("end_of_text", False))
    return build_tokenizer(kind, content.get("characters", ""))


def _check_fields(content: dict[str, Any], types: dict[str, type], kind: str) -> None:
    """Raise TextError unless content has exactly the fields of its kind, each with the right type."""
    wanted = dict(types)
    if kind in _VOCABULARY_FIELD:
        wanted[_VOCABULARY_FIELD[kind]] = dict if kind == "compact" else str
    if kind == "gpt2" and "end_of_text" in content:
        wanted["end_of_text"] = bool
    if wrong := sorted(content.keys() ^ wanted.keys()):
        raise TextError(f"{'unknown' if wrong[0] in content else 'missing'} field {wrong[0]!r}")
    for name, type_ in wanted.items():
        if type(content[name]) is not type_:
            raise TextError(f"{name} must be of type {type_.__name__}; got {type(content[name]).__name__}")


def _compact_from(tokens: dict[str, Any]) -> Compact:
    """The compact tokenizer of {token in GPT-2's notation: GPT-2's id}, in the order of its ids."""
    whole = GPT2().pieces
    for token, id in tokens.items():
        if type(id) is not int or not 0 <= id < len(whole) or printable_bytes(whole[id]) != token:
            raise TextError(f"GPT-2 has no token {token!r} with id {id!r}")
    return Compact(tuple(tokens.values()))


def printable_bytes(piece: bytes) -> str:
    """A token's bytes in the notation of GPT-2's files: one visible character per byte.

    >>> printable_bytes(b" the"), printable_bytes(b"\\n")
    ('Ġthe', 'Ċ')
    """
    return "".join(_SYMBOL[b] for b in piece)


_SYMBOL = {b: symbol for symbol, b in byte_symbols().items()}
