import io
import json
import os
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.text.text_strategies import seeds, texts
from tinygrad_gpt.text import (
    KINDS,
    Batches,
    Bytes,
    Characters,
    TextError,
    build_tokenizer,
    corpus,
    encode_pieces,
    encode_to_file,
    open_tokens,
    read_texts,
    token_file,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tokens")


@pytest.mark.parametrize("kind", KINDS)
@given(documents=st.lists(texts, min_size=1, max_size=3), size=st.integers(1, 40))
def test_a_token_file_holds_the_ids_of_the_whole_text(folder, kind, documents, size):
    paths = [folder / f"{i}.txt" for i in range(len(documents))]
    for path, document in zip(paths, documents, strict=True):
        path.write_bytes(b"." + document.encode())
    text = read_texts(paths)
    tokenizer = build_tokenizer(kind, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "_BYTES_PER_READ", size)
        tokens = encode_to_file(tokenizer, paths, folder / "ids.bin")
    assert isinstance(tokens, np.memmap)
    assert tokens.tolist() == tokenizer.encode(text).tolist()
    assert not {name for name in os.listdir(folder) if name.endswith(".tmp")}


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=100))
def test_a_long_stretch_without_a_cut_is_looked_at_a_few_times_only(lengths):
    seen = []

    class Uncuttable(Bytes):
        def safe_cut(self, text):
            seen.append(len(text))
            return 0

    total = sum(len(ids) for ids in encode_pieces(Uncuttable(), ("a" * n for n in lengths)))
    assert total == sum(lengths)
    assert all(later >= 2 * earlier for earlier, later in pairwise(seen))


@given(st.integers(1, 2**20))
def test_the_dtype_holds_the_last_id(vocab_size):
    name = token_file.smallest_dtype(vocab_size)
    assert np.array([vocab_size - 1]).astype(name).tolist() == [vocab_size - 1]
    assert (name == "uint16") == (vocab_size <= 65_536)


def test_a_large_vocabulary_is_kept_in_32_bits(tmp_path):
    tokenizer = Characters("".join(chr(c) for c in range(0x10000, 0x10000 + 65_537)))
    (tmp_path / "x.txt").write_text(tokenizer.characters[-1] + tokenizer.characters[0], "utf-8")
    tokens = encode_to_file(tokenizer, tmp_path / "x.txt", tmp_path / "x.bin")
    assert (tokens.dtype.name, tokens.tolist()) == ("uint32", [65_536, 0])


@given(seed=seeds, n=st.integers(9, 60), stride=st.integers(1, 12))
def test_batches_of_a_memory_map_are_those_in_memory(folder, seed, n, stride):
    (folder / "m.txt").write_bytes(bytes(range(65, 65 + n)))
    mapped = encode_to_file(Bytes(), folder / "m.txt", folder / "m.bin")
    settings = {"context_length": 4, "batch_size": 2, "stride": stride, "drop_last": False, "seed": seed}
    one, two = Batches(mapped, **settings), Batches(np.array(mapped), **settings)
    for step in range(1, one.steps_per_epoch + 2):
        for from_file, in_memory in zip(one.batch(step), two.batch(step), strict=True):
            assert from_file.dtype == in_memory.dtype == np.int64
            assert from_file.tolist() == in_memory.tolist()


def test_the_tokens_cannot_be_written_by_accident(tmp_path):
    (tmp_path / "x.txt").write_text("text")
    tokens = encode_to_file(Bytes(), tmp_path / "x.txt", tmp_path / "x.bin")
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 1


def test_an_id_outside_the_vocabulary_is_caught_at_preparation(tmp_path):
    class Wrong(Bytes):
        def encode(self, text):
            return np.array([1, 2, 256])

    (tmp_path / "x.txt").write_text("text")
    with pytest.raises(ValueError, match="ids must be from 0 to 255; got 256 at offset 2"):
        encode_to_file(Wrong(), tmp_path / "x.txt", tmp_path / "x.bin")
    assert os.listdir(tmp_path) == ["x.txt"]


def test_an_error_leaves_the_old_file(tmp_path):
    (tmp_path / "x.txt").write_text("abc")
    (tmp_path / "y.txt").write_text("ab")
    encode_to_file(Characters("abc"), tmp_path / "x.txt", tmp_path / "x.bin")
    for tokenizer, paths in ((Characters("ab"), "x.txt"), (Characters("ab"), "none.txt")):
        with pytest.raises(TextError):
            encode_to_file(tokenizer, tmp_path / paths, tmp_path / "x.bin")
    assert open_tokens(tmp_path / "x.bin", Characters("abc")).tolist() == [0, 1, 2]
    assert sorted(os.listdir(tmp_path)) == ["x.bin", "x.bin.json", "x.txt", "y.txt"]


def test_an_unknown_character_is_placed_in_the_whole_text(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "_BYTES_PER_READ", 4)
    (tmp_path / "x.txt").write_text("aaaaaaaaaab")
    with pytest.raises(TextError, match=r"'b' .* at position 2 is not .*\(counted from character 8 of the text\)"):
        encode_to_file(Characters("a"), tmp_path / "x.txt", tmp_path / "x.bin")


def test_a_file_that_does_not_fit_its_description_is_refused(tmp_path):
    (tmp_path / "x.txt").write_text("text")
    path, about = tmp_path / "x.bin", tmp_path / "x.bin.json"
    encode_to_file(Bytes(), tmp_path / "x.txt", path)
    assert json.loads(about.read_text())["tokenizer"] == Bytes().fingerprint
    with pytest.raises(TextError, match="holds the ids of another tokenizer"):
        open_tokens(path, Characters("a"))
    good = json.loads(about.read_text())
    for change in ({"count": 0}, {"dtype": "int8"}, {"version": 2}, {"format": ""}, {"extra": 1}, {"count": 4.0}):
        about.write_text(json.dumps(good | change))
        with pytest.raises(TextError, match="does not describe a file of token ids: prepare it again"):
            open_tokens(path)
    about.write_text(json.dumps(good))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TextError, match=r"has 7 bytes; its description needs 8 \(4 ids of 2 bytes\)"):
        open_tokens(path)
    path.unlink()
    with pytest.raises(TextError, match=r"cannot read '.*x\.bin': No such file"):
        open_tokens(path)
    about.unlink()
    with pytest.raises(TextError, match=r"cannot read '.*x\.bin\.json': No such file"):
        open_tokens(path)


def test_standard_input_goes_into_a_token_file_too(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"text")))
    assert encode_to_file(Bytes(), "-", tmp_path / "x.bin").tolist() == list(b"text")
