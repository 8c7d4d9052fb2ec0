"""A long text is encoded piece by piece, to the very ids of the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.text import GPT2, gpt2

texts = st.text(st.sampled_from(" \n\t\r\u00a0ab'sd1.é🙂"), max_size=60) | st.text(max_size=40)


@given(texts, st.integers(1, 9))
def test_pieces_encode_to_the_ids_of_the_whole(text, at_once):
    whole = GPT2().encode(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpt2, "AT_ONCE", at_once)
        assert "".join(GPT2().in_pieces(text)) == text
        assert GPT2().encode(text).tolist() == whole.tolist()
        assert GPT2().encode(text).dtype == whole.dtype
