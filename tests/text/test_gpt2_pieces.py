"""A long text is encoded piece by piece, to the very ids of the whole."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.text import GPT2, gpt2
from tinygrad_gpt.text.encoding import encode_pieces

texts = st.text(st.sampled_from(" \n\t\r\u00a0ab'sd1.é🙂"), max_size=60) | st.text(max_size=40)


@given(texts, st.integers(1, 9))
def test_pieces_encode_to_the_ids_of_the_whole(text, at_once):
    whole = GPT2().encode(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpt2, "_CHARACTERS_PER_CALL", at_once)
        assert "".join(GPT2().split(text)) == text
        assert GPT2().encode(text).tolist() == whole.tolist()
        assert GPT2().encode(text).dtype == whole.dtype


@given(texts, st.integers(1, 20), st.integers(1, 9))
def test_after_a_long_stretch_without_a_safe_cut_pieces_are_short_again(text, n_words, at_once):
    long = "a" * (at_once + 1) + text + " to be" * n_words
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpt2, "_CHARACTERS_PER_CALL", at_once)
        pieces = list(GPT2().split(long))
    assert "".join(pieces) == long
    cuts = [i for i in range(1, len(long)) if GPT2().safe_cut(long[: i + 1]) == i]
    stretch = max(b - a for a, b in pairwise([0, *cuts, len(long)]))
    assert max(map(len, pieces)) <= max(at_once, 2 * (stretch + 1))


@given(texts, st.integers(1, 9), st.lists(st.integers(1, 30), max_size=6))
def test_a_text_that_comes_in_blocks_encodes_to_the_ids_of_the_whole(text, at_once, sizes):
    text = "x" * 12 + text
    blocks = [text[a:b] for a, b in pairwise([0, *accumulate(sizes), max(len(text), sum(sizes))])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpt2, "_CHARACTERS_PER_CALL", at_once)
        ids = [id for array in encode_pieces(GPT2(), blocks) for id in array.tolist()]
    assert ids == GPT2().encode(text).tolist()
