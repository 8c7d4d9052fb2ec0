"""<|endoftext|> in a text: ordinary text, or where it is asked for the token of that name."""

from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.text.text_strategies import texts
from tinygrad_gpt.text import (
    END_OF_TEXT,
    GPT2,
    KINDS,
    Compact,
    build_and_encode,
    build_tokenizer,
    encode_pieces,
    encode_to_file,
    read_texts,
)
from tinygrad_gpt.text.gpt2 import END_OF_TEXT_ID, encoding

marked = st.lists(texts, min_size=1, max_size=4).map(END_OF_TEXT.join)
WITH_IT = pytest.mark.parametrize("kind", ["gpt2", "compact"])


@given(marked)
@example("a  <|endoftext|>  b<|endoftext|>")
@example("<|endoftext|><|endoftext|>")
def test_its_ids_are_those_of_the_library(text):
    assert GPT2(end_of_text=True).encode(text).tolist() == encoding().encode(text, allowed_special="all")
    assert END_OF_TEXT_ID not in GPT2().encode(text)


@WITH_IT
@given(marked)
def test_each_text_between_two_is_encoded_alone_and_decoding_gives_all_back(kind, text):
    tokenizer = build_tokenizer(kind, text, end_of_text=True)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    end = tokenizer.encode(END_OF_TEXT).tolist()
    assert end == [tokenizer.vocab_size - 1]
    spelled_out = [id for part in text.split(END_OF_TEXT) for id in (*end, *tokenizer.encode(part).tolist())]
    assert ids.tolist() == spelled_out[1:]


@WITH_IT
@given(marked, st.lists(st.integers(1, 20), max_size=6))
def test_a_text_that_comes_in_blocks_encodes_to_the_same_ids(kind, text, sizes):
    tokenizer = build_tokenizer(kind, text, end_of_text=True)
    blocks = [text[a:b] for a, b in pairwise([0, *accumulate(sizes), max(len(text), sum(sizes))])]
    ids = np.concatenate(list(encode_pieces(tokenizer, blocks)))
    assert ids.tolist() == tokenizer.encode(text).tolist()


@pytest.mark.parametrize("end_of_text", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@given(parts=st.lists(marked, min_size=1, max_size=4))
def test_building_and_encoding_at_once_is_building_and_encoding(kind, end_of_text, parts):
    end_of_text, text = end_of_text and kind in ("gpt2", "compact"), "a" + "".join(parts)
    heard = []
    tokenizer, ids = build_and_encode(kind, ["a", *parts], end_of_text=end_of_text, advance=heard.append)
    assert tokenizer == build_tokenizer(kind, text, end_of_text=end_of_text)
    assert ids.tolist() == tokenizer.encode(text).tolist()
    assert sum(heard) == len(text)


@given(marked)
def test_compact_has_the_token_only_with_end_of_text(text):
    without, with_it = Compact.of(text), Compact.of(text, end_of_text=True)
    assert not without.end_of_text
    assert with_it.end_of_text
    assert without.encode(END_OF_TEXT).tolist() != with_it.encode(END_OF_TEXT).tolist()
    assert without.fingerprint != with_it.fingerprint
    assert GPT2().fingerprint != GPT2(end_of_text=True).fingerprint


@pytest.mark.parametrize("kind", ["bytes", "chars"])
def test_a_tokenizer_without_the_token_says_so(kind):
    message = f"end_of_text needs the tokenizer compact or gpt2; '{kind}' has no token <|endoftext|>"
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message is compared)
        build_tokenizer(kind, "text", end_of_text=True)
    assert str(caught.value) == message


def test_several_files_are_joined_by_it(tmp_path):
    paths = [tmp_path / f"{n}.txt" for n in range(4)]
    for path, content in zip(paths, ["one\n", "two<|endoftext|>", "", "three"], strict=True):
        path.write_bytes(content.encode())
    tokenizer = GPT2(end_of_text=True)
    joined = "one\n<|endoftext|>two<|endoftext|>three"
    assert read_texts(paths, joint=tokenizer.joint) == joined
    assert encode_to_file(tokenizer, paths, tmp_path / "ids").tolist() == tokenizer.encode(joined).tolist()
    assert read_texts(paths, joint=GPT2().joint) == "one\ntwo<|endoftext|>\nthree"
