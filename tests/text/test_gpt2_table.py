import hashlib
import lzma
import pathlib
import re
import socket
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.text.text_strategies import texts
from tinygrad_gpt.text import GPT2, gpt2

FOLDER = pathlib.Path(gpt2.__file__).parent


def test_the_table_is_the_published_one():
    table = gpt2.merge_table().encode()
    assert (len(table), hashlib.sha256(table).hexdigest()) == (456_318, gpt2.VOCAB_BPE_SHA256)
    assert "Copyright (c) 2019 OpenAI" in (FOLDER / "LICENSE").read_text()


def test_all_ids_are_those_of_the_published_encoder():
    """The digest is that of the published encoder.json, its tokens spelled out as bytes in the order of their ids."""
    digest = hashlib.sha256()
    for piece in gpt2.token_bytes():
        digest.update(len(piece).to_bytes(4, "little") + piece)
    assert len(gpt2.token_bytes()) == 50_257
    assert digest.hexdigest() == "a5623714bcf19049eb0fd78df19b6daa1e61ac435b86a5deae767768e7fcdc3d"


KNOWN = {
    "Every effort moves you": [6109, 3626, 6100, 345],
    "Hello, world!": [15496, 11, 995, 0],
    " the": [262],
    "don't": [9099, 470],
    "\n\n": [628],
    "a\n\nb": [64, 198, 198, 65],
    "<|endoftext|>": [27, 91, 437, 1659, 5239, 91, 29],
    "": [],
}


@pytest.mark.parametrize("text", KNOWN)
def test_known_ids(text):
    assert GPT2().encode(text).tolist() == KNOWN[text]


def test_the_end_of_text_is_decoded_but_never_encoded():
    assert GPT2().decode([50256]) == "<|endoftext|>"
    assert 50256 not in GPT2().encode("<|endoftext|> <|endoftext|>")


@cache
def ranks():
    return {whole: id for id, whole in enumerate(gpt2.token_bytes()[:-1])}


def bpe(piece):
    """Merge the neighbours whose pair stands first in the table, until none does: the definition, slowly."""
    rank = ranks()
    parts = [bytes([b]) for b in piece]
    while len(parts) > 1:
        pairs = [rank.get(a + b, len(rank)) for a, b in pairwise(parts)]
        best = min(pairs)
        if best == len(rank):
            break
        i = pairs.index(best)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return [rank[part] for part in parts]


PIECES_OF_ASCII = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


@given(st.text(st.sampled_from("aAbdehilmorstvy 's\n\t1.,!"), max_size=40) | texts.filter(str.isascii))
@example("it's don't we're I've I'm we'll he'd o'clock IT'S")
def test_ids_are_those_of_the_definition(text):
    text = re.sub("[\x1c-\x1f]", "?", text)  # Python counts these as space, GPT-2 does not
    expected = [id for piece in PIECES_OF_ASCII.findall(text) for id in bpe(piece.encode())]
    assert GPT2().encode(text).tolist() == expected


@given(texts, st.sampled_from(gpt2.SPACE), st.integers(2, 3000), texts)
def test_a_long_run_of_space_has_the_ids_that_it_has_in_parts(before, space, n, after):
    text = before + space * n + after
    assert GPT2().encode(text).tolist() == gpt2.encoding().encode_ordinary(text)


@pytest.mark.parametrize("text", [" " * 1_100_000 + "x", "x" + "\n" * 1_100_000])
def test_a_million_spaces_do_not_bring_the_matcher_down(text):
    assert GPT2().decode(GPT2().encode(text)) == text


def test_space_is_unicodes_white_space():
    assert {chr(c) for c in range(0x110000) if chr(c).isspace()} - set("\x1c\x1d\x1e\x1f") == set(gpt2.SPACE)


def test_no_network_is_used(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    assert gpt2.encoding.__wrapped__().encode_ordinary(" the") == [262]


def test_a_damaged_table_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(gpt2, "files", lambda package: tmp_path)
    for packed in (
        lzma.compress(gpt2_bytes().replace(b"h e", b"h f", 1)),
        b"",
        (FOLDER / "vocab.bpe.xz").read_bytes()[:-9],
    ):
        (tmp_path / "vocab.bpe.xz").write_bytes(packed)
        with pytest.raises(RuntimeError, match=r"merge table is damaged .*install tinygrad-gpt again"):
            gpt2.merge_table()


def gpt2_bytes():
    return lzma.decompress((FOLDER / "vocab.bpe.xz").read_bytes())


def test_the_symbols_are_one_to_one():
    symbols = gpt2.byte_symbols()
    assert sorted(symbols.values()) == list(range(256))
    assert all(symbol.isprintable() and not symbol.isspace() for symbol in symbols)
    assert np.all([symbols[chr(b)] == b for b in range(0x21, 0x7F)])
