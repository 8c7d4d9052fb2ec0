"""Encoding long texts piece by piece: the ids are those of the whole text, and memory never holds it twice."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.text.compact import Compact
from tinygrad_gpt.text.gpt2 import GPT2
from tinygrad_gpt.text.storage import build_tokenizer, check_end_of_text
from tinygrad_gpt.text.tokenizer import TextError, Tokenizer


def build_and_encode(
    kind: str,
    texts: list[str],
    *,
    end_of_text: bool = False,
    advance: Callable[[int], object] | None = None,
) -> tuple[Tokenizer, Array]:
    """The tokenizer that build_tokenizer makes for the joined texts, and their ids (N,) of int32.

    Each text is encoded only once.  advance(n) is called after every n characters.  Raises what build_tokenizer raises.
    """
    check_end_of_text(kind, end_of_text)
    if kind == "compact":
        ids = _encode_all(GPT2(end_of_text), texts, advance)
        compact = Compact.of_ids(ids, end_of_text=end_of_text)
        return compact, compact.renumber(ids)
    vocabulary = "".join(set().union(*texts)) if kind == "chars" else None
    tokenizer = build_tokenizer(kind, vocabulary, end_of_text=end_of_text)
    return tokenizer, _encode_all(tokenizer, texts, advance)


def _encode_all(tokenizer: Tokenizer, texts: Iterable[str], advance: Callable[[int], object] | None = None) -> Array:
    """The ids of the joined texts, (N,) of int32.  advance(n) is called after every n characters."""
    return np.concatenate([np.empty(0, np.int32), *encode_pieces(tokenizer, texts, advance)])


def encode_pieces(
    tokenizer: Tokenizer, texts: Iterable[str], advance: Callable[[int], object] | None = None
) -> Iterator[Array]:
    """The ids of the joined texts, array by array: each text up to its last safe cut, the rest with the next text."""
    advance = advance or (lambda n: None)
    rest: list[str] = []
    done, waiting, tried = 0, 0, 0  # characters: encoded, in rest, in rest at the last search for a cut
    for text in texts:
        rest.append(text)
        waiting += len(text)
        if waiting < 2 * tried:
            continue  # a long stretch without a cut: search again when it has doubled, not for each text
        joined = "".join(rest)
        cut = tokenizer.safe_cut(joined)
        if cut:
            yield _encode_at(tokenizer, joined[:cut], done)
            advance(cut)
        rest = [joined[cut:]]
        done, waiting = done + cut, waiting - cut
        tried = 0 if cut else waiting
    yield _encode_at(tokenizer, "".join(rest), done)
    advance(waiting)


def _encode_at(tokenizer: Tokenizer, text: str, start: int) -> Array:
    """tokenizer.encode(text) for a text that begins at character `start` of a longer one; errors mention `start`."""
    try:
        return tokenizer.encode(text)
    except TextError as error:
        raise TextError(f"{error} (counted from character {start} of the text)" if start else str(error)) from None
